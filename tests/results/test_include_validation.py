"""Training on the validation characters too: which images, how long, and what may be claimed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hpsearch.configfile import read_yaml
from hpsearch.data import Characters, Dataset, split_drawers
from hpsearch.data.task_size import TaskSize
from hpsearch.errors import InputError
from hpsearch.results.retrain import retrain
from hpsearch.training import checkpoint
from hpsearch.training.trainingdata import TrainingData
from tests.support.command_line import CommandLine
from tests.support.made_study import STUDY_SEED, tiny, write_best
from tests.support.trees import role

STUCK = {"learning_rate": 1e-9}
"""Rates at which the validation error never falls."""


class Roles:
    """A data set of two roles made by hand."""

    ways = 3
    size = TaskSize(ways)
    colour_px = 0

    def __init__(self, background: Characters, validation: Characters) -> None:
        self._roles = background, validation

    def background(self, _size: int) -> Characters:
        return self._roles[0]

    def validation(self, _size: int) -> Characters:
        return self._roles[1]


def drawn_rows(data: TrainingData, config: Any) -> tuple[np.ndarray, np.ndarray]:
    """Draw many pairs: rows [P, 2] and whether they are of one character."""
    draws = [data.sampler.independent(config, np.random.default_rng(n)) for n in range(300)]
    rows, same = zip(*draws, strict=True)
    return np.concatenate(rows), np.concatenate(same)


def test_characters_of_both_roles_are_drawn_by_training_drawers(dataset: Dataset) -> None:
    config = tiny(batch_pairs=200)
    background, validation = dataset.background(20), dataset.validation(20)
    both = TrainingData.from_dataset(
        dataset, config, study_seed=STUDY_SEED, include_validation=True
    )
    assert (both.images[: len(background.images)].numpy() == background.images).all()
    assert (both.images[len(background.images) :].numpy() == validation.images).all()
    names = [*background.names, *validation.names]
    later = validation.character + len(background.names)
    character = np.concatenate([background.character, later])
    drawer = np.concatenate([background.drawer, validation.drawer])
    rows, same = drawn_rows(both, config)
    training, others = split_drawers(20, 12, STUDY_SEED)
    assert set(drawer[rows].flat) == set(training)
    assert not set(training) & set(others)
    assert {names[c] for c in character[rows].flat} == set(names)
    assert ((character[rows[:, 0]] == character[rows[:, 1]]) == same).all()


def test_without_it_nothing_of_validation_is_trained_on(dataset: Dataset) -> None:
    config = tiny(batch_pairs=200)
    alone = TrainingData.from_dataset(dataset, config, study_seed=STUDY_SEED)
    both = TrainingData.from_dataset(
        dataset, config, study_seed=STUDY_SEED, include_validation=True
    )
    assert len(alone.images) == len(dataset.background(20).images)
    assert drawn_rows(alone, config)[0].max() < len(alone.images)
    assert (alone.tasks.query == both.tasks.query).all()
    assert torch.equal(alone.validation, both.validation)


def test_an_alphabet_in_both_roles_is_one_alphabet() -> None:
    """Own images without enough alphabets lie in one alphabet, whatever their role."""
    background, validation = role((3,), drawers=4), role((3, 3), drawers=3)
    config = tiny(batch_pairs=200, within_alphabet=1.0)
    roles: Any = Roles(background, validation)
    data = TrainingData.from_dataset(roles, config, study_seed=0, include_validation=True)
    n = len(background.images)
    rows, same = drawn_rows(data, config)
    first = (rows < n) | (rows < n + 9)  # A0 of both roles; A1 is of validation only
    assert (first[:, 0] == first[:, 1]).all()
    different = rows[same == 0]
    assert ((different[:, 0] < n) != (different[:, 1] < n)).any()
    names = tuple(f"B{name}" for name in validation.names)
    renamed = replace(validation, alphabets=("B0", "B1"), names=names)
    apart: Any = Roles(background, renamed)
    data = TrainingData.from_dataset(apart, config, study_seed=0, include_validation=True)
    rows, _ = drawn_rows(data, config)
    assert ((rows[:, 0] < n) == (rows[:, 1] < n)).all()
    assert rows.max() == n + len(validation.images) - 1


@pytest.fixture(scope="module")
def best(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny(STUCK, patience=1, stop_untrainable=False)
    return write_best(tmp_path_factory.mktemp("best") / "best.yaml", dataset, config)


@pytest.fixture(scope="module")
def trained(best: Path, dataset: Dataset) -> Path:
    """Return a model trained on both roles for four epochs, all of them without progress."""
    retrain(best, dataset, best.parent / "model", include_validation=True)
    return best.parent / "model"


@pytest.mark.usefixtures("few_figures")
def test_patience_does_not_stop_it(
    best: Path, trained: Path, dataset: Dataset, tmp_path: Path
) -> None:
    stopped = retrain(best, dataset, tmp_path / "model")
    assert (stopped["epochs"], stopped["weights_epoch"]) == (2, 1)
    last = checkpoint.load(tmp_path / "model" / "checkpoint")
    assert last is not None
    weights = load_file(tmp_path / "model" / "weights.safetensors")
    assert all(torch.equal(weights[name], tensor) for name, tensor in last.best_weights().items())
    assert json.loads((trained / "metrics.json").read_text())["epochs"] == 4


def test_the_last_weights_are_kept(trained: Path) -> None:
    last = checkpoint.load(trained / "checkpoint")
    assert last is not None
    assert len(last.curve) == 4
    assert last.curve[0].validation_error == min(r.validation_error for r in last.curve)
    weights = load_file(trained / "weights.safetensors")
    assert all(torch.equal(weights[name], tensor) for name, tensor in last.weights().items())
    best = last.best_weights()
    assert not all(torch.equal(weights[name], tensor) for name, tensor in best.items())


@pytest.mark.usefixtures("few_figures")
def test_it_trains_on_other_images_than_without(dataset: Dataset, tmp_path: Path) -> None:
    path = write_best(tmp_path / "best.yaml", dataset, tiny())
    weights = []
    for include in (False, True):
        retrain(path, dataset, tmp_path / str(include), epochs=1, include_validation=include)
        weights.append((tmp_path / str(include) / "weights.safetensors").read_bytes())
    assert weights[0] != weights[1]


def test_metrics_claim_no_validation_error(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["include_validation"] is True
    assert metrics["weights_epoch"] == 4
    claims = ("validation_error", "interval", "curve")
    claims += ("verification_accuracy", "verification_interval")
    assert all(metrics[claim] is None for claim in claims)
    seen = metrics["seen_in_training"]
    assert set(seen) > set(claims)
    assert seen["validation_error"] == seen["curve"][3]["validation_error"]
    assert len(seen["curve"]) == 4


def test_the_setting_is_recorded_and_kept(best: Path, trained: Path, dataset: Dataset) -> None:
    described = read_yaml(trained / "config.yaml")
    assert described["include_validation"] is True
    before = {path: path.read_bytes() for path in trained.iterdir()}
    with pytest.raises(InputError, match="include_validation: holds another model"):
        retrain(best, dataset, trained)
    assert {path: path.read_bytes() for path in trained.iterdir()} == before
    seen: list[int] = []

    def note(result: Any, _most: int) -> None:
        seen.append(result.epoch)

    retrain(best, dataset, trained, include_validation=True, progress=note)
    assert seen == []


@pytest.mark.usefixtures("few_figures")
def test_interrupted_and_continued_gives_the_same_weights(
    best: Path, trained: Path, dataset: Dataset, tmp_path: Path
) -> None:
    def stop(result: Any, _most: int) -> None:
        if result.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retrain(best, dataset, tmp_path / "m", include_validation=True, progress=stop)
    retrain(best, dataset, tmp_path / "m", include_validation=True)
    whole = (trained / "weights.safetensors").read_bytes()
    assert (tmp_path / "m" / "weights.safetensors").read_bytes() == whole


@pytest.mark.usefixtures("few_figures")
def test_a_broken_down_training_leaves_no_weights(dataset: Dataset, tmp_path: Path) -> None:
    """Its best weights would be finite; but the last ones count here."""
    config = tiny({"learning_rate": 1.0, "l2": 5.0}, max_epochs=20)
    path = write_best(tmp_path / "best.yaml", dataset, config)
    with pytest.raises(InputError, match="without usable weights"):
        retrain(path, dataset, tmp_path / "m", include_validation=True)
    assert not (tmp_path / "m" / "weights.safetensors").exists()
    last = checkpoint.load(tmp_path / "m" / "checkpoint")
    assert last is not None
    assert all(bool(tensor.isfinite().all()) for tensor in last.best_weights().values())
    retrain(path, dataset, tmp_path / "without")
    assert (tmp_path / "without" / "weights.safetensors").exists()


@pytest.mark.usefixtures("few_figures")
def test_a_diagnosis_is_enough_to_refuse_the_last_weights(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights may still be finite when training is given up; without, the best epoch stands."""
    monkeypatch.setattr("hpsearch.training.loop._Run._finite", lambda run, _loss: run.epoch < 2)
    path = write_best(tmp_path / "best.yaml", dataset, tiny())
    assert retrain(path, dataset, tmp_path / "without")["epochs"] == 2
    with pytest.raises(InputError, match=r"without usable weights \(diverged"):
        retrain(path, dataset, tmp_path / "m", include_validation=True)
    assert not (tmp_path / "m" / "weights.safetensors").exists()


def test_the_command_line_says_what_it_cannot_say(
    hpsearch: CommandLine, dataset: Dataset, study: Path, tmp_path: Path
) -> None:
    path = write_best(tmp_path / "best.yaml", dataset, tiny(max_epochs=2))
    (tmp_path / "dataset.json").write_text((study / "dataset.json").read_text())
    done = hpsearch("retrain", path, "--include-validation")
    assert done.code == 0, done.err
    assert "on validation characters was seen in training" in done.out
    assert "for 2 epochs, a fixed number; the weights are those of the last one" in done.out
    assert "validation error 0" not in done.out
    assert done.out.endswith("certificate: not applicable\n")
    assert "error on validation characters it trains on" in done.err
    other = hpsearch("retrain", path)
    assert other.code == 0, other.err
    assert "model-1" in other.err
    assert "validation error" in other.out
