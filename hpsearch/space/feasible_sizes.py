"""Combinations of input size, filter sizes and poolings that leave a map of at least one pixel.

A layer depends on earlier layers only through the size of its input map. So the combinations (18^4
in the paper's search space) need not be listed. For each map size the number of ways to complete
the network is counted. This gives conditional quantiles over the feasible combinations, for any
number of layers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.space.parameter import Parameter
from hpsearch.trainers.recipe import Recipe
from hpsearch.training.config import TrialConfig
from hpsearch.trial import Value


@dataclass(frozen=True)
class Step:
    """One setting that changes the map's size, on the way from the image to the last map.

    Args:
        name: The setting's path.
        kind: How it changes the map's size.
        layer: Position of its convolution from 0; -1 for the image.
        values: The values it may take; a single one if it is not searched.
        padded: Whether zeros around the map keep its size, whatever the filter.
    """

    name: str
    kind: Literal["image", "filter", "pool"]
    layer: int
    values: tuple[Value, ...]
    padded: bool = False

    def after(self, size: int, value: Value) -> int:
        """Return the map's size after this step, pixels; below 1 if no pixel is left."""
        if self.kind == "image":
            return int(value)
        if self.kind == "filter":
            return size if self.padded else size - int(value) + 1
        return size // 2 if value else size

    def distance(self, values: Mapping[str, Value], value: Any) -> float:
        """Return the squared distance of `value` from the one in `values`, as shares of range."""
        wanted: Any = values.get(self.name, self.values[0])
        if self.kind == "pool":
            return float(bool(wanted) != bool(value))
        span = float(max(self.values)) - float(min(self.values)) or 1.0
        return float(((float(value) - float(wanted)) / span) ** 2)


Cost = Callable[[Step, int, Value], float]
"""Returns the cost of a step from the step, the map's size before it (pixels), and its value."""


class FeasibleSizes:
    """Counts, draws and searches the feasible combinations of sizes."""

    def __init__(self, parameters: Mapping[str, Parameter], base: Recipe) -> None:
        """Count the feasible combinations.

        Args:
            parameters: All searched parameters.
            base: Holds the sizes that are not searched; a command has no sizes.
        """
        self.steps = _steps(parameters, base)
        self._counts: dict[tuple[int, int], int] = {}
        self._open: dict[tuple[int, int], tuple[list[Value], list[int]]] = {}
        self.total = self._count(0, 0)
        """Number of feasible combinations."""
        self.free = self._free()
        """The sizes with more than one feasible value, in the order of the layers."""

    def share(self) -> float:
        """Return the share of feasible combinations, 0 to 1."""
        every = 1
        for step in self.steps:
            every *= len(step.values)
        return self.total / every

    def fits(self, values: Mapping[str, Value]) -> bool:
        """Return whether a combination leaves at least one pixel."""
        return all(size >= 1 for size in self.sizes(values)[-1:])

    def sizes(self, values: Mapping[str, Value]) -> list[int]:
        """Return the map's size after each step, pixels, ending with the first below 1."""
        sizes, size = [], 0
        for step in self.steps:
            size = step.after(size, values.get(step.name, step.values[0]))
            sizes.append(size)
            if size < 1:
                break
        return sizes

    def decode(self, quantiles: Mapping[str, float]) -> dict[str, Value]:
        """Turn conditional quantiles into sizes; uniform quantiles give uniform feasible sizes.

        Args:
            quantiles: A number from 0 to 1 for each size in `free`.
        """
        size, decoded = 0, {}
        for k, step in enumerate(self.steps):
            values, ends = self._possible(k, size)
            quantile = quantiles.get(step.name, 0.5)
            value = values[min(bisect_right(ends, quantile * ends[-1]), len(values) - 1)]
            decoded[step.name] = value
            size = step.after(size, value)
        return decoded

    def decode_all(
        self, quantiles: Mapping[str, NDArray[np.float64]], count: int
    ) -> dict[str, NDArray[Any]]:
        """Turn quantiles of many points into sizes, as `decode` does of one.

        Args:
            quantiles: For each size in `free` numbers from 0 to 1, float64 [count].
            count: Number of points.

        Returns:
            The values of each free size, [count].
        """
        sizes, decoded = np.zeros(count, np.int64), dict[str, NDArray[Any]]()
        for k, step in enumerate(self.steps):
            shares = quantiles.get(step.name, np.full(count, 0.5))
            chosen, after = np.zeros(count, type(step.values[0])), np.zeros_like(sizes)
            for size in np.unique(sizes).tolist():
                here = sizes == size
                values, ends = self._possible(k, size)
                places = np.searchsorted(ends, shares[here] * ends[-1], side="right")
                places = np.minimum(places, len(values) - 1)
                chosen[here] = np.array(values)[places]
                after[here] = np.array([step.after(size, value) for value in values])[places]
            decoded[step.name], sizes = chosen, after
        return {name: decoded[name] for name in self.free}

    def encode(self, values: Mapping[str, Value]) -> dict[str, float]:
        """Return the middle of each size's range of conditional quantiles.

        Args:
            values: A feasible combination.
        """
        size, quantiles = 0, {}
        for k, step in enumerate(self.steps):
            value = values.get(step.name, step.values[0])
            possible, ends = self._possible(k, size)
            position = possible.index(value)
            begin = ends[position - 1] if position else 0
            quantiles[step.name] = (begin + ends[position]) / 2 / ends[-1]
            size = step.after(size, value)
        return {name: quantiles[name] for name in self.free}

    def cheapest(self, cost: Cost, last: Callable[[int], float]) -> dict[str, Value]:
        """Return the feasible combination with the lowest total cost; the first among equals.

        Args:
            cost: Cost of one step.
            last: Cost of the last map by its size, pixels.
        """
        best: dict[tuple[int, int], tuple[float, Value | None]] = {}

        def least(k: int, size: int) -> float:
            if k == len(self.steps):
                return last(size)
            if (k, size) not in best:
                step = self.steps[k]
                options = [
                    (cost(step, size, value) + least(k + 1, step.after(size, value)), position)
                    for position, value in enumerate(step.values)
                    if self._count(k + 1, step.after(size, value))
                ]
                total, position = min(options)
                best[k, size] = (total, step.values[position])
            return best[k, size][0]

        least(0, 0)
        size, chosen = 0, {}
        for k, step in enumerate(self.steps):
            value = best[k, size][1]
            if value is None:
                raise RuntimeError("no feasible combination")
            chosen[step.name] = value
            size = step.after(size, value)
        return chosen

    def nearest(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return the feasible combination with the lowest sum of squared distances."""
        return self.cheapest(lambda step, _, value: step.distance(values, value), lambda _: 0.0)

    def _count(self, k: int, size: int) -> int:
        """Count the ways to complete the network from step `k` on, from a map of `size` pixels."""
        if k > 0 and size < 1:
            return 0
        if k == len(self.steps):
            return 1
        if (k, size) not in self._counts:
            step = self.steps[k]
            ways = (self._count(k + 1, step.after(size, value)) for value in step.values)
            self._counts[k, size] = sum(ways)
        return self._counts[k, size]

    def _possible(self, k: int, size: int) -> tuple[list[Value], list[int]]:
        """Return the values that can be completed, and the cumulative numbers of ways."""
        if (k, size) not in self._open:
            step = self.steps[k]
            ways = [(value, self._count(k + 1, step.after(size, value))) for value in step.values]
            ways = [(value, count) for value, count in ways if count]
            ends = list(accumulate(count for _, count in ways))
            self._open[k, size] = ([value for value, _ in ways], ends)
        return self._open[k, size]

    def _free(self) -> list[str]:
        """Return the names of the steps with two or more values in feasible combinations."""
        reached, free = {0}, []
        for k, step in enumerate(self.steps):
            values = {size: self._possible(k, size)[0] for size in reached}
            if len({value for one in values.values() for value in one}) > 1:
                free.append(step.name)
            reached = {step.after(size, value) for size, one in values.items() for value in one}
        return free


def _steps(parameters: Mapping[str, Parameter], base: Recipe) -> list[Step]:
    if not isinstance(base, TrialConfig):
        return []

    def values(name: str, fixed: Value) -> tuple[Value, ...]:
        listed = parameters[name].values() if name in parameters else (fixed,)
        return tuple(listed or ())

    steps = [Step("input_size", "image", -1, values("input_size", base.input_size))]
    for position, (layer, settings) in enumerate(base.layers.convolutions.items()):
        name = f"{layer}.filter_size"
        padded = settings.padding == "same"
        steps.append(Step(name, "filter", position, values(name, settings.filter_size), padded))
        name = f"{layer}.pool"
        steps.append(Step(name, "pool", position, values(name, settings.pool)))
    return steps
