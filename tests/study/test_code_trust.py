"""A class that only somebody else's folder names is not loaded before its user agrees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hpsearch
from hpsearch.app.python import _plan_function
from hpsearch.errors import InputError
from hpsearch.json_files import NO_DATA
from hpsearch.paths import StudyFolder
from hpsearch.study.code_trust import note_code
from hpsearch.study.plan import StudyPlan, plan_study, save_plan
from tests.support.command_line import run
from tests.support.functions import steps
from tests.support.programs import write_command_study

REFUSED = "Evil, which was not begun by this user on this machine; read it, then hpsearch search"


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that says when it is loaded."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "mine"))
    file = tmp_path / "evil.py"
    file.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    return file


def add_class(plan: StudyPlan, part: str, evil: Path) -> StudyFolder:
    """Begin a study as somebody who adds a class to it."""
    named = getattr(plan.config, part).model_copy(update={"name": f"{evil}:Evil"})
    save_plan(replace(plan, config=plan.config.model_copy(update={part: named})), NO_DATA)
    return plan.folder


@pytest.mark.parametrize("part", ["sampler", "pruner"])
def test_a_study_file_agrees_only_to_the_classes_it_names(evil: Path, part: str) -> None:
    unnamed: dict[str, Any] = {part: {}}
    study = write_command_study(evil.parent, **unnamed)
    folder = add_class(plan_study(str(study), evil.parent / "r", {}), part, evil)
    for options in ((), ("--dry-run",), ("--trust",)):
        done = run("search", study, "--output", folder.root, *options)
        assert (done.code, REFUSED in done.err, done.err.count("\n")) == (2, True, 1), done
    assert not (evil.parent / "ran").exists()
    assert not folder.code_trust.exists()
    note_code(folder, plan_study(str(folder.root), None, {}).config)
    assert getattr(plan_study(str(study), folder.root, {}).config, part).name == f"{evil}:Evil"


def test_a_function_agrees_to_no_class(evil: Path) -> None:
    space = {"x": {"type": "float", "low": 0, "high": 1}}
    settings: dict[str, Any] = {"max_steps": 3, "budget": {"trials": 1}}
    plan = _plan_function(steps, space, evil.parent / "r", settings)
    folder = add_class(plan, "sampler", evil)
    with pytest.raises(InputError, match=REFUSED):
        hpsearch.search(steps, space, output=folder.root, **settings)
    assert not (evil.parent / "ran").exists()
