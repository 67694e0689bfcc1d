"""Exit codes: 1 for a bug of ours, with a log; and all of them where a person looks for them."""

from __future__ import annotations

import re
import stat
import tempfile
from pathlib import Path

import pytest

from hpsearch.study import plan as study_folder
from tests.support.command_line import Done, run

CODES = ("0", "1", "2", "3", "130", "143")
README = Path(__file__).parents[2] / "README.md"


def broken(*_: object) -> None:
    raise ZeroDivisionError("two\nlines \x1b[31m and half a pair \ud800")


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Done:
    """How a command ends that raises what nobody foresaw, with a folder for temporary files."""
    monkeypatch.setattr(study_folder, "find_study", broken)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / getattr(request, "param", "")))
    return run("status", "study")


def test_a_bug_is_one_line_exit_1_and_a_log_with_the_traceback(done: Done, tmp_path: Path) -> None:
    assert done.code == 1
    line = done.err.removesuffix("\n")
    assert line.isprintable()
    assert "a bug of ours: ZeroDivisionError: two lines" in line
    assert "Traceback" not in done.err + done.out
    (log,) = tmp_path.iterdir()
    assert line.endswith(f"the traceback is in {log}")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    written = log.read_text(encoding="utf-8")
    assert written.startswith("Traceback")
    assert "in broken" in written
    assert "ZeroDivisionError" in written


@pytest.mark.parametrize("done", ["absent"], indirect=True)
def test_a_bug_without_a_place_for_its_log_is_one_line_and_exit_1(done: Done) -> None:
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "could not be written (No such file or directory)" in done.err


def test_help_and_readme_name_every_code() -> None:
    for text in (run("--help").out, README.read_text(encoding="utf-8")):
        told = re.search(r"Exit codes:.*?resumable", text, re.S)
        assert told is not None
        assert tuple(re.findall(r"\b\d+\b", told[0])) == CODES


@pytest.mark.parametrize(
    "words",
    [
        *(("doctor",), ("doctor", "--repair"), ("migrate", "--space", "s.yaml"), ("status",)),
        *(("stop", 0), ("enqueue", "lr=1"), ("copy", "--to", "c.db"), ("export",), ("report",)),
        *(("confirm",), ("dashboard",), ("show", 0), ("trials",), ("verify",)),
    ],
)
def test_a_study_that_has_not_begun_is_exit_2_and_leaves_no_folder(
    words: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(words[0], "quickstart", *words[1:])
    assert done.code == 2
    assert "runs/quickstart: no such folder; begin the study first" in done.err
    assert not any(tmp_path.iterdir())
