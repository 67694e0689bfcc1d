"""What make hands to the programs: every variable as it was typed, and no variable it lacks."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.support.recorded_make import MAKEFILE, Make

TYPED = ["""a $HOME `touch x` "q" b""", "it's", "$(touch x)", "${PATH} $$ # \\", "two\nlines"]
TYPED += ["~/é", "; touch x", "-x", "*"]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return Make(tmp_path)


@pytest.mark.parametrize("typed", TYPED)
def test_oa6_a_variable_reaches_the_program_as_typed(make: Make, typed: str) -> None:
    before = sorted(make.folder.iterdir())
    done = make("search", f"DATA={typed}", f"OUTPUT={typed}", f"STUDY={typed}")
    assert done.returncode == 0, done.stderr
    assert make.given() == ["search", typed, "--data", typed, "--output", typed]
    assert make("retrain", DATA=typed, OUTPUT=typed).returncode == 0
    assert make.given()[1:] == [
        f"{typed}/best.yaml",
        "--data",
        typed,
        "--output",
        f"{typed}/model",
    ]
    assert sorted(make.folder.iterdir()) == before, "a shell has read it"


@pytest.mark.parametrize(
    ("study", "folder"),
    [
        ("modern", "runs/modern"), ("studies/my first.v2.yaml", "runs/my first.v2"),
        (".venv/bin/", ".venv/bin/"), ("a.b/c", "runs/c"),
    ],
)  # fmt: skip
def test_the_folder_is_where_hpsearch_puts_it(make: Make, study: str, folder: str) -> None:
    assert make("status", f"STUDY={study}").returncode == 0
    assert make.given() == ["status", folder]


def test_what_is_not_set_is_not_passed(make: Make) -> None:
    make("search", "confirm", "bench-search", "DATA=")
    given = make.given()
    assert given[:3] == ["search", "confirm", "runs/quickstart"]
    assert not [word for word in given if word.startswith("--")]


def test_without_a_name_the_study_begun_last_is_meant(make: Make) -> None:
    for age, name in ((20, "modern"), (10, "my own"), (30, "quickstart")):
        study = make.folder / "runs" / name / "study.yaml"
        study.parent.mkdir(parents=True)
        study.touch()
        os.utime(study, (1e9 - age, 1e9 - age))
    assert make("status").returncode == 0
    assert make.given() == ["status", "runs/my own"]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("TRAILS=3", "TRAILS: there is no such variable; did you mean TRIALS?"),
        ("data=x", "data: there is no such variable; did you mean DATA?"),
        ("a'`id`;b=x", "there is no such variable; make help lists them"),
    ],
)
def test_oa6_a_variable_that_make_lacks_is_named(make: Make, typed: str, told: str) -> None:
    done = make("search", typed)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert not {"x", "words"} & {path.name for path in make.folder.iterdir()}


def test_help_lists_every_variable_that_a_recipe_reads(make: Make) -> None:
    listed = set(re.findall(r"^([A-Z]+) ", make("help").stdout, re.M))
    text = MAKEFILE.read_text()
    read = set(re.findall(r"(?:\$\$\{?|call option,[a-z]+,)([A-Z]+)", text))
    assert {"STUDY", "DATA", "TRIALS", "KILLS", "TOP"} <= read
    assert read <= listed
