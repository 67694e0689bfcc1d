"""The result of one epoch or step. Imports no torch, so that the search can read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class EpochResult:
    """One epoch of one trial.

    Args:
        epoch: From 1; 0 is a start that is scored as it is. Of a program: its step.
        loss: Mean training loss of the epoch, nats per pair; non-finite when it diverged.
        validation_error: One-shot error, 0 to 1; of a program: its value, lower is better.
        seconds: Training time since the trial's start, all attempts added, evaluation included.
        images: Images encoded for training since the trial's start.
        multiply_adds: Nominal multiply-adds trained since the trial's start (3 x forward).
        diagnosis: None while training is healthy, otherwise the reason to end it: "diverged",
            "saturated", "dead" or "stuck", with the figure behind it.
        peak_bytes: Most memory of a card that the process has taken so far; None on the CPU.
        metrics: Other figures that a program reported.
    """

    epoch: int
    loss: float
    validation_error: float
    seconds: float
    images: int
    multiply_adds: int
    diagnosis: str | None = None
    peak_bytes: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def finite(self) -> bool:
        """Whether its validation error is finite."""
        return math.isfinite(self.validation_error)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold (a non-finite loss becomes null)."""
        values = asdict(self)
        if self.peak_bytes is None:
            del values["peak_bytes"]
        if not math.isfinite(self.loss):
            values["loss"] = None
        if not self.metrics:
            del values["metrics"]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> EpochResult:
        """Read what `to_json` wrote."""
        loss = values["loss"]
        return cls(**{**values, "loss": float("nan") if loss is None else loss})
