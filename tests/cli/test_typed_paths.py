"""Paths as people have them: ~ that no shell has seen, names that a shell or a URL would read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hpsearch.app import pace
from hpsearch.errors import InputError
from hpsearch.paths import cache_folder, shell_word, user_path
from hpsearch.sources.find import find_dataset
from hpsearch.storage.view import read_study
from hpsearch.study.plan import find_study, plan_study
from tests.support.cases import search, write_study
from tests.support.command_line import run

NAMES = [
    "a b",
    "r?x",
    "r#y",
    "r%41",
    "r'\"`x`$HOME",
    "-r",
    "r\x1b[31m",
    "r\nq",
    "\u00fc\udce9",
    "*",
]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of two trials, to be copied."""
    folder = tmp_path_factory.mktemp("searched") / "s"
    search(folder, budget__trials=2)
    return folder


@pytest.fixture
def home(tmp_path: Path, searched: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that holds a study and its files; the program stands elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    write_study(tmp_path)
    shutil.copytree(searched, tmp_path / "s")
    monkeypatch.setattr(pace, "image_seconds", lambda *_: 0.01)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (["search", "~/small.yaml", "--dry-run"], None),
        (["search", "~/small.yaml", "--dry-run", "--from", "~/s"], None),
        (["search", "~/small.yaml", "--dry-run", "--set", "space=~/space.yaml"], None),
        (["search", "~/small.yaml", "--dry-run", "--set", "warm_start.study=~/s"], None),
        (["status", "~/s"], None),
        (["list", "~"], None),
        (["space", "show", "~/space.yaml", "--study", "~/s"], None),
        (["space", "explain", "~/space.yaml", "~/s/trials/00000/config.yaml"], None),
        (["export", "~/s", "--output", "~/best.yaml"], "best.yaml"),
        (["report", "~/s", "--output=~/page.html"], "page.html"),
        (["copy", "~/s", "--to", "sqlite:///~/copy.db"], "copy.db"),
        (["migrate", "~/s", "--space", "~/space.yaml"], None),
    ],
    ids=str,
)
def test_oa6_home_is_known_in_every_path(
    words: list[str], written: str | None, home: Path
) -> None:
    done = run(*words)
    assert "~" not in (done.err + done.out).replace(words[-1], "")
    assert done.code == 0 or "no such" not in done.err, done
    assert written is None or (home / written).is_file()
    assert not list(Path.cwd().iterdir())


def test_oa6_home_is_known_in_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", "~/cache")
    assert cache_folder() == home / "cache"
    monkeypatch.delenv("HPSEARCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "~/xdg")
    assert cache_folder() == home / "xdg" / "hpsearch"
    monkeypatch.setenv("HPSEARCH_DATA", "~/nowhere")
    with pytest.raises(InputError, match=re.escape(str(home / "nowhere"))):
        find_dataset("auto")
    assert user_path("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")


@pytest.mark.parametrize("name", ["r?x%41'\"`x`$HOME", "r\nq\u00fc\udce9"], ids=ascii)
def test_oa10_a_study_may_have_any_name(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / name
    view = search(folder, file=write_study(tmp_path), budget__trials=2)
    assert len(view.trials) == 2
    assert plan_study(str(folder), None, {}).folder == find_study(str(folder))
    for words in (
        ["list", folder.parent],
        ["status", folder],
        ["export", folder],
        ["verify", folder],
    ):
        done = run(*words)
        assert done.code == 0, done
        assert not re.search(r"[\x00-\x09\x0b-\x1f\udc80-\udcff]", done.out), done
    assert len(read_study(find_study(str(folder))).trials) == 2


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_oa6_a_name_in_a_proposed_command_is_one_word_of_a_shell(name: str) -> None:
    word = shell_word(Path(name))
    assert word.isprintable()
    done = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert os.fsdecode(done.stdout) == (f"./{name}" if name[0] == "-" else name)
