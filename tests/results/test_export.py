"""best.yaml: complete, readable, of the best trial, and never half-made."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
from pathlib import Path

import pytest

import hpsearch as package
from hpsearch.configfile import read_yaml
from hpsearch.data import Dataset
from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder
from hpsearch.provenance import PACKAGES, software
from hpsearch.results.export import export_best
from hpsearch.results.retrain import read_exported
from tests.support.command_line import CommandLine
from tests.support.made_study import SEEDS, STUDY_SEED, TRIALS, tiny, write_study


def test_the_file_is_complete(study: Path, dataset: Dataset, tmp_path: Path) -> None:
    path = export_best(StudyFolder(study), None, tmp_path / "out" / "b.yaml").path
    assert path == tmp_path / "out" / "b.yaml"
    values = read_yaml(path)
    assert values.pop("created").startswith("20")
    assert (
        values.pop("config")
        == tiny().with_parameters({"conv1.learning_rate": 0.02, "fc.width": 9}).plain()
    )
    assert values == {
        "format": 1,
        "study": "tiny",
        "trial": 1,
        "validation_error": 0.25,
        "n_tasks": 320,
        "objective": "tasks_320",
        "ways": None,
        "shots": 1,
        "confirmed": False,
        "certificate": None,
        "provenance": None,
        "dataset": {"kind": "glyphs", "fingerprint": dataset.fingerprint},
        "seed": SEEDS[1],
        "study_seed": STUDY_SEED,
        "epochs": 2,
        "versions": {
            "hpsearch": package.__version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
    }


def test_the_file_is_readable(study: Path, tmp_path: Path) -> None:
    lines = (
        export_best(StudyFolder(study), None, tmp_path / "b.yaml").path.read_text().splitlines()
    )
    assert lines[0].startswith("# ")
    assert "hpsearch retrain" in lines[0]
    assert "trial: 1" in lines
    assert "validation_error: 0.25" in lines
    assert "    conv1:" in lines
    assert not any("{" in line or "!!" in line for line in lines)


def test_what_retrain_reads_is_what_was_exported(study: Path, tmp_path: Path) -> None:
    path = export_best(StudyFolder(study), 0, tmp_path / "b.yaml").path
    exported, config = read_exported(path)
    assert config.plain() == read_yaml(StudyFolder(study).trial(0).config)
    assert (exported.seed, exported.study_seed) == (SEEDS[0], STUDY_SEED)


def test_a_trial_of_other_data_is_refused_and_other_versions_are_named(
    hpsearch: CommandLine, dataset: Dataset, tmp_path: Path
) -> None:
    folder = write_study(tmp_path / "s", dataset)
    here = software()
    then = {**here, "versions": {**here["versions"], "numpy": "1.0"}, "dirty": False}
    held = [{**then, "fingerprint": dataset.fingerprint, "host": "a"}]
    folder.trial(1).provenance.write_text(json.dumps(held))
    done = hpsearch("export", folder.root)
    assert done.code == 0, done.err
    version = here["versions"]["numpy"]
    assert done.err == f"NOTE: the trial was trained with numpy 1.0, here {version}\n"
    assert read_yaml(folder.best)["provenance"] == held[0]
    before = folder.best.read_bytes()
    # It began on other data, on a machine before this one.
    held.insert(0, {**held[0], "fingerprint": "e" * 64, "host": "b"})
    folder.trial(1).provenance.write_text(json.dumps(held))
    done = hpsearch("export", folder.root)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"trained on {'e' * 12}, the study's data are {dataset.fingerprint[:12]}" in done.err
    assert folder.best.read_bytes() == before
    assert hpsearch("export", folder.root, "--trial", 0).code == 0


def test_export_writes_into_the_study_and_says_unconfirmed(
    hpsearch: CommandLine, dataset: Dataset, tmp_path: Path
) -> None:
    folder = write_study(tmp_path / "s", dataset)
    done = hpsearch("export", folder.root)
    assert done.code == 0
    assert str(folder.best) in done.out
    assert "unconfirmed" in done.out
    assert read_yaml(folder.best)["trial"] == 1
    assert hpsearch("export", folder.root, "--trial", 2).code == 0
    assert read_yaml(folder.best)["trial"] == 2
    assert read_yaml(folder.best)["validation_error"] == 0.2


@pytest.mark.parametrize("trials", [(), TRIALS[2:]], ids=["no trial", "none complete"])
def test_without_a_completed_trial_nothing_is_written(
    hpsearch: CommandLine, dataset: Dataset, tmp_path: Path, trials: tuple[()]
) -> None:
    folder = write_study(tmp_path / "s", dataset, trials)
    before = sorted(folder.root.rglob("*"))
    with pytest.raises(InputError, match="no completed trial to export"):
        export_best(folder, None, None)
    assert sorted(folder.root.rglob("*")) == before
    done = hpsearch("export", folder.root)
    assert done.code == 2
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("trial", [-4, -1, 3, 4, 5, 99])
def test_a_trial_without_a_result_is_refused(study: Path, tmp_path: Path, trial: int) -> None:
    """3 failed before its first epoch, 4 has not ended one, 5 was never made; none is negative."""
    with pytest.raises(InputError, match=f"--trial {trial}: no trial of that number"):
        export_best(StudyFolder(study), trial, tmp_path / "b.yaml")
    assert list(tmp_path.iterdir()) == []


def test_a_lost_configuration_is_written_again_from_the_database(
    dataset: Dataset, tmp_path: Path
) -> None:
    folder = write_study(tmp_path / "s", dataset)
    shutil.rmtree(folder.trials)
    export_best(folder, None, None)
    assert read_yaml(folder.best)["config"] == read_yaml(folder.trial(1).config)
    assert read_yaml(folder.best)["config"]["layers"]["fc"]["width"] == 9
