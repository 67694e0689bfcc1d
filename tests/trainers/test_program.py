"""A guardian ends a program whole: children that start a session of their own, too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpsearch.trainers import program
from hpsearch.trainers.guardian import descendants
from hpsearch.trainers.program import End, Guardian, GuardianGoneError

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and prctl")


@pytest.fixture
def guardian() -> Iterator[Guardian]:
    made = Guardian()
    yield made
    made.close()


def start(guardian: Guardian, folder: Path, script: str, most: int = 0) -> Path:
    log = folder / "log.txt"
    guardian.start(["sh", "-c", script], folder, dict(os.environ), log, most)
    return log


def wait(guardian: Guardian, limit_s: float = 60.0) -> End:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if end := guardian.ended(0.1):
            return end
    raise AssertionError("the program did not end")


def test_programs_follow_one_another(guardian: Guardian, tmp_path: Path) -> None:
    log = start(guardian, tmp_path, "pwd; echo to stderr >&2; exit 3")
    end = wait(guardian)
    assert (end.code, end.over) == (3, False)
    assert end.memory > 100_000
    assert guardian.last_lines() == f"{tmp_path} | to stderr"
    start(guardian, tmp_path, "cat; kill -9 $$")  # standard input is empty
    assert wait(guardian).in_words() == "killed by signal 9"
    guardian.last_lines()
    assert log.read_text() == f"{tmp_path}\nto stderr\n"


def test_a_guardian_that_was_killed_while_idle_is_gone_for_the_next_program(
    guardian: Guardian, tmp_path: Path
) -> None:
    """Found by the drill: a broken pipe looked like a fault of the machine."""
    start(guardian, tmp_path, "exit 0")
    assert wait(guardian).code == 0
    guardian._process.kill()
    guardian._process.wait()
    with pytest.raises(GuardianGoneError):
        start(guardian, tmp_path, "exit 0")


def test_a_program_that_is_not_there_is_named(guardian: Guardian, tmp_path: Path) -> None:
    guardian.start(["nonesuch"], tmp_path, dict(os.environ), tmp_path / "log.txt")
    with pytest.raises(OSError, match="No such file"):
        wait(guardian)
    start(guardian, tmp_path, "exit 0")
    assert wait(guardian).code == 0


def test_the_log_keeps_the_start_and_the_end(
    guardian: Guardian, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "HEAD_BYTES", 1000)
    log = start(guardian, tmp_path, "yes | head -n 2000000; echo the end")
    wait(guardian)
    assert guardian.last_lines().endswith("the end")
    assert log.stat().st_size < 100_000
    assert log.read_text().endswith("the end\n")


LEAVES = "(setsid sleep 4242 >/dev/null 2>&1 &); sleep 4242 & "
"""Leaves two processes behind; one has a session of its own and lost its parent."""


@linux
@pytest.mark.parametrize("how", ["ends", "killed", "stopped", "ignores"])
def test_nothing_is_left_of_a_program(
    guardian: Guardian, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "TERM_S", 0.3)
    ready = tmp_path / "ready"
    trap = 'trap "" TERM; ' if how == "ignores" else ""
    lasts = "" if how == "ends" else "while :; do sleep 1; done"
    start(guardian, tmp_path, f"{trap}{LEAVES}touch ready; {lasts}")
    if how == "ends":
        wait(guardian)
    else:
        while not ready.exists():
            time.sleep(0.01)
        if how == "killed":
            guardian.kill()
        else:
            by = guardian.stop(looks_s=0.0)
            assert by == ("SIGKILL" if how == "ignores" else "SIGTERM")
    assert descendants(guardian._process.pid) == []


@linux
def test_a_program_that_sees_its_verdict_gets_no_signal(
    guardian: Guardian, tmp_path: Path
) -> None:
    start(guardian, tmp_path, "while [ ! -e verdict ]; do sleep 0.05; done")
    (tmp_path / "verdict").touch()
    assert guardian.stop() == "verdict"


@linux
def test_the_death_of_the_guardian_leaves_nothing(tmp_path: Path) -> None:
    guardian = Guardian()
    start(guardian, tmp_path, f"{LEAVES}touch ready; sleep 4242")
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    guardian._process.kill()
    with pytest.raises(GuardianGoneError):
        wait(guardian)
    assert "4242" not in _commands(descendants(os.getpid()))
    guardian.close()


@linux
def test_the_death_of_the_worker_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib, time\n"
        "from hpsearch.trainers.program import Guardian\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "guardian = Guardian()\n"
        "guardian.start(['sh', '-c', sys.argv[2]], folder, dict(os.environ), folder / 'log')\n"
        "time.sleep(600)\n"
    )
    script = f"{LEAVES}touch ready; sleep 4242"
    worker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), script])
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    family = descendants(worker.pid)
    assert "4242" in _commands(family)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    until = time.monotonic() + 30
    while "4242" in _commands(family) and time.monotonic() < until:
        time.sleep(0.05)
    assert "4242" not in _commands(family)


@linux
def test_memory_has_a_limit(guardian: Guardian, tmp_path: Path) -> None:
    script = f"exec {sys.executable} -c 'x = bytearray(300_000_000)\nwhile True: pass'"
    start(guardian, tmp_path, script, most=100_000_000)
    end = wait(guardian)
    assert end.over
    assert end.memory > 100_000_000


FORKS = """\
import os, time
x = bytearray(b"x") * 60_000_000
for _ in range(5):
    if not os.fork():
        time.sleep(0.8)
        os._exit(0)
for _ in range(5):
    os.wait()
"""


@linux
def test_memory_that_processes_share_counts_once(guardian: Guardian, tmp_path: Path) -> None:
    (tmp_path / "forks.py").write_text(FORKS)
    start(guardian, tmp_path, f"exec {sys.executable} forks.py", most=200_000_000)
    end = wait(guardian)
    assert (end.code, end.over) == (0, False)
    assert 60_000_000 < end.memory < 200_000_000


def _commands(pids: list[int]) -> str:
    found = []
    for pid in pids:
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "))
        except OSError:
            continue
    return b"\n".join(found).decode(errors="replace")
