"""Files are absent, old or whole, whatever fails; and where everything lies."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import EnvironmentFailure
from hpsearch.paths import Inside, StudyFolder, cache_folder, fsync_folder, write_atomically

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
STEPS: list[tuple[Any, str]] = [
    (Path, "mkdir"),
    (tempfile, "mkstemp"),
    (os, "fdopen"),
    (os, "fsync"),
    (os, "replace"),
    (os, "open"),
]
"""Every call of `write_atomically` that reaches the disk, apart from write and flush."""


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Make the number-th call to the disk fail; return the counter of calls."""
    calls = [0]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        inside = [False]

        def call(*arguments: Any, **keywords: Any) -> Any:
            if inside[0]:  # mkdir and mkstemp call themselves
                return real(*arguments, **keywords)
            calls[0] += 1
            if calls[0] == number:
                raise FULL
            inside[0] = True
            try:
                return real(*arguments, **keywords)
            finally:
                inside[0] = False

        return call

    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    return calls


def test_text_and_bytes_are_written_whole(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "naïve\n")
    write_atomically(tmp_path / "b", b"\x00\xff" * 100_000)
    write_atomically(tmp_path / "c", "")
    assert (tmp_path / "a").read_bytes() == b"na\xc3\xafve\n"
    assert (tmp_path / "b").read_bytes() == b"\x00\xff" * 100_000
    assert (tmp_path / "c").read_bytes() == b""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]


def test_an_old_file_is_replaced_and_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "x" / "y" / "file"
    write_atomically(path, "old and longer")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", "x")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


@pytest.mark.parametrize("old", [None, "old"])
def test_whichever_call_fails_the_file_is_absent_old_or_whole(
    tmp_path: Path, old: str | None
) -> None:
    failed = 0
    for number in range(1, 100):
        folder = tmp_path / str(number)
        path = folder / "file"
        if old is not None:
            folder.mkdir()
            path.write_text(old)
        with pytest.MonkeyPatch.context() as patch:
            calls = fail_at(patch, number)
            try:
                write_atomically(path, "new")
            except EnvironmentFailure as error:
                failed += 1
                text = str(error)
                assert text.startswith(f"{path}: cannot be written (No space left on device")
                assert "run the same command again" in text
        left = [p.name for p in folder.iterdir()] if folder.exists() else []
        content = path.read_text() if path.exists() else None
        assert content in (old, "new")
        assert left in ([], ["file"])
        if calls[0] < number:  # nothing failed any more
            assert content == "new"
            break
    assert failed >= 6


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    import signal

    path = tmp_path / "file"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(EnvironmentFailure, match="File too large"):
            write_atomically(path, b"x" * 50_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_on_the_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        size = os.fstat(handle).st_size if kind == "file" else 0
        happened.append(f"{kind} {size}" if size else kind)
        fsync(handle)

    def renamed(source: Any, target: Any) -> None:
        happened.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    write_atomically(tmp_path / "file", "12345")
    assert happened == ["file 5", "rename", "folder"]


def test_a_link_in_the_files_place_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("the user's")
    link.symlink_to(target)
    write_atomically(link, "ours")
    assert not link.is_symlink()
    assert link.read_text() == "ours"
    assert target.read_text() == "the user's"


def test_a_folder_that_is_a_link_is_written_into(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_atomically(tmp_path / "link" / "file", "x")
    assert (tmp_path / "real" / "file").read_text() == "x"


@pytest.mark.parametrize("obstacle", ["folder in its place", "file for a folder", "long name"])
def test_what_is_in_the_way_is_an_environment_failure(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / "file"
    if obstacle == "folder in its place":
        path.mkdir()
        (path / "inside").touch()
    elif obstacle == "file for a folder":
        path.touch()
        path = path / "file"
    else:
        path = tmp_path / ("x" * 255)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(EnvironmentFailure, match="cannot be written"):
        write_atomically(path, "x")
    assert sorted(tmp_path.rglob("*")) == before


def test_fsync_folder_closes_what_it_opened(tmp_path: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(50):
        fsync_folder(tmp_path)
        with pytest.raises(FileNotFoundError):
            fsync_folder(tmp_path / "absent")
    assert len(list(Path("/dev/fd").iterdir())) <= before + 5


def test_the_cache_is_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    monkeypatch.setenv("HOME", "/c")
    assert cache_folder() == Path("/a")
    monkeypatch.delenv("HPSEARCH_CACHE")
    assert cache_folder() == Path("/b/hpsearch")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/c/.cache/hpsearch")
    monkeypatch.setenv("HPSEARCH_CACHE", "")
    assert cache_folder() == Path("/c/.cache/hpsearch")


def test_the_tests_have_a_cache_of_their_own(session_cache: Path) -> None:
    assert cache_folder() == session_cache
    temporary = Path(tempfile.gettempdir()).resolve()
    assert cache_folder().resolve().is_relative_to(temporary)
    assert os.environ["HPSEARCH_OFFLINE"] == "1"


def test_everything_of_a_study_lies_in_its_folder() -> None:
    folder = StudyFolder(Path("runs/x"))
    names = {
        name: getattr(folder, name)
        for name, member in vars(StudyFolder).items()
        if isinstance(member, Inside)
    }
    assert {name: str(path.relative_to("runs/x")) for name, path in names.items()} == {
        "study_file": "study.yaml",
        "space_file": "space.yaml",
        "dataset": "dataset.json",
        "database": "study.db",
        "trust": "trust.json",
        "code_trust": "code-trust.json",
        "requests": "requests",
        "openings": "openings.jsonl",
        "best": "best.yaml",
        "model": "model",
        "report": "report.html",
        "lock": "study.lock",
        "trials": "trials",
        "certificate": "certificate.json",
        "confirmation": "confirmation",
        "prior": "prior.json",
        "begun": "begun.json",
    }
    trial = folder.trial(12)
    assert trial.root == Path("runs/x/trials/00012")
    assert [trial.config.name, trial.epochs.name, trial.result.name, trial.checkpoint.name] == [
        "config.yaml",
        "epochs.jsonl",
        "result.json",
        "checkpoint",
    ]
