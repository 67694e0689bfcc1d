"""Retraining: to the end, continued bit for bit, and never over another model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hpsearch.configfile import read_yaml
from hpsearch.data import Dataset, split_drawers, validation_tasks, verification_pairs
from hpsearch.data.task_size import TaskSize
from hpsearch.errors import InputError
from hpsearch.intervals import wilson
from hpsearch.paths import StudyFolder
from hpsearch.provenance import software
from hpsearch.recognition.model import load_model
from hpsearch.results.export import export_best
from hpsearch.results.retrain import Certified, against_certificate, read_exported, retrain
from hpsearch.training import checkpoint
from hpsearch.training.epoch import EpochResult
from hpsearch.wording import percent
from tests.support.command_line import CommandLine
from tests.support.made_study import STUDY_SEED, tiny, write_best


def interrupt_after(epochs: int) -> Any:
    """Return a progress callback that stops training as Ctrl-C does."""

    def stop(result: EpochResult, _most: int) -> None:
        if result.epoch == epochs:
            raise KeyboardInterrupt

    return stop


def timeless(metrics: dict[str, Any]) -> dict[str, Any]:
    curve = [{**epoch, "seconds": 0} for epoch in metrics["curve"]]
    rest = {key: value for key, value in metrics.items() if key != "checksum"}
    return {**rest, "seconds": 0, "curve": curve}


@pytest.fixture(scope="module")
def best(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny({"learning_rate": 0.3}, pairs="batch", images_per_epoch=512)
    return write_best(tmp_path_factory.mktemp("best") / "best.yaml", dataset, config)


@pytest.fixture(scope="module")
def trained(best: Path, dataset: Dataset) -> Path:
    """Return the folder of a model trained in one go."""
    retrain(best, dataset, best.parent / "model")
    return best.parent / "model"


def test_an_exported_trial_is_trained_from_the_command_line(
    hpsearch: CommandLine, study: Path, dataset: Dataset, tmp_path: Path
) -> None:
    """The data are those the study beside it remembers: there is no --data."""
    (tmp_path / "dataset.json").write_text((study / "dataset.json").read_text())
    path = export_best(StudyFolder(study), None, tmp_path / "best.yaml").path
    done = hpsearch("retrain", path, "--epochs", 2)
    assert done.code == 0, done.err
    assert [line.split(":")[0] for line in done.err.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert f"validation error {percent(metrics['validation_error'])} [" in done.out
    assert "on 10000 pairs" in done.out
    assert "certificate: not applicable" in done.out  # two epochs instead of four
    model = load_model(tmp_path / "model")
    assert model.config == read_exported(path)[1].with_parameters({"max_epochs": 2})
    assert model.description["dataset"]["fingerprint"] == dataset.fingerprint
    assert model.description["include_validation"] is False


def test_scores_trained_by_softmax_are_verified_with_their_calibration(
    hpsearch: CommandLine, study: Path, dataset: Dataset, tmp_path: Path
) -> None:
    """They rank; other alphabets than those judged say where the threshold lies."""
    config = tiny(loss="softmax", pairs="batch", batch_drawings=2, max_epochs=1)
    path = write_best(tmp_path / "best.yaml", dataset, config)
    (tmp_path / "dataset.json").write_text((study / "dataset.json").read_text())
    done = hpsearch("retrain", path)
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert metrics["verification_accuracy"] is metrics["verification_interval"] is None
    accuracy = percent(metrics["calibrated_accuracy"])
    said = f"verification accuracy {accuracy} on 10000 pairs, calibrated on other alphabets"
    assert said in done.out
    calibrated = load_model(tmp_path / "model").calibration
    assert {"slope": calibrated.slope, "bias": calibrated.bias} == metrics["calibration"]


def test_interrupted_and_continued_gives_the_same_weights(
    best: Path, trained: Path, dataset: Dataset, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    for epoch in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            retrain(best, dataset, folder, progress=interrupt_after(epoch))
        assert not (folder / "weights.safetensors").exists()
    seen: list[int] = []
    metrics = retrain(best, dataset, folder, progress=lambda r, _: seen.append(r.epoch))
    assert seen == [4]
    whole = (trained / "weights.safetensors").read_bytes()
    assert (folder / "weights.safetensors").read_bytes() == whole
    assert (folder / "config.yaml").read_text() == (trained / "config.yaml").read_text()
    straight = json.loads((trained / "metrics.json").read_text())
    assert timeless(metrics) == timeless(straight)
    retrain(best, dataset, folder)
    assert (folder / "weights.safetensors").read_bytes() == whole


def test_the_weights_are_those_of_the_best_epoch(trained: Path, dataset: Dataset) -> None:
    """The error is computed anew, task by task."""
    model = load_model(trained)
    metrics = json.loads((trained / "metrics.json").read_text())
    characters = dataset.validation(20)
    _, drawers = split_drawers(20, 12, STUDY_SEED)
    tasks = validation_tasks(characters, TaskSize(20), drawers=drawers, seed=STUDY_SEED)
    images = torch.from_numpy(np.array(characters.images)).unsqueeze(1).float() / 255
    with torch.no_grad():
        codes = model.network.encode(images)
        earned = 0.0
        for query, support, target in zip(tasks.query, tasks.support, tasks.target, strict=True):
            for row, place in zip(query, target, strict=True):
                scores = model.network.score(codes[row], codes[support])
                best = scores == scores.max()
                earned += float(best[place]) / int(best.sum())
    errors = [epoch["validation_error"] for epoch in metrics["curve"]]
    assert metrics["validation_error"] == pytest.approx(1 - earned / 320, abs=1e-9)
    assert metrics["validation_error"] == min(errors)
    assert metrics["weights_epoch"] == 1 + errors.index(min(errors))
    assert metrics["interval"] == list(wilson(metrics["validation_error"], 320))
    assert (metrics["n_tasks"], metrics["epochs"]) == (320, len(errors))


def test_verification_accuracy_is_of_10_000_pairs(trained: Path, dataset: Dataset) -> None:
    """Every image of every pair is encoded by itself here."""
    model = load_model(trained)
    metrics = json.loads((trained / "metrics.json").read_text())
    characters = dataset.validation(20)
    _, drawers = split_drawers(20, 12, STUDY_SEED)
    left, right, same = verification_pairs(characters, 10_000, drawers, STUDY_SEED)
    images = torch.from_numpy(np.array(characters.images)).unsqueeze(1).float() / 255
    with torch.no_grad():
        one, other = model.network.encode(images[left]), model.network.encode(images[right])
        p = torch.sigmoid(model.network.score(one, other))
    accuracy = float(((p > 0.5).numpy() == same).mean())
    assert metrics["n_pairs"] == len(same) == 10_000
    assert metrics["verification_accuracy"] == pytest.approx(accuracy, abs=3e-4)
    assert metrics["verification_accuracy"] > 0.55
    shown = len({*left.tolist(), *right.tolist()})  # a picture shown again is no new evidence
    interval = list(wilson(metrics["verification_accuracy"], shown))
    assert metrics["verification_interval"] == interval


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"seed": 4}, "seed"),
        ({"epochs": 5}, "config"),
        ({"include_validation": True}, "include_validation"),
    ],
)
def test_another_model_in_the_same_folder_is_refused(
    best: Path, trained: Path, dataset: Dataset, changes: dict[str, Any], key: str
) -> None:
    before = {path: path.read_bytes() for path in trained.iterdir()}
    with pytest.raises(InputError, match=rf"config\.yaml: {key}: holds another model"):
        retrain(best, dataset, trained, **changes)
    assert {path: path.read_bytes() for path in trained.iterdir()} == before


CERTIFIED = Certified(interval_one_training=(0.2, 0.3))


@pytest.mark.parametrize(
    ("error", "certificate", "as_found", "verdict"),
    [
        (0.25, CERTIFIED, True, "within"),
        (0.2, CERTIFIED, True, "within"),
        (0.3, CERTIFIED, True, "within"),
        (0.1999, CERTIFIED, True, "outside"),
        (0.3001, CERTIFIED, True, "outside"),
        (float("nan"), CERTIFIED, True, "outside"),
        (0.25, None, True, "unconfirmed"),
        (0.25, CERTIFIED, False, "not applicable"),
        (0.9, CERTIFIED, False, "not applicable"),
        (0.25, None, False, "not applicable"),
    ],
)
def test_the_verdict_holds_the_error_against_the_certificate(
    error: float, certificate: Certified | None, as_found: bool, verdict: str
) -> None:
    found = against_certificate(error, certificate, as_found=as_found)
    told = verdict in ("within", "outside")
    assert found == {"verdict": verdict, "interval": [0.2, 0.3] if told else None}


@pytest.mark.usefixtures("few_figures")
@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "within"),
        ({"epochs": 2, "seed": 4}, "within"),  # as many as were searched with
        ({"epochs": 1}, "not applicable"),
        ({"include_validation": True}, "not applicable"),
    ],
)
def test_only_a_training_as_it_was_found_has_aagainst_certificate(
    dataset: Dataset, tmp_path: Path, changes: dict[str, Any], verdict: str
) -> None:
    certificate = {"interval_one_training": [0.0, 1.0]}
    config = tiny(max_epochs=2)
    path = write_best(tmp_path / "best.yaml", dataset, config, certificate=certificate)
    found = retrain(path, dataset, tmp_path / "model", **changes)
    assert found["certificate"]["verdict"] == verdict


@pytest.mark.usefixtures("few_figures")
def test_other_versions_than_the_trials_are_named(
    hpsearch: CommandLine, study: Path, dataset: Dataset, tmp_path: Path
) -> None:
    then = software()
    then = {**then, "versions": {**then["versions"], "torch": "1.0"}}
    path = write_best(tmp_path / "best.yaml", dataset, tiny(max_epochs=1), provenance=then)
    (tmp_path / "dataset.json").write_text((study / "dataset.json").read_text())
    done = hpsearch("retrain", path)
    assert done.code == 0, done.err
    here = software()["versions"]["torch"]
    assert f"NOTE: found with torch 1.0, here {here}: the result may differ\n" in done.err
    assert done.err.count("NOTE") == 1 + bool(then["dirty"])


def test_another_configuration_in_the_same_folder_is_refused(
    trained: Path, dataset: Dataset, tmp_path: Path
) -> None:
    path = write_best(tmp_path / "best.yaml", dataset, tiny().with_parameters({"fc.width": 24}))
    with pytest.raises(InputError, match="config: holds another model"):
        retrain(path, dataset, trained)


@pytest.mark.usefixtures("few_figures")
def test_other_data_are_refused(
    best: Path, dataset: Dataset, other: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf"found on {dataset.fingerprint[:12]}.*--data"):
        retrain(best, other, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    bare = tmp_path / "bare.yaml"
    bare.write_text(tiny(max_epochs=1).to_yaml())
    retrain(bare, other, tmp_path / "model")
    described = read_yaml(tmp_path / "model" / "config.yaml")
    assert described["dataset"]["fingerprint"] == other.fingerprint


@pytest.mark.usefixtures("few_figures")
def test_a_given_seed_replaces_the_trials(best: Path, dataset: Dataset, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, seed in zip(folders, (3, None, 4), strict=True):
        retrain(best, dataset, folder, seed=seed, epochs=1)
    weights = [(folder / "weights.safetensors").read_bytes() for folder in folders]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_a_training_that_breaks_down_leaves_no_weights(
    hpsearch: CommandLine, dataset: Dataset, tmp_path: Path
) -> None:
    config = tiny({"learning_rate": 1e6, "l2": 1e6})
    path = write_best(tmp_path / "best.yaml", dataset, config)
    with pytest.raises(InputError, match=r"without usable weights \(diverged"):
        retrain(path, dataset, tmp_path / "model")
    assert not (tmp_path / "model" / "weights.safetensors").exists()
    assert not (tmp_path / "model" / "metrics.json").exists()


@pytest.mark.usefixtures("few_figures")
def test_a_damaged_checkpoint_costs_its_epoch_only(
    best: Path, trained: Path, dataset: Dataset, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    with pytest.raises(KeyboardInterrupt):
        retrain(best, dataset, folder, progress=interrupt_after(3))
    content = bytearray((folder / "checkpoint").read_bytes())
    content[-1] ^= 1
    (folder / "checkpoint").write_bytes(content)
    seen: list[int] = []
    retrain(best, dataset, folder, progress=lambda r, _: seen.append(r.epoch))
    assert seen == [3, 4]
    weights, straight = (load_file(f / "weights.safetensors") for f in (folder, trained))
    assert all(torch.equal(weights[name], straight[name]) for name in straight)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dataset": "glyphs"}, "dataset"),
        ({"dataset": {"kind": "glyphs"}}, "dataset.fingerprint"),
        ({"seed": -1}, "seed"),
        ({"study_seed": "one"}, "study_seed"),
        ({"format": 2}, "format"),
        ({"config": {"input_size": 20}}, "layers"),
    ],
)
def test_a_file_that_was_changed_wrongly_is_an_input_error(
    dataset: Dataset, tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    path = write_best(tmp_path / "best.yaml", dataset, tiny(), **changes)
    with pytest.raises(InputError, match=rf"best\.yaml: (line \d+: )?{named}: "):
        read_exported(path)


def test_checkpoints_stay_so_that_the_same_command_continues(trained: Path) -> None:
    last = checkpoint.load(trained / "checkpoint")
    assert last is not None
    assert last.finished
    assert {path.name for path in trained.iterdir()} == {
        "checkpoint", "checkpoint.previous", "config.yaml", "metrics.json", "weights.safetensors"
    }  # fmt: skip
