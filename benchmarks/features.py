"""What the surrogate sees of a configuration: numbers near the unit cube. Knows no table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hpsearch.search.history import Value
from hpsearch.search.parameter import Parameter
from hpsearch.search.space import SearchSpace

SATURATION = 0.99
"""Momentum beyond which a step no longer grows within a short trial."""


class Features:
    """Turns parameters into columns: each on its own scale, choices one-hot, then what layers add.

    A layer that has both rates moves by learning_rate / (1 - momentum) in the long run; that step,
    on a log scale, is a column of its own, because neither rate tells it alone.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Note the parameters and the layers that have both rates."""
        self._parameters = {n: p for n, p in space.parameters.items() if not p.single}
        self._layers = [
            name.removesuffix(".momentum")
            for name in self._parameters
            if name.endswith(".momentum")
            and name.removesuffix("momentum") + "learning_rate" in self._parameters
        ]

    def matrix(self, trials: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
        """Return float64 [trials, columns]."""
        return np.array([self.row(params) for params in trials], np.float64)

    def row(self, params: Mapping[str, Value]) -> list[float]:
        """Return the columns of one configuration."""
        row: list[float] = []
        for name, parameter in self._parameters.items():
            row.extend(_columns(parameter, params[name]))
        for layer in self._layers:
            rate, momentum = (float(params[f"{layer}.{k}"]) for k in ("learning_rate", "momentum"))
            step = math.log10(max(rate, 1e-12) / (1 - min(momentum, SATURATION)))
            row.append((step + 3) / 4)
        return row


def _columns(parameter: Parameter, value: Value) -> list[float]:
    if parameter.choices is not None:
        return [float(choice == value) for choice in parameter.choices]
    low, high, number = float(parameter.low or 0), float(parameter.high or 0), float(value)
    if parameter.log:
        low, high, number = math.log(low), math.log(high), math.log(number)
    return [(number - low) / (high - low)]
