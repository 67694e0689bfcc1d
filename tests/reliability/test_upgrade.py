"""F18: a study folder and a best.yaml of every released version open, are sound, and go on."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hpsearch import __version__
from hpsearch.paths import StudyFolder
from hpsearch.results.retrain import read_exported
from hpsearch.search.invariants import check_invariants
from hpsearch.search.record import read_study

from .cases import run, search
from .make_asset import ASSETS

See = Callable[[object], None]
VERSIONS = sorted(path.name for path in ASSETS.glob("[0-9]*") if path.is_dir())


def test_this_version_has_its_asset() -> None:
    assert __version__.split("+")[0] in VERSIONS


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> StudyFolder:
    """A copy of an old version's study."""
    shutil.copytree(ASSETS / request.param, tmp_path / "study")
    return StudyFolder(tmp_path / "study")


def test_F18_an_old_study_opens_is_sound_and_goes_on(old: StudyFolder, see: See) -> None:
    """status, trials, export, doctor: exit 0; the same command goes on to its budget"""
    states = Counter(t.state for t in read_study(old).trials)
    assert states["complete"] >= 1
    assert states["running"] >= 1
    for command in ("status", "trials", "export", "doctor"):
        done = run(command, old.root)
        assert done.code == 0, done
    before = [t for t in read_study(old).trials if t.finished]
    view = search(old.root, file=old.root)
    assert [t for t in view.trials if t.number in {b.number for b in before}] == before
    assert all(t.finished for t in view.trials)
    assert len(view.trials) == 6
    assert {v.standing for v in check_invariants(old)} == {"holds"}
    see(f"{dict(states)}, then all 6 finished")


def test_F18_an_old_best_yaml_can_be_trained(old: StudyFolder) -> None:
    """read as it was written"""
    exported, config = read_exported(old.best)
    assert exported.dataset is not None
    assert exported.dataset.kind == "glyphs"
    assert config.max_epochs == 3


def test_F18_a_database_without_its_study_is_built_again(old: StudyFolder) -> None:
    """an old folder whose database no longer opens: doctor --repair"""
    before = [(t.number, t.state, t.value) for t in read_study(old).trials]
    old.database.unlink()
    assert run("doctor", old.root, "--repair").code == 0
    assert [(t.number, t.state, t.value) for t in read_study(old).trials] == before
