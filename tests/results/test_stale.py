"""best.yaml of a trial that is no longer the best is named; an older model gives way, not lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.data import Dataset
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.paths import StudyFolder
from hpsearch.results.export import HEAD, export_best, stale
from tests.support.command_line import CommandLine
from tests.support.made_study import write_study


@pytest.fixture
def folder(dataset: Dataset, tmp_path: Path) -> StudyFolder:
    """A study whose best.yaml is of trial 0; its best is trial 1."""
    made = write_study(tmp_path / "study", dataset)
    path = export_best(made, 0, None).path
    values = read_yaml(path)
    assert values.pop("chosen")  # as it was exported before trial 1 was there
    path.write_text(HEAD + dump_yaml(values))
    return made


def standing(folder: StudyFolder) -> tuple[str, str]:
    found = next(v for v in check_invariants(folder) if v.key == "I16")
    return found.standing, found.seen


def test_a_stale_export_is_named_with_both_trials(folder: StudyFolder) -> None:
    said = stale(folder.best)
    assert said is not None
    assert "is of trial 0 (error 0.3), the best is trial 1 (error 0.25) now" in said
    assert standing(folder)[0] == "pending"
    assert "trial 0, the best is trial 1" in standing(folder)[1]
    export_best(folder, None, None)
    assert stale(folder.best) is None
    assert standing(folder) == ("holds", "best.yaml: trial 1")


def test_a_trial_that_was_asked_for_is_not_stale(folder: StudyFolder, tmp_path: Path) -> None:
    export_best(folder, 0, None)
    assert stale(folder.best) is None
    assert standing(folder)[0] == "holds"
    copied = tmp_path / "best.yaml"
    copied.write_bytes(folder.best.read_bytes())
    assert stale(copied) is None  # it lies in no study's folder


@pytest.mark.usefixtures("few_figures")
def test_retrain_sets_the_older_model_aside(hpsearch: CommandLine, folder: StudyFolder) -> None:
    first = hpsearch("retrain", folder.best, "--epochs", 1)
    assert first.code == 0, first.err
    assert first.err.count("is of trial 0") == 1
    before = {p.name: p.read_bytes() for p in folder.model.iterdir()}
    export_best(folder, None, None)
    then = hpsearch("retrain", folder.best, "--epochs", 1, "--output", folder.model)
    assert then.code == 0, then.err
    aside = folder.root / "model-1"
    assert f"{folder.model}: held another model" in then.err
    assert f"it is {aside} now" in then.err
    assert {p.name: p.read_bytes() for p in aside.iterdir()} == before
    again = hpsearch("retrain", folder.best, "--epochs", 1)
    assert "held another model" not in again.err
    named = hpsearch("retrain", folder.best, "--epochs", 1, "--seed", 4, "--output", aside)
    assert named.code == 2  # a folder that somebody named is not moved
    assert "holds another model" in named.err
