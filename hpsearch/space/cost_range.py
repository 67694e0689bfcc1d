"""The cheapest and the dearest feasible network of a space, by multiply-adds, weights or memory.

Each cost is a sum over the layers, so the extreme sizes are found layer by layer. Memory also
counts the patches of one image in the largest layer; the choice ignores them, because they are
small compared with the activations of a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

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
        self._layers = list(problem.network.layers.convolutions.items())
        self.images = problem.network.images_per_step
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
        base = self._problem.network
        chosen: dict[str, Value] = {}
        for name, layer in self._layers:
            for key in ("filter_count", "residual"):
                path = f"{name}.{key}"
                chosen[path] = self._extreme(path, getattr(layer, key), sign)
        width = chosen[base.width_name] = self._extreme(base.width_name, base.layers.width, sign)
        shape = self._problem.shape(chosen)
        channels = [1, *(layer.filter_count for layer in shape.convolutions)]
        weight = 4 if measure == "memory_bytes" else 1
        sizes = self._problem.sizes.cheapest(
            lambda step, size, value: sign * self._step_cost(measure, step, size, value, shape),
            lambda size: sign * weight * self._last_cost(measure, size) * channels[-1] * width,
        )
        searched = self._problem.space.parameters.keys()
        return {
            **sizes,
            **{k: v for k, v in chosen.items() if "residual" not in k or k in searched},
        }

    def _last_cost(self, measure: Measure, size: int) -> int:
        """Return how often the code's weights count for a last map of `size` pixels."""
        aligned = self._problem.network.comparison == "aligned"
        return 1 if aligned and measure != "multiply_adds" else size**2

    def _step_cost(
        self, measure: Measure, step: Step, size: int, value: Value, shape: NetworkShape
    ) -> float:
        """Return the cost that one step adds; parts that depend on no size are left out."""
        after, layers = step.after(size, value), shape.convolutions
        entering = layers[step.layer - 1].filter_count if step.layer > 0 else 1
        if step.kind == "filter":
            layer = replace(layers[step.layer], filter_size=int(value))
            weights = layer.filters(entering)
            if measure == "multiply_adds":
                return after**2 * weights
            if measure == "parameters":
                return weights
            maps = (3 if self._problem.network.batch_norm else 2) * layer.norms(entering)
            return 4 * weights + 2 * self.images * maps * after**2
        if measure != "memory_bytes":
            return 0
        return (
            2
            * self.images
            * after**2
            * (layers[step.layer].filter_count if step.layer >= 0 else 1)
        )

    def _extreme(self, name: str, fixed: int, sign: int) -> Any:
        parameter = self._problem.space.parameters.get(name)
        extremes: tuple[Any, ...] = parameter.extremes if parameter else (fixed,)
        return max(extremes, key=lambda v: -sign * v)
