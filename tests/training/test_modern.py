"""The settings beside the paper's, each against an independent reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch.nn import functional

from hpsearch.data import Dataset
from hpsearch.errors import InputError
from hpsearch.network.initialisation import initialise
from hpsearch.network.loss import batch_loss, pair_loss, softmax_loss
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.space.effects import refuse_without_effect
from hpsearch.space.parameter import Parameter
from hpsearch.training import checkpoint
from hpsearch.training.config import TrialConfig
from hpsearch.training.loop import Interrupted, train
from hpsearch.training.optimiser import LayerwiseOptimiser, schedule
from hpsearch.training.trainingdata import TrainingData, take
from tests.support.trainings import assert_same_training, last_checkpoint, tiny_config
from tests.training.test_optimiser import gradients, random_network, set_gradients, weights

MODERN: dict[str, Any] = {
    "pairs": "batch",
    "loss": "softmax",
    "batch_norm": True,
    "optimiser": "adamw",
    "schedule": "cosine",
    "warmup_epochs": 0.5,
    "weight_averaging": 0.9,
    "label_smoothing": 0.1,
    "quarter_turns": True,
}


def modern(**settings: Any) -> TrialConfig:
    each = {"learning_rate": 0.01, "l2": 0.01}
    return tiny_config(each, **{**MODERN, **settings})


def after_one_step() -> Callable[[], bool]:
    asked = iter([False, True])
    return lambda: next(asked)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_softmax_asks_every_drawing_against_one_of_each_character(smoothing: float) -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((3, 5, 3, 5))  # drawing, character, drawing, character
    scores = scores + scores.transpose(2, 3, 0, 1)
    losses = []
    for i in range(3):
        for j in range(3):
            for c in range(5 if i != j else 0):
                logs = log_softmax(scores[i, c, j])
                losses.append(-(1 - smoothing) * logs[c] - smoothing * logs.mean())
    blocks = [torch.from_numpy(scores[i, :, j]) for i, j in combinations(range(3), 2)]
    assert float(softmax_loss(blocks, smoothing)) == pytest.approx(np.mean(losses), rel=1e-12)


def test_smoothed_pairs_aim_between_same_and_different() -> None:
    logits, same = torch.tensor([0.3, -2.0]).double(), torch.tensor([1, 0])
    p = torch.sigmoid(logits)
    first = -(0.9 * p[0].log() + 0.1 * (1 - p[0]).log())
    second = -(0.1 * p[1].log() + 0.9 * (1 - p[1]).log())
    assert float(pair_loss(logits, same, 0.2)) == pytest.approx(float(first + second) / 2)
    matrix = logits[:, None] + logits[None]
    alike = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double()
    everything = torch.ones(2, 2).double()
    targets = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).double()
    losses = functional.binary_cross_entropy_with_logits(matrix, targets, reduction="none")
    expected = (losses.diag().mean() + losses[0, 1]) / 2
    assert float(batch_loss(matrix, alike, everything, 0.2)) == pytest.approx(float(expected))


def test_softmax_needs_batches() -> None:
    with pytest.raises(InputError, match="set pairs: batch"):
        tiny_config(loss="softmax", pairs="independent")


def test_adamw_steps_are_those_of_numpy_layer_by_layer() -> None:
    layers = {
        "conv1": {"learning_rate": 0.1, "l2": 0.3},
        "conv2": {"learning_rate": 0.02, "l2": 0.0},
        "fc": {"learning_rate": 0.01, "l2": 0.5},
        "output": {"learning_rate": 0.05, "l2": 0.1, "bias": True},
    }
    config = tiny_config(layers=layers, optimiser="adamw", learning_rate_decay=0.9)
    network = random_network(config)
    w = weights(network)
    m, v = ({n: np.zeros_like(x) for n, x in w.items()} for _ in range(2))
    optimiser = LayerwiseOptimiser(network, config)
    for step in range(1, 6):
        optimiser.set_position(step)
        values = gradients(network, step)
        set_gradients(network, values)
        optimiser.step()
        for name, g in values.items():
            layer = layers[name.split(".")[0]]
            eta = layer["learning_rate"] * 0.9 ** (step - 1)
            decay = layer["l2"] if name.endswith("weight") else 0.0
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.999 * v[name] + 0.001 * g**2
            corrected = m[name] / (1 - 0.9**step), v[name] / (1 - 0.999**step)
            w[name] = w[name] * (1 - eta * decay)
            w[name] = w[name] - eta * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
    for name, value in weights(network).items():
        np.testing.assert_allclose(value, w[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_the_cosine_warms_up_and_ends_at_zero() -> None:
    config = modern(max_epochs=10, warmup_epochs=2, learning_rate_factor=3, images_per_epoch=160)

    def rate(epoch: int, share: float) -> float:
        return schedule(config, epoch, share)[0]["fc"]

    steps = config.steps_per_epoch
    assert steps == 10
    assert rate(1, 0.0) == pytest.approx(0.03 / 20)
    assert rate(2, 0.5) == pytest.approx(0.03 * 1.6 / 2)
    assert rate(3, 0.0) == pytest.approx(0.03)
    for done in (3.0, 5.5, 8.25):
        cosine = (1 + math.cos(math.pi * (done - 2) / 8)) / 2
        assert rate(int(done) + 1, done % 1) == pytest.approx(0.03 * cosine)
    assert rate(10, 1.0) == pytest.approx(0.0, abs=1e-12)


def test_batch_norm_is_the_formula_and_its_average_is_used_afterwards() -> None:
    config = tiny_config(batch_norm=True)
    network = SiameseNetwork(config.shape())
    initialise(network, "he", torch.Generator().manual_seed(0))
    assert "conv1.bias" not in dict(network.named_parameters())
    images = torch.rand(7, 1, 20, 20, generator=torch.Generator().manual_seed(1))
    x = functional.conv2d(images, network.conv1.weight)
    x = functional.max_pool2d(x, 2)
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    scaled = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
    network.train()
    network.encode(images)
    norm = network.conv1.norm
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)
    torch.testing.assert_close(functional.relu(scaled), functional.relu(norm(x)))
    network.eval()
    one = network.encode(images[:1])
    torch.testing.assert_close(one, network.encode(images)[:1])


def test_parameters_with_batch_norm_are_counted() -> None:
    config = tiny_config(batch_norm=True)
    network = SiameseNetwork(config.shape(), device="meta")
    assert config.shape().parameters == sum(p.numel() for p in network.parameters())


def test_turned_rows_are_turned_images(dataset: Dataset) -> None:
    config = modern()
    data = TrainingData.from_dataset(dataset, config, study_seed=0)
    count = len(data.images)
    rows = torch.tensor([3, 3 + count, 3 + 2 * count, 3 + 3 * count])
    shown = take(data.images, rows, config.views)
    for turn in range(4):
        expected = np.rot90(data.images[3].numpy(), turn)
        np.testing.assert_array_equal(shown[turn].numpy(), expected)


@pytest.mark.parametrize(("turned", "n_views"), [(True, 8), (False, 2)])
def test_mirrored_rows_are_mirrored_images_of_alphabets_of_their_own(
    dataset: Dataset, turned: bool, n_views: int
) -> None:
    config = modern(quarter_turns=turned, mirror_images=True, within_alphabet=0.0)
    data = TrainingData.from_dataset(dataset, config, study_seed=0)
    count, turns = len(data.images), n_views // 2
    rows = torch.arange(n_views) * count + 3
    shown = take(data.images, rows, config.views).numpy()
    upright = data.images[3].numpy()
    for number in range(n_views):
        seen = upright[:, ::-1] if number >= turns else upright
        np.testing.assert_array_equal(shown[number], np.rot90(seen, number % turns))
    rng = np.random.default_rng(0)
    drawn = np.concatenate([data.sampler.batch(config, rng)[0].ravel() for _ in range(300)])
    share = np.bincount(drawn // count, minlength=n_views) / len(drawn)
    np.testing.assert_allclose(share, 1 / n_views, atol=0.03)


def test_turned_alphabets_are_alphabets_of_their_own(dataset: Dataset) -> None:
    config = modern(within_alphabet=1.0, batch_characters=100)
    data = TrainingData.from_dataset(dataset, config, study_seed=0)
    alphabet_of = dataset.background(20).alphabet_of
    character = dataset.background(20).character
    seen = set()
    for seed in range(200):
        rows, labels = data.sampler.batch(config, np.random.default_rng(seed))
        turns, images = np.divmod(rows.reshape(-1), len(data.images))
        assert len(set(turns)) == 1
        assert len(set(alphabet_of[character[images]])) == 1
        assert (character[images] == character[images][labels]).all()
        seen.add((int(turns[0]), int(alphabet_of[character[images[0]]])))
    assert len(seen) == 4 * (alphabet_of.max() + 1)


def test_own_images_are_never_turned(dataset: Dataset) -> None:
    from dataclasses import replace

    with pytest.raises(InputError, match="quarter_turns: true"):
        TrainingData.from_dataset(replace(dataset, turns=False), modern(), study_seed=0)


def test_the_average_is_what_is_kept(data: TrainingData) -> None:
    config = modern(max_epochs=1, quarter_turns=False)
    average, count = None, 0
    start = SiameseNetwork(config.shape())
    saved = None
    while True:
        try:
            last = list(train(config, data, 3, resume=saved, interrupt=after_one_step()))
            final = last[-1].checkpoint()
        except Interrupted as interrupted:
            saved = final = interrupted.checkpoint
        raw = {n: final.tensors[f"weights.{n}"] for n in start.state_dict()}
        if average is None:
            from hpsearch.seeding import derive_seed

            source = torch.Generator().manual_seed(derive_seed(3, "weights"))
            initialise(start, "he", source)
            average = {n: t.clone() for n, t in start.state_dict().items()}
        count += 1
        stays = min(0.9, count / (count + 10))
        for name, tensor in raw.items():
            if tensor.is_floating_point():
                average[name] = stays * average[name] + (1 - stays) * tensor
        if final.finished:
            break
    assert count == config.steps_per_epoch
    for name, tensor in final.weights().items():
        torch.testing.assert_close(tensor, average[name], rtol=1e-5, atol=1e-6)
    assert any(not torch.equal(raw[n], t) for n, t in final.best_weights().items())


def test_stopped_before_any_step_it_goes_on_bit_for_bit(
    data: TrainingData, tmp_path: Path
) -> None:
    config = modern(max_epochs=2, quarter_turns=False)
    straight = last_checkpoint(train(config, data, 5))
    path, saved = tmp_path / "checkpoint", None
    while saved is None or not saved.finished:
        try:
            epochs = train(config, data, 5, resume=saved, interrupt=after_one_step())
            last = last_checkpoint(epochs)
        except Interrupted as interrupted:
            last = interrupted.checkpoint
        checkpoint.save(last, path)
        saved = checkpoint.load(path)
    assert_same_training(straight, saved)


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("conv1.momentum", {"optimiser": "adamw"}, "optimiser is adamw"),
        ("momentum_start", {"optimiser": "adamw"}, "optimiser is adamw"),
        ("l2_gradient", {"optimiser": "adamw"}, "optimiser is adamw"),
        ("learning_rate_decay", {"schedule": "cosine"}, "schedule is cosine"),
    ],
)
def test_what_does_nothing_is_not_searched(
    name: str, settings: dict[str, Any], reason: str
) -> None:
    values = {"type": "float", "low": 0.1, "high": 0.5}
    if name == "l2_gradient":
        values = {"type": "categorical", "choices": ["inside", "as_printed"]}
    parameter = Parameter.model_validate(values)
    refuse_without_effect(name, parameter, tiny_config(), {name: parameter})
    with pytest.raises(InputError, match=reason):
        refuse_without_effect(name, parameter, tiny_config(**settings), {name: parameter})
