"""F18: a study folder and a best.yaml of every released version open, are sound, and go on."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hpsearch import __version__
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.paths import StudyFolder
from hpsearch.results.retrain import read_exported
from hpsearch.storage.view import read_study
from tests.support.cases import search
from tests.support.command_line import run

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
    assert run("export", old.root).code == 0  # the one of before may be of the best no more
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


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Drawings, and the study and model that version 0.1.0 made of them."""
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    shutil.copytree(ASSETS / "images-0.1.0", tmp_path, dirs_exist_ok=True)
    with zipfile.ZipFile(tmp_path / "drawings.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_F18_an_old_study_of_own_images_opens_and_goes_on(own: Path) -> None:
    """the trial that was interrupted goes on; every suggestion is derived again"""
    before = [t for t in read_study(StudyFolder(own / "study")).trials if t.finished]
    for command in ("status", "trials", "doctor", "verify"):
        done = run(command, own / "study")
        assert done.code == 0, done
    assert "6 derived again and equal" in done.out
    done = run("search", own / "study", "--data", own / "drawings")
    assert done.code == 0, done
    trials = read_study(StudyFolder(own / "study")).trials
    assert trials[: len(before)] == before
    assert [t.state for t in trials] == ["complete"] * 7


def test_F18_an_old_export_and_an_old_model_of_own_images_are_read(own: Path) -> None:
    """the model scores as it did; its export is trained again to the same fingerprint"""
    done = run("evaluate", own / "model", "--data", own / "drawings", "--json")
    assert done.code == 0, done
    recorded = json.loads((ASSETS / "images-0.1.0/model/evaluation.json").read_bytes())
    assert json.loads(done.out)["accuracy"] == pytest.approx(recorded["accuracy"], abs=0.02)
    query = next((own / "drawings/class00").iterdir())
    done = run("recognise", own / "model", "--support", own / "drawings", query, "--json")
    assert done.code == 0, done
    done = run(
        "retrain", own / "study/best.yaml", "--data", own / "drawings", "--epochs", "1",
        "--output", own / "again",
    )  # fmt: skip
    assert done.code == 0, done
