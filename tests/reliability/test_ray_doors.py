"""Ray opens no door: none of its ports to other machines, none of our folders to other users."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hpsearch.errors import EnvironmentFailure

ray_worker = pytest.importorskip("hpsearch.cluster.node", reason="Ray is not installed")


def dead_pid() -> int:
    """Return the number of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_OE1_only_this_users_folders_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    mine, others = tmp_path / "tmp", tmp_path / "precious"
    mine.mkdir()
    for number in range(1, 9):
        (others / str(number)).mkdir(parents=True)
    prefix, pid = f"hpsearch-ray-{os.getuid()}-", dead_pid()
    links = [mine / f"hpsearch-{os.getuid()}", mine / f"{prefix}{pid}-link"]
    for link in links:
        link.symlink_to(others)
    left, living, opened = (
        mine / f"{prefix}{number}-{name}"
        for number, name in ((pid, "left"), (os.getpid(), "living"), (pid, "open"))
    )
    for folder, mode in ((left, 0o700), (living, 0o700), (opened, 0o777)):
        folder.mkdir()
        folder.chmod(mode)
    own = ray_worker._own_folder()
    assert len(list(others.iterdir())) == 8
    assert not left.exists()
    assert living.is_dir()
    assert opened.is_dir()  # anybody may have made it
    assert all(link.is_symlink() for link in links)
    assert own.parent == mine
    assert stat.S_IMODE(own.lstat().st_mode) == 0o700
    assert ray_worker._own_folder() != own


def test_OE5_a_cluster_of_this_machine_is_started_on_the_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """with Ray's switch for every process of it, which is off only while Ray starts"""
    import ray
    from ray._private import ray_constants

    from hpsearch.cluster.executor import RayExecutor, RaySettings
    from hpsearch.cluster.loopback import SWITCH

    seen: dict[str, object] = {}

    def init(address: str, **options: object) -> None:
        reach = {"switch": os.environ[SWITCH], "cluster": ray_constants.ENABLE_RAY_CLUSTER}
        seen.update(options, address=address, **reach)
        raise RuntimeError("it is not started here")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    before = os.environ.get(SWITCH), ray_constants.ENABLE_RAY_CLUSTER
    with pytest.raises(EnvironmentFailure, match="it is not started here"):
        RayExecutor(RaySettings(workers=1, device="cpu"), tmp_path)
    assert (seen["address"], seen["_node_ip_address"]) == ("local", "127.0.0.1")
    assert (seen["switch"], seen["cluster"]) == ("0", False)
    assert seen["include_dashboard"] is False
    assert (os.environ.get(SWITCH), ray_constants.ENABLE_RAY_CLUSTER) == before


LISTENING = """
import os, sys
from pathlib import Path
from hpsearch.cluster.executor import RayExecutor, RaySettings

def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])

def ours(pid):
    while pid > 1:
        if pid == os.getpid():
            return True
        pid = parent(pid)
    return False

executor = RayExecutor(RaySettings(workers=1, device="cpu"), Path(sys.argv[1]))
sockets = set()
for path in Path("/proc").glob("[0-9]*/fd/*"):
    try:
        if ours(int(path.parts[2])):
            sockets.add(os.readlink(path))
    except OSError:
        pass
for table in ("tcp", "tcp6"):
    for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
            print(words[1].partition(":")[0])
executor.close()
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's lists of sockets")
@pytest.mark.timeout(180)
def test_OE5_a_cluster_of_this_machine_listens_on_this_machine_only(tmp_path: Path) -> None:
    script = [sys.executable, "-c", LISTENING, str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    assert len(done.stdout.split()) >= 4
    assert set(done.stdout.split()) <= loopback
