"""The cheapest and the dearest feasible network of a space, by multiply-adds, weights or memory.

Each cost is a sum over the layers, so the extreme sizes are found layer by layer. Memory also
counts the patches of one image in the largest layer; the choice ignores them, because they are
small compared with the activations of a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hpsearch.network.geometry import NetworkShape
from hpsearch.space.feasible_sizes import Step
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import Value

Measure = Literal["multiply_adds", "parameters", "memory_bytes"]


class CostRange:
    """Finds extreme networks of one search problem, without regard to its limits."""

    def __init__(self, problem: SearchProblem) -> None:
        """Store the problem."""
        self._problem = problem
        self._layers = list(problem.base.layers.convolutions.items())
        self.images = problem.base.images_per_step
        """Images encoded in one step of the base configuration."""

    def of(self, params: Mapping[str, Value], measure: Measure) -> int:
        """Return the cost of a network.

        Args:
            params: Its sizes, counts and width.
            measure: multiply_adds per image, parameters, or memory_bytes of one training step.
        """
        shape: NetworkShape = self._problem.shape(params)
        if measure == "memory_bytes":
            return shape.memory_bytes(self.images)
        return shape.multiply_adds if measure == "multiply_adds" else shape.parameters

    def cheapest(self, measure: Measure) -> dict[str, Value]:
        """Return the sizes, counts and width of the cheapest network."""
        return self._find(measure, 1)

    def dearest(self, measure: Measure) -> dict[str, Value]:
        """Return the sizes, counts and width of the dearest network."""
        return self._find(measure, -1)

    def _find(self, measure: Measure, sign: int) -> dict[str, Value]:
        names = [f"{name}.filter_count" for name, _ in self._layers]
        counts = [
            self._extreme(name, layer.filter_count, sign)
            for name, (_, layer) in zip(names, self._layers, strict=True)
        ]
        width = self._extreme("fc.width", self._problem.base.layers.fc.width, sign)
        channels = [1, *counts]
        weight = 4 if measure == "memory_bytes" else 1
        sizes = self._problem.sizes.cheapest(
            lambda step, size, value: sign * self._step_cost(measure, step, size, value, channels),
            lambda size: sign * weight * size**2 * channels[-1] * width,
        )
        return {**sizes, **dict(zip(names, counts, strict=True)), "fc.width": width}

    def _step_cost(
        self, measure: Measure, step: Step, size: int, value: Value, channels: list[int]
    ) -> float:
        """Return the cost that one step adds; parts that depend on no size are left out."""
        after = step.after(size, value)
        if step.kind == "filter":
            entering, leaving = channels[step.layer], channels[step.layer + 1]
            weights = leaving * entering * int(value) ** 2
            if measure == "multiply_adds":
                return after**2 * weights
            if measure == "parameters":
                return weights
            maps = 3 if self._problem.base.batch_norm else 2
            return 4 * weights + 2 * self.images * maps * after**2 * leaving
        if measure != "memory_bytes":
            return 0
        return 2 * self.images * after**2 * (channels[step.layer + 1] if step.layer >= 0 else 1)

    def _extreme(self, name: str, fixed: int, sign: int) -> int:
        parameter = self._problem.space.parameters.get(name)
        extremes = parameter.extremes if parameter else (fixed,)
        return max((int(v) for v in extremes), key=lambda v: -sign * v)
