"""Files that a person names: what stands in an output's place is kept, no input is waited for."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.driver.test_driver import search
from tests.support.cases import refused, write_study
from tests.support.command_line import run
from tests.support.fake_executor import FakeExecutor
from tests.support.slow import rest_slow


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "s"
    changes = {"sampler__name": "random", "pruner__name": "none"}
    search(folder, FakeExecutor(), budget__trials=2, trial__max_epochs=2, **changes)
    return folder


def notes(path: Path) -> None:
    path.write_text("mine\n")


def link(path: Path) -> None:
    notes(path.with_name("linked"))
    path.symlink_to("linked")


def dangling(path: Path) -> None:
    path.symlink_to("absent")


def device(path: Path) -> None:
    path.symlink_to(os.devnull)


def listening(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # an address has 107 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(before)


ODD = [notes, os.mkfifo, link, dangling, device, listening, Path.mkdir]
FILES = {
    "export": ["export", "STUDY", "--output", "best.yaml"],
    "report": ["report", "STUDY", "--output", "page.html"],
    "recognise": ["recognise", "model", "--support", "s", "one.png", "--html", "page.html"],
    "copy": ["copy", "STUDY", "--to", "sqlite:///copy.db"],
}


@pytest.mark.parametrize("place", rest_slow(ODD, 2), ids=lambda f: f.__name__)
@pytest.mark.parametrize("command", FILES)
def test_od9_an_output_replaces_nothing_that_is_not_its_own(
    command: str,
    place: Callable[[Path], None],
    searched: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [str(searched) if word == "STUDY" else word for word in FILES[command]]
    name = words[-1].removeprefix("sqlite:///")
    monkeypatch.chdir(tmp_path)
    place(tmp_path / name)
    kind = os.lstat(name).st_mode
    refused(tmp_path, name, *words)
    assert os.lstat(name).st_mode == kind


@pytest.mark.parametrize("command", ["export", "report"])
def test_od9_an_output_of_ours_is_written_again(
    command: str, searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [str(searched) if word == "STUDY" else word for word in FILES[command]]
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        done = run(*words)
        assert done.code == 0, done.err


def test_od9_a_folder_below_a_file_is_input_to_mend(searched: Path, tmp_path: Path) -> None:
    notes(tmp_path / "notes")
    refused(tmp_path, "notes", "export", searched, "--output", tmp_path / "notes" / "best.yaml")


def blocked(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("place", [blocked, listening, Path.mkdir], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "words",
    [
        ["search", "odd.yaml", "--dry-run"],
        ["check-space"],
        ["space", "show", "odd.yaml"],
        ["space", "explain", "koch2015", "odd.yaml"],
        ["retrain", "odd.yaml"],
        ["search", "quickstart", "--data", "odd.yaml"],
        ["data", "check", "--data", "odd.yaml"],
        ["recognise", "model", "--support", "s", "odd.yaml"],
        ["evaluate", "model"],
    ],
    ids=" ".join,
)
def test_oc4_nothing_but_a_regular_file_is_read(
    words: list[str],
    place: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    place(tmp_path / "odd.yaml")
    (tmp_path / "model").mkdir()
    place(tmp_path / "model" / "config.yaml")
    if words == ["check-space"]:
        write_study(tmp_path)
        (tmp_path / "space.yaml").unlink()
        place(tmp_path / "space.yaml")
        words = ["search", "small.yaml", "--dry-run"]
    done = run(*words)
    assert done.code == 2, done
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err


@pytest.mark.timeout(60)
@pytest.mark.parametrize("command", ["status", "doctor", "trials", "report", "export"])
@pytest.mark.parametrize(
    "name", ["study.yaml", "space.yaml", "dataset.json", "study.db", "study.lock"]
)
def test_oc4_a_studys_file_that_is_a_pipe_is_not_waited_for(
    name: str, command: str, searched: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(searched, tmp_path / "s")
    blocked(folder / name)
    done = run(command, folder)
    assert done.code == 2 or (name in ("study.lock", "space.yaml") and done.code == 0), done
    assert "Traceback" not in done.err
