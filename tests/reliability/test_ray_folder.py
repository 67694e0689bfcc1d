"""S13: on a node of a Ray cluster nothing is removed in the temporary folder but our own folders."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ray_worker = pytest.importorskip("hpsearch.execution.ray_worker", reason="Ray is not installed")


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
