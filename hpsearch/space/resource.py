"""The length of trials, and the amount a trial has spent after each epoch. Knows no samplers.

The unit is one epoch of the study's `trial` section. With `resource: epochs` each epoch of a trial
is one unit; with `resource: compute` an epoch counts by its multiply-adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from hpsearch.trainers.recipe import Recipe
from hpsearch.training.config import TrialConfig
from hpsearch.trial import Value

Unit = Literal["epochs", "compute"]
TRAINING_PASSES = 3
"""Passes per training image: forward, backward to the inputs, backward to the weights."""


class Resource:
    """Lengths of trials, computed from their parameters only: the same on every machine."""

    def __init__(self, kind: Unit, base: Recipe) -> None:
        """Store the unit.

        Args:
            kind: epochs, or compute: multiply-adds of training.
            base: The study's `trial` section; one of its epochs is one unit. A command's steps
                all cost the same.
        """
        self.kind, self.base = kind, base
        self._unit = epoch_cost(base)
        self._costs: dict[tuple[tuple[str, Value], ...], int] = {}

    @property
    def whole(self) -> int:
        """The amount of a full trial."""
        return self.base.max_epochs

    def cost(self, params: Mapping[str, Value]) -> int:
        """Return the multiply-adds of one epoch of a configuration."""
        key = tuple(sorted(params.items()))
        if key not in self._costs:
            self._costs[key] = epoch_cost(self.base.with_parameters(dict(params)))
        return self._costs[key]

    def epoch_at(self, params: Mapping[str, Value], amount: int) -> int:
        """Return the first epoch, from 1, after which a trial has spent an amount."""
        if self.kind == "epochs":
            return amount
        return max(1, -(-amount * self._unit // self.cost(params)))

    def same_amount(
        self, params: Mapping[str, Value], epoch: int, other: Mapping[str, Value]
    ) -> int:
        """Return the first epoch at which another trial has spent as much as this one."""
        if self.kind == "epochs":
            return epoch
        return max(1, -(-epoch * self.cost(params) // self.cost(other)))

    def length(self, params: Mapping[str, Value]) -> int:
        """Return the epochs of a full trial, from 1 to `max_epochs`.

        With `compute`, a network c times as costly as the study's own trains 1 / c of its epochs.
        """
        if self.kind == "epochs":
            return self.whole
        return max(1, min(self.whole, self.whole * self._unit // self.cost(params)))

    def config(self, params: Mapping[str, Value]) -> Recipe:
        """Return the configuration to train, with as many epochs as the resource allows."""
        changes: dict[str, Any] = dict(params)
        if self.kind == "compute":
            changes["max_epochs"] = self.length(params)
        return self.base.with_parameters(changes)


def epoch_cost(config: Recipe) -> int:
    """Return the nominal multiply-adds of one epoch of training; 1 for a step of a command."""
    if not isinstance(config, TrialConfig):
        return 1
    images = config.steps_per_epoch * config.images_per_step
    return TRAINING_PASSES * config.shape().multiply_adds * images
