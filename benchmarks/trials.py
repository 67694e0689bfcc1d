"""How long trainers of one network need to learn: pair by pair, in batches, with the softmax."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from benchmarks.two_tower import train_two_towers
from hpsearch.data.dataset import Dataset
from hpsearch.training.config import TrialConfig
from hpsearch.training.epoch import EpochResult
from hpsearch.training.loop import train
from hpsearch.training.trainingdata import TrainingData

SEED = 20150710
LEVELS = (0.5, 0.6, 0.7, 0.75)
"""Validation accuracies whose time is taken."""
LIMITS_S = {"two_tower": 900.0, "independent": 180.0, "batch": 240.0, "softmax": 180.0}
"""No arm trains longer; a level not reached by then is null."""


@dataclass(frozen=True)
class Arm:
    """One trainer's curve.

    Args:
        name: two_tower, independent, batch or softmax.
        config: What was trained.
        curve: One result an epoch.
    """

    name: str
    config: TrialConfig
    curve: tuple[EpochResult, ...]

    @property
    def images_per_s(self) -> float:
        """Images encoded for training a second, validation included in the time."""
        return self.curve[-1].images / self.curve[-1].seconds

    @property
    def pairs_per_s(self) -> float:
        """Pairs that entered the loss a second."""
        if self.config.pairs == "independent":
            return self.images_per_s / 2
        images = self.config.images_per_step
        return self.images_per_s * (images - 1) / 2

    def first_at(self, level: float) -> EpochResult | None:
        """Return the first epoch whose validation accuracy reached a level."""
        reached = (r for r in self.curve if 1 - r.validation_error >= level - 1e-9)
        return next(reached, None)


def reference(name: str) -> TrialConfig:
    """Return an arm's configuration: one network at 35 x 35, one optimiser, other pairs.

    The softmax's gradients are larger; at the others' rate its error stays about 0.5.
    """
    rate = 0.02 if name == "softmax" else 0.05
    each = {"learning_rate": rate, "momentum": 0.9, "l2": 1e-5}
    sizes = ((5, 32, True), (3, 64, True), (3, 64, True), (2, 128, False))
    layers: dict[str, Any] = {
        f"conv{number}": {"filter_size": size, "filter_count": count, "pool": pool, **each}
        for number, (size, count, pool) in enumerate(sizes, start=1)
    }
    layers["fc"] = {"width": 512, **each}
    layers["output"] = {"bias": True, **each}
    pairwise = {"pairs": "independent", "batch_pairs": 128}  # the paper's
    in_batches = {"pairs": "batch", "batch_characters": 16, "batch_drawings": 4}
    own = pairwise if name in ("two_tower", "independent") else in_batches
    if name == "softmax":
        own = {**own, "loss": "softmax"}
    return TrialConfig.from_values(
        {
            "input_size": 35, "layers": layers, "init": "he", "momentum_start": 0.9,
            "images_per_epoch": 6000, "max_epochs": 10_000, "patience": 10_000, **own,
        }
    )  # fmt: skip


def run_arm(name: str, dataset: Dataset, limit_s: float, *, workers: int) -> Arm:
    """Train one arm until the last level or the limit.

    Args:
        name: Which.
        dataset: Omniglot, or what stands in for it.
        limit_s: Seconds of training.
        workers: Processes that make batches for the two towers.
    """
    config = reference(name)
    data = TrainingData.from_dataset(dataset, config, study_seed=SEED)
    if name == "two_tower":
        epochs = train_two_towers(dataset, data, config, SEED, workers=workers)
    else:
        epochs = (epoch.result for epoch in train(config, data, SEED))
    return Arm(name, config, tuple(until(epochs, limit_s, LEVELS[-1])))


def until(epochs: Iterator[EpochResult], limit_s: float, level: float) -> Iterator[EpochResult]:
    """Pass epochs on, at least one, until one reaches the level, took too long, or diverged."""
    with closing(epochs):  # type: ignore[type-var]
        for result in epochs:
            late = result.seconds > limit_s
            if late and result.epoch > 1:
                return
            yield result
            if late or result.diagnosis is not None or 1 - result.validation_error >= level - 1e-9:
                return


def by_level(
    arms: list[Arm], figure: Callable[[EpochResult], float]
) -> dict[str, dict[str, float | None]]:
    """Return a figure of each arm's first epoch at each level, None where none reached it."""
    table: dict[str, dict[str, float | None]] = {}
    for level in LEVELS:
        firsts = {arm.name: arm.first_at(level) for arm in arms}
        table[str(level)] = {n: None if r is None else figure(r) for n, r in firsts.items()}
    return table
