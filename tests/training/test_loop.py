"""The loop: the same as plain torch, reproducible, ended for the right reasons, well accounted."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from hpsearch.network.initialisation import initialise
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.seeding import derive_seed, generator
from hpsearch.training.config import TrialConfig
from hpsearch.training.distortion import Drawn, distort, draw_transforms
from hpsearch.training.evaluation import evaluate_tasks
from hpsearch.training.loop import step_loss, train
from hpsearch.training.trainingdata import TrainingData
from tests.support.trainings import (
    LAYERS,
    as_bytes,
    assert_same_training,
    last_checkpoint,
    timeless,
    tiny_config,
)

PAIRS = ("independent", "batch")


def plain_forward(w: dict[str, Tensor], images: Tensor) -> Tensor:
    """Encode float64 [B, 1, 20, 20] by the tiny network's formula."""
    x = functional.conv2d(images, w["conv1.weight"], w["conv1.bias"])
    x = functional.max_pool2d(x * (x > 0), 2)
    x = functional.conv2d(x, w["conv2.weight"], w["conv2.bias"])
    x = x * (x > 0)
    return 1 / (1 + torch.exp(-(x.flatten(1) @ w["fc.weight"].T + w["fc.bias"])))


def plain_epoch(
    config: TrialConfig, data: TrainingData, seed: int, *, rate: float, momentum: float
) -> tuple[dict[str, Tensor], float]:
    """Train one epoch in float64 with torch's SGD; return the weights and the mean loss."""
    network = SiameseNetwork(config.shape())
    initialise(network, config.init, torch.Generator().manual_seed(derive_seed(seed, "weights")))
    w = {n: p.detach().double().requires_grad_() for n, p in network.named_parameters()}
    sgd = torch.optim.SGD(w.values(), lr=rate, momentum=momentum)
    rng = generator(seed, "pairs")
    source = torch.Generator().manual_seed(derive_seed(seed, "distortion"))
    losses = []
    for _ in range(4):
        independent = config.pairs == "independent"
        draw = data.sampler.independent if independent else data.sampler.batch
        rows, labels = draw(config, rng)
        images = data.images[rows.ravel()][:, None].float() / 255
        transforms = draw_transforms(len(images), config.distortion, source)
        h = plain_forward(w, distort(images, Drawn(transforms)).double())
        if independent:
            left, right = torch.arange(0, len(h), 2), torch.arange(1, len(h), 2)
            same = torch.from_numpy(labels)
        else:
            left, right = torch.triu_indices(len(h), len(h), 1)
            same = torch.from_numpy(labels)[left] == torch.from_numpy(labels)[right]
        p = 1 / (1 + torch.exp(-((h[left] - h[right]).abs() * w["output.weight"][0]).sum(1)))
        entropy = -torch.where(same.bool(), p, 1 - p).log()
        kinds = [entropy[same == 1].mean(), entropy[same == 0].mean()]
        loss = sum(kinds) / 2  # with independent pairs half are the same
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    return {name: value.detach() for name, value in w.items()}, sum(losses) / 4


@pytest.mark.parametrize("pairs", PAIRS)
def test_an_epoch_is_plain_torchs(data: TrainingData, pairs: str) -> None:
    each = {"learning_rate": 0.5, "momentum": 0.9, "l2": 0}
    config = tiny_config(each, pairs=pairs, momentum_ramp=0)
    expected, loss = plain_epoch(config, data, seed=3, rate=0.5, momentum=0.9)
    epoch = next(train(config, data, seed=3))
    assert epoch.result.loss == pytest.approx(loss, rel=1e-6)
    for name, value in epoch.checkpoint().weights().items():
        torch.testing.assert_close(value.double(), expected[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("pairs", PAIRS)
def test_the_seed_alone_decides_every_bit(data: TrainingData, pairs: str) -> None:
    config = tiny_config(pairs=pairs)
    one, again, other = (last_checkpoint(train(config, data, seed)) for seed in (1, 1, 2))
    assert len(one.curve) == 5
    assert_same_training(one, again)
    assert timeless(one.curve) != timeless(other.curve)
    assert as_bytes(one.weights()) != as_bytes(other.weights())


def test_no_global_random_state_is_used_or_changed(data: TrainingData) -> None:
    one = last_checkpoint(train(tiny_config(), data, seed=1))
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002  # not to change
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        torchs = torch.random.get_rng_state()
        other = last_checkpoint(train(tiny_config(), data, seed=1))
        assert torch.equal(torch.random.get_rng_state(), torchs)
    assert random.getstate() == python
    assert np.random.get_state()[1].tobytes() == numbers[1].tobytes()  # noqa: NPY002
    assert_same_training(one, other)


def test_distortion_matters_and_can_be_off(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = last_checkpoint(train(tiny_config(), data, seed=1))

    def refuse(*_: Any) -> Tensor:
        raise AssertionError("distorted")

    monkeypatch.setattr("hpsearch.training.loop.distort", refuse)
    off = last_checkpoint(train(tiny_config(distortion={"probability": 0}), data, seed=1))
    assert timeless(on.curve) != timeless(off.curve)
    with pytest.raises(AssertionError, match="distorted"):
        next(train(tiny_config(), data, seed=1))


def test_training_learns(data: TrainingData) -> None:
    each = {"learning_rate": 0.1, "momentum": 0.9, "l2": 0}
    layers = {"fc": {"width": 64}, "output": {"bias": True}}
    config = tiny_config(
        each,
        layers=layers,
        pairs="batch",
        max_epochs=8,
        images_per_epoch=1600,
        batch_characters=16,
        batch_drawings=4,
        momentum_start=0.9,
    )
    curve = last_checkpoint(train(config, data, seed=0)).curve
    assert curve[-1].loss < 0.35 < 0.5 < curve[0].loss
    assert curve[-1].validation_error < 0.42  # chance is 0.95, an untrained network 0.55


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_ends_training_that_does_not_improve(data: TrainingData, patience: int) -> None:
    config = tiny_config(
        {"learning_rate": 1e-30, "l2": 0}, patience=patience, max_epochs=50, stop_untrainable=False
    )
    states = [epoch.checkpoint() for epoch in train(config, data, seed=1)]
    first, last = states[0], states[-1]
    assert len({r.validation_error for r in last.curve}) == 1
    assert [r.epoch for r in last.curve] == list(range(1, patience + 2))
    assert last.finished
    assert last.curve[-1].diagnosis is None
    assert as_bytes(last.weights()) != as_bytes(first.weights())  # biases left their 0
    assert as_bytes(last.best_weights()) == as_bytes(first.weights())


def test_patience_counts_from_the_best_epoch(data: TrainingData) -> None:
    config = tiny_config({"learning_rate": 0.5}, patience=4, max_epochs=60)
    errors = [e.result.validation_error for e in train(config, data, seed=1)]
    best = errors.index(min(errors))
    assert best > 0
    assert len(errors) == best + 1 + 4 < 60
    for stop in range(1, len(errors)):  # it never waited four epochs before
        assert stop - 1 - errors.index(min(errors[:stop])) < 4


def test_max_epochs_ends_training(data: TrainingData) -> None:
    checkpoint = last_checkpoint(train(tiny_config(max_epochs=3), data, seed=1))
    assert [r.epoch for r in checkpoint.curve] == [1, 2, 3]
    assert checkpoint.finished


@pytest.mark.parametrize("pairs", PAIRS)
def test_divergence_is_diagnosed_and_ends_training(data: TrainingData, pairs: str) -> None:
    config = tiny_config({"learning_rate": 1e6, "l2": 0.01}, pairs=pairs, max_epochs=50)
    curve = last_checkpoint(train(config, data, seed=1)).curve
    assert len(curve) < 20
    assert [r.diagnosis for r in curve[:-1]] == [None] * (len(curve) - 1)
    assert (curve[-1].diagnosis or "").startswith("diverged: loss ")
    assert curve[-1].validation_error == pytest.approx(0.95)
    assert not math.isfinite(curve[-1].loss)


def test_divergence_is_noticed_within_an_epoch(data: TrainingData) -> None:
    config = tiny_config({"learning_rate": 1e6, "l2": 1}, images_per_epoch=16 * 1000)
    curve = last_checkpoint(train(config, data, seed=1)).curve
    assert [r.diagnosis for r in curve] == ["diverged: loss is not finite by step 50"]
    assert curve[0].images == 50 * 16


def test_infinite_weights_are_divergence_while_the_loss_is_still_finite(
    data: TrainingData,
) -> None:
    layers = {"output": {"learning_rate": 1e6, "l2": 1e6}}  # alpha grows by 2e12 a step
    config = tiny_config({"l2": 0}, layers=layers, images_per_epoch=16, max_epochs=50)
    state = last_checkpoint(train(config, data, seed=1))
    assert not state.weights()["output.weight"].isfinite().any()
    assert math.isfinite(state.curve[-1].loss)
    assert (state.curve[-1].diagnosis or "").startswith("diverged: ")


def test_an_infinite_loss_is_divergence_while_the_weights_are_still_finite(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overflow(*given: Any) -> Tensor:
        return step_loss(*given) + math.inf

    monkeypatch.setattr("hpsearch.training.loop.step_loss", overflow)
    state = last_checkpoint(train(tiny_config(), data, seed=1))
    assert all(weight.isfinite().all() for weight in state.weights().values())
    assert [r.diagnosis for r in state.curve] == ["diverged: loss inf in epoch 1"]


def test_best_weights_are_those_of_the_lowest_error(data: TrainingData) -> None:
    config = tiny_config({"learning_rate": 0.5}, max_epochs=8)
    states = [epoch.checkpoint() for epoch in train(config, data, seed=1)]
    errors = [r.validation_error for r in states[-1].curve]
    assert 0 < errors.index(min(errors)) < 7
    for state in states:
        so_far = [r.validation_error for r in state.curve]
        best = so_far.index(min(so_far))
        assert as_bytes(state.best_weights()) == as_bytes(states[best].weights())
    network = SiameseNetwork(config.shape())
    network.load_state_dict(states[-1].best_weights())
    scores = evaluate_tasks(network, data.validation, data.tasks)
    assert 1 - scores.accuracy == pytest.approx(min(errors), abs=1 / 320)


@pytest.mark.parametrize(("pairs", "images"), [("independent", 4 * 16), ("batch", 4 * 16)])
def test_images_and_multiply_adds_are_counted(data: TrainingData, pairs: str, images: int) -> None:
    config = tiny_config(pairs=pairs, max_epochs=3)
    network = SiameseNetwork(config.shape(), device="meta")
    with FlopCounterMode(display=False) as counter:
        network.encode(torch.empty(1, 1, 20, 20, device="meta"))
    each = counter.get_total_flops() // 2
    for epoch in train(config, data, seed=1):
        result = epoch.result
        assert result.images == images * result.epoch
        assert result.multiply_adds == 3 * each * result.images


def test_small_batches_are_counted_as_they_are(data: TrainingData) -> None:
    config = tiny_config(
        pairs="batch", within_alphabet=1, batch_characters=32, images_per_epoch=256
    )
    result = next(train(config, data, seed=1)).result
    assert 4 * 2 * 20 <= result.images <= 4 * 2 * 26  # the alphabets have 20 to 26 characters


def test_an_epoch_rounds_its_steps_up(data: TrainingData) -> None:
    result = next(train(tiny_config(images_per_epoch=65), data, seed=1)).result
    assert result.images == 5 * 16


def test_time_only_grows(data: TrainingData) -> None:
    curve = last_checkpoint(train(tiny_config(), data, seed=1)).curve
    seconds = [r.seconds for r in curve]
    assert seconds[0] > 0
    assert seconds == sorted(set(seconds))


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_trains(data: TrainingData, layer: str) -> None:
    still = {name: {"learning_rate": 1e-30} for name in LAYERS if name != layer}
    config = tiny_config({"l2": 0}, layers=still, max_epochs=2, init="koch")
    one, two = [epoch.checkpoint().weights() for epoch in train(config, data, seed=1)]
    moved = {name.split(".")[0] for name in one if not torch.equal(one[name], two[name])}
    assert moved == {layer}


def test_validation_does_not_disturb_training(data: TrainingData) -> None:
    tasks = replace(
        data.tasks,
        query=data.tasks.query[:1],
        support=data.tasks.support[:1],
        target=data.tasks.target[:1],
        alphabet=data.tasks.alphabet[:1],
    )
    whole = last_checkpoint(train(tiny_config(), data, seed=1))
    few = last_checkpoint(train(tiny_config(), replace(data, tasks=tasks), seed=1))
    assert as_bytes(whole.weights()) == as_bytes(few.weights())
