"""A calibrated probability that two images show the same character. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Calibration:
    """p = sigmoid(slope x score + bias), fitted on validation characters.

    Args:
        slope: One over the temperature, above 0; 1 leaves scores as they are.
        bias: Added to the scaled score.

    Reference:
        Platt 1999, equation 1; Guo et al. 2017, section 4.2: 1 / T -> slope.
    """

    slope: float = 1.0
    bias: float = 0.0

    @classmethod
    def of(cls, metrics: Mapping[str, Any]) -> Calibration:
        """Return the calibration in a model's metrics.json; without one scores stay."""
        found = metrics.get("calibration")
        return cls(found["slope"], found["bias"]) if found else UNCALIBRATED

    def logits(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the log-odds of scores, of any shape."""
        return np.asarray(self.slope * np.asarray(scores, np.float64) + self.bias)

    def probability(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probabilities of scores, of any shape."""
        return np.asarray(
            np.exp(-np.logaddexp(0, -self.logits(scores)))
        )  # no overflow, exact at 0


UNCALIBRATED = Calibration()
