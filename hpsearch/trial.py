"""The record of one trial, as samplers and pruners see it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal

OUT_OF_MEMORY = "out of memory"
"""Prefix of `cause` for out-of-memory failures."""
ADDED = "added with Optuna, not trained here"
"""`cause` of a trial that Optuna's own functions, and no search, wrote into the database."""
State = Literal["running", "paused", "complete", "pruned", "failed"]
Value = int | float | str | bool


@dataclass(frozen=True)
class TrialRecord:
    """One trial as the search sees it.

    Args:
        number: The trial's number in its study, from 0.
        state: Its state; pruned includes trials that cannot be trained (`trainable` False).
        params: Decoded parameters by path, as trained.
        values: Validation error by epoch, from 1; epoch 0 is a start that is scored as it is.
        value: The objective: its lowest validation error. None before the first epoch has ended.
        trainable: False when training diverged, saturated or died, or a constraint failed.
        cause: Why it ended, where its state does not say it.
        audit: For an audited trial, the epoch after which the pruner would have ended it. It was
            trained to its end, to measure what pruning loses.
        seconds: Training time, summed over all attempts; None while unknown. It differs from run
            to run, so no suggestion may depend on it.
        result: The value that its program gave in its end; it replaces the lowest as `value`.
        figures: What the study's other objectives and its constraints need: costs that follow from
            the parameters, and what training has reported; see `hpsearch.front.Goals`.
    """

    number: int
    state: State
    params: Mapping[str, Value]
    values: Mapping[int, float] = field(default_factory=dict)
    value: float | None = None
    trainable: bool = True
    cause: str | None = None
    audit: int | None = None
    seconds: float | None = field(default=None, compare=False)
    result: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether it will not run again."""
        return self.state in ("complete", "pruned", "failed")

    @property
    def settled(self) -> bool:
        """Whether it is finished or paused: it neither has a worker nor waits for one."""
        return self.finished or self.state == "paused"

    @property
    def last_epoch(self) -> int:
        """The last epoch that has ended, 0 before any."""
        return max(self.values, default=0)

    @property
    def out_of_memory(self) -> bool:
        """Whether it failed because its configuration needs more memory than there is."""
        return self.state == "failed" and (self.cause or "").startswith(OUT_OF_MEMORY)

    @property
    def added(self) -> bool:
        """Whether Optuna's own functions added it: it has a number, and counts for nothing."""
        return self.state == "failed" and self.cause == ADDED

    @cached_property
    def lowest(self) -> dict[int, float]:
        """Lowest finite validation error so far, by epoch and in order; infinity before one."""
        lowest, so_far = math.inf, dict[int, float]()
        for epoch in sorted(self.values):
            value = self.values[epoch]
            if math.isfinite(value):
                lowest = min(lowest, value)
            so_far[epoch] = lowest
        return so_far

    def with_value(self, epoch: int, value: float, seconds: float | None = None) -> TrialRecord:
        """Return the trial with the validation error of one more epoch and its seconds so far."""
        values = {**self.values, epoch: value}
        return replace(self, values=values, value=min(values.values()), seconds=seconds)

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold; not every trial has a result and figures."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        values |= {"params": dict(self.params), "values": dict(self.values)}
        values["figures"] = dict(self.figures)
        if self.result is None:
            del values["result"]
        if not self.figures:
            del values["figures"]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrialRecord:
        """Read what `to_json` wrote (JSON turns the epochs into text)."""
        epochs = {int(epoch): value for epoch, value in values.get("values", {}).items()}
        return cls(**{**values, "values": epochs})


def counted(history: Sequence[TrialRecord]) -> int:
    """Count the trials that a search entered: those that count against its budget."""
    return sum(not t.added for t in history)


def best_trial(history: Sequence[TrialRecord]) -> TrialRecord | None:
    """Return the complete trial with the lowest validation error; the first among equals."""
    complete = [t for t in history if t.state == "complete" and t.value is not None]
    return min(complete, key=lambda t: (t.value, t.number), default=None)
