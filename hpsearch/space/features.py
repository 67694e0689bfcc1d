"""Columns in which a model sees configurations: the parameters, and what follows from them.

A learning rate alone says little: a layer moves by learning_rate / (1 - momentum), and its weights
decay by that times its L2. Sizes say little without the maps, weights and multiply-adds they make.
So these are columns too, where a space searches them. Any other space has the columns of its
parameters. Must not know samplers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.space.feasible_sizes import FeasibleSizes
from hpsearch.space.parameter import Parameter
from hpsearch.training.config import TrialConfig
from hpsearch.trial import Value

Array = NDArray[np.float64]
Column = tuple[str, Array]
"""The group of a column, and its values."""
SATURATION = 0.99
"""Momentum beyond which a step no longer grows within a short trial."""
COUNT_SPAN = 4
"""A whole number whose range spans this factor is a count, seen by its logarithm."""
SAMPLE = 256
"""Configurations that say how far a column spreads."""
CONSTANT = 1e-6
"""Spread below which a column says nothing."""


class Features:
    """Turns parameters into columns with mean 0 and spread 1 over the space.

    Columns of one kind form a group: the learning rates of all layers, the shares of distortion.
    A missing value is 0 in its column, the middle.
    """

    def __init__(
        self, parameters: Mapping[str, Parameter], sizes: FeasibleSizes, base: TrialConfig | None
    ) -> None:
        """Measure the columns over the space.

        Args:
            parameters: The parameters with more than one value, in the order of coordinates.
            sizes: The feasible sizes of the space.
            base: Holds the sizes that are not searched; None where no network is.
        """
        self._parameters, self._feasible, self._base = parameters, sizes, base
        self._kinds = _kinds(tuple(parameters))
        names = [n.rpartition(".") for n in parameters]
        self._rates = [layer for layer, _, key in names if key == "learning_rate" and layer]
        network = base is not None and base.backbone is None
        self._shaped = network and any(key in SHAPING for _, _, key in names)
        rng = np.random.default_rng(0)
        sample = self._columns(self.decoded(rng.random((SAMPLE, len(parameters)))))
        raw = np.array([np.broadcast_to(c, (SAMPLE,)) for _, c in sample]).reshape(-1, SAMPLE)
        spread = raw.std(axis=1)
        self._kept = np.flatnonzero(spread > CONSTANT)
        self._middle = np.round(raw.mean(axis=1), 6)[self._kept]
        self._spread = np.round(spread, 6)[self._kept]
        kept = [sample[k][0] for k in self._kept]
        names_of_groups = list(dict.fromkeys(kept))
        self.groups = np.array([names_of_groups.index(g) for g in kept], np.int64)
        """The group of each column, int64 [columns], from 0."""

    def matrix(self, trials: Sequence[Mapping[str, Value]]) -> Array:
        """Return the columns of configurations, float64 [trials, columns]."""
        values = {n: _numbers(p, [t.get(n) for t in trials]) for n, p in self._parameters.items()}
        return self.of(values, len(trials))

    def of(self, values: Mapping[str, Array], count: int) -> Array:
        """Return the columns of decoded values, float64 [count, columns]; see `decoded`."""
        raw = [np.broadcast_to(column, (count,)) for _, column in self._columns(values)]
        if not len(self._kept):
            return np.zeros((count, 0))
        rows = np.array(raw)[self._kept].T
        scaled = (rows - self._middle) / self._spread
        return np.where(np.isfinite(scaled), scaled, 0.0)

    def decoded(self, shares: Array) -> dict[str, Array]:
        """Return the numbers behind points of the unit cube: a choice is its place.

        Args:
            shares: Points, float64 [points, coordinates].
        """
        sizes, columns = self._feasible, dict[str, Array]()
        for k, (name, parameter) in enumerate(self._parameters.items()):
            if name not in sizes.free:
                columns[name] = _decode(parameter, shares[:, k])
        places = {name: k for k, name in enumerate(self._parameters)}
        quantiles = {name: shares[:, places[name]] for name in sizes.free}
        for name, values in sizes.decode_all(quantiles, len(shares)).items():
            choices = self._parameters[name].choices
            columns[name] = (
                values.astype(np.float64)
                if choices is None
                else np.array([choices.index(value) for value in values.tolist()], np.float64)
            )
        return columns

    def _columns(self, values: Mapping[str, Array]) -> list[Column]:
        found: list[Column] = []
        for name, parameter in self._parameters.items():
            found += [(self._kinds[name], c) for c in _own_columns(parameter, values[name])]
        found += self._motion(values)
        if self._base is not None and self._shaped:
            found += self._sizes(values, self._base)
        return found

    def _motion(self, values: Mapping[str, Array]) -> list[Column]:
        """Return the steps and decays of the layers, on log scales; then their extremes."""
        steps, decays = list[Array](), list[Array]()
        for layer in self._rates:
            rate, momentum, decay = (
                values.get(f"{layer}.{key}") for key in ("learning_rate", "momentum", "l2")
            )
            if rate is None:
                continue
            step = np.log10(rate)
            if momentum is not None:
                step = step - np.log10(1 - np.minimum(momentum, SATURATION))
                steps.append(step)
            if decay is not None:
                decays.append(step + np.log10(np.maximum(decay, 1e-12)))
        found: list[Column] = []
        for kind, columns in (("step", steps), ("decay", decays)):
            found += [(kind, column) for column in columns]
            if len(columns) > 1:  # a network fails by its worst layer, whichever that is
                of: tuple[Callable[..., Any], ...] = (np.mean, np.min, np.max)
                found += [(f"{kind} over layers", f(columns, axis=0)) for f in of]
        return found

    def _sizes(self, values: Mapping[str, Array], base: TrialConfig) -> list[Column]:
        """Return maps, weights and multiply-adds of each layer and of the network, as logarithms.

        They follow the plain network; a residual block or a pooling that is searched has its own
        column, and makes these less exact.
        """
        found = list[Column]()

        def get(name: str, otherwise: float) -> Any:
            return values.get(name, np.float64(otherwise))

        size, channels = get("input_size", base.input_size), np.float64(base.inputs)
        adds_of_all, weights_of_all = np.float64(0), np.float64(0)
        for name, layer in base.layers.convolutions.items():
            side = get(f"{name}.filter_size", layer.filter_size)
            count = get(f"{name}.filter_count", layer.filter_count)
            after = size if layer.padding == "same" else size - side + 1
            weights = count * channels * side**2
            adds = after**2 * weights
            size = np.floor(after / 2) if layer.pool else after
            channels = count
            found += [("multiply-adds", adds), ("weights", weights), ("map", size)]
            adds_of_all, weights_of_all = adds_of_all + adds, weights_of_all + weights
        code = channels * size**2
        last = code * get(base.width_name, base.layers.width)
        found += [("multiply-adds", adds_of_all + last), ("weights", weights_of_all + last)]
        found.append(("map", code))
        return [(kind, np.log(np.maximum(column, 0.5))) for kind, column in found]


SHAPING = ("filter_size", "filter_count", "width", "input_size")
"""Parameters that change sizes."""


def _kinds(names: Sequence[str]) -> dict[str, str]:
    """Return the group of each parameter: its kind in all layers, else what it is a part of."""
    parts = {name: name.rpartition(".") for name in names}
    owners = Counter(owner for owner, _, _ in parts.values())
    keys = Counter(key for _, _, key in parts.values())

    def kind(name: str) -> str:
        owner, _, key = parts[name]
        if keys[key] > 1:
            return key
        return owner if owner and owners[owner] > 1 else name

    return {name: kind(name) for name in names}


def _numbers(parameter: Parameter, values: Sequence[Value | None]) -> Array:
    """Return values as numbers: a choice as its place, what is missing as NaN."""
    choices = parameter.choices
    if choices is None:
        return np.array(values, np.float64)
    return np.array([choices.index(v) if v in choices else math.nan for v in values], np.float64)


def _decode(parameter: Parameter, shares: Array) -> Array:
    """Return the values at shares of a range; as the axis of the parameter does for one."""
    values: Any = None
    if parameter.choices is not None:
        values = range(len(parameter.choices))
    elif not (parameter.type == "int" and parameter.log):
        values = parameter.values()
    if values is not None:
        places = np.minimum((shares * len(values)).astype(np.int64), len(values) - 1)
        return np.asarray(values, np.float64)[places]
    low, high = (float(bound) for bound in parameter.extremes)
    whole = 0.5 if parameter.type == "int" else 0.0
    if not parameter.log:
        found = low - whole + shares * (high - low + 2 * whole)
    else:
        start, end = math.log(low - whole), math.log(high + whole)
        found = np.exp(start + shares * (end - start))
    return np.clip(np.round(found) if whole else found, low, high)


def _own_columns(parameter: Parameter, values: Array) -> list[Array]:
    """Return the columns of one parameter: the share of its range, or one for each choice."""
    if parameter.choices is not None:
        count = len(parameter.choices)
        return [np.where(np.isnan(values), 1 / count, values == k) for k in range(count)]
    low, high = (float(bound) for bound in parameter.extremes)
    counts = parameter.type == "int" and low >= 1 and high >= COUNT_SPAN * low
    return [np.log(values) if parameter.log or counts else values]
