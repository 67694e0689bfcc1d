"""What a surrogate sees of a configuration: numbers near the unit cube. Knows no table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hpsearch.space.parameter import Parameter
from hpsearch.space.space import SearchSpace
from hpsearch.trial import Value

SATURATION = 0.99
"""Momentum beyond which a step no longer grows within a short trial."""


class Features:
    """Turns parameters into columns: each on its own scale, choices one-hot, then what layers add.

    A layer that has both rates moves by learning_rate / (1 - momentum) in the long run, its step,
    and with an L2 weight shrinks by step * l2, its decay. Both are columns on a log scale, because
    no parameter tells them alone; and they are columns in their order over the layers, because a
    network fails by its worst layer, whichever that is.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Note the parameters and the layers that have rates, L2 weights and filters."""
        self._parameters = {n: p for n, p in space.parameters.items() if not p.single}
        self._steps = self._layers_with("learning_rate", "momentum")
        self._decays = self._layers_with("learning_rate", "momentum", "l2")
        self._filters = self._layers_with("filter_count")

    def _layers_with(self, *keys: str) -> list[str]:
        return [
            layer
            for layer, _, key in (name.rpartition(".") for name in self._parameters)
            if key == keys[0] and layer and all(f"{layer}.{k}" in self._parameters for k in keys)
        ]

    def matrix(self, trials: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
        """Return float64 [trials, columns]."""
        return np.array([self.row(params) for params in trials], np.float64)

    def row(self, params: Mapping[str, Value]) -> list[float]:
        """Return the columns of one configuration."""
        row: list[float] = []
        for name, parameter in self._parameters.items():
            row.extend(_columns(parameter, params[name]))
        steps = {layer: _step(params, layer) for layer in self._steps}
        decays = {n: steps[n] + _log(params[f"{n}.l2"]) for n in self._decays}
        for known in (steps, decays):
            row.extend(known.values())
            row.extend(sorted(known.values()))
            row.extend(_summary(list(known.values()), np.mean))
            filters = [known[layer] for layer in self._filters if layer in known]
            row.extend(_summary(filters, np.mean, np.max, np.std))
        counts = [_log(params[f"{layer}.filter_count"]) for layer in self._filters]
        row.extend(_summary(counts, np.mean, np.min))
        return row


class PlainColumns:
    """Turns parameters into columns: each alone on its own scale, -1 to 1, choices one-hot.

    Nothing is said of layers, steps or decays, so that no model of such features is favoured.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Note the parameters."""
        self._parameters = {n: p for n, p in space.parameters.items() if not p.single}

    def matrix(self, trials: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
        """Return float64 [trials, columns]."""
        shares = [
            [share for n, p in self._parameters.items() for share in _columns(p, params[n])]
            for params in trials
        ]
        return 2.0 * np.array(shares, np.float64) - 1.0


def _step(params: Mapping[str, Value], layer: str) -> float:
    momentum = min(float(params[f"{layer}.momentum"]), SATURATION)
    return _log(params[f"{layer}.learning_rate"]) - math.log10(1 - momentum)


def _log(value: Value) -> float:
    return math.log10(max(float(value), 1e-12))


def _summary(values: list[float], *functions: Callable[[list[float]], np.floating]) -> list[float]:
    return [float(function(values)) for function in functions] if len(values) > 1 else []


def _columns(parameter: Parameter, value: Value) -> list[float]:
    if parameter.choices is not None:
        return [float(choice == value) for choice in parameter.choices]
    low, high, number = float(parameter.low or 0), float(parameter.high or 0), float(value)
    if parameter.log:
        low, high, number = math.log(low), math.log(high), math.log(number)
    return [(number - low) / (high - low)]
