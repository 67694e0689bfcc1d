"""The feasible configuration nearest to a wanted one, for enqueued and migrated points.

Sizes are exact: the least summed squared distance over all combinations that fit. Limits on cost
are then met by lowering counts and width together, and raising each again as far as it goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.errors import InputError
from hpsearch.seeding import generator
from hpsearch.space.cost_range import CostRange, Measure
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import Value

DRAWS = 4096
"""Size combinations tried where the nearest one breaks a limit whatever the counts are."""
HALVINGS = 40
COSTLY = ("filter_count", "width", "batch_pairs", "batch_characters", "batch_drawings")
"""Whole numbers that raise multiply-adds, parameters or memory."""


def nearest_feasible(problem: SearchProblem, params: Mapping[str, Any]) -> dict[str, Value]:
    """Return the feasible parameters nearest to the given ones, for enqueued points.

    Distance is measured in shares of each parameter's range.

    Raises:
        InputError: A parameter is missing or no value of its kind, or nothing stays within the
            limits.
    """
    return _Nearest(problem).feasible(problem.within_ranges(params))


class _Nearest:
    """Moves points of a search problem to feasible ones."""

    def __init__(self, problem: SearchProblem) -> None:
        self._problem = problem

    def feasible(self, values: dict[str, Value]) -> dict[str, Value]:
        """Return the nearest feasible point.

        Args:
            values: Parameters within their ranges.

        Raises:
            InputError: Nothing within the limits was found.
        """
        if not self._problem.sizes.fits(values):
            values = {**values, **self._problem.nearest_sizes(values)}
        if self._problem.over_limits(values) is None:
            return values
        lowest = self._lowest(values)
        if self._problem.over_limits(lowest) is not None:
            values = {**values, **self._affordable_sizes(values, lowest)}
            lowest = self._lowest(values)
        return self._raise_each(values, self._lower_together(values, lowest))

    def _tightest(self) -> Measure:
        """Return the first limit that is set, for the last attempt to stay within it."""
        limits = self._problem.limits
        if limits.multiply_adds is not None:
            return "multiply_adds"
        return "parameters" if limits.parameters is not None else "memory_bytes"

    def _costly(self) -> list[str]:
        return [
            name
            for name, p in self._problem.space.parameters.items()
            if name.rpartition(".")[2] in COSTLY and p.type == "int"
        ]

    def _lowest(self, values: dict[str, Value]) -> dict[str, Value]:
        ranges = self._problem.space.parameters
        return {**values, **{name: ranges[name].extremes[0] for name in self._costly()}}

    def _affordable_sizes(
        self, values: dict[str, Value], lowest: dict[str, Value]
    ) -> dict[str, Value]:
        """Return nearby sizes with which the lowest counts stay within the limits."""
        problem = self._problem
        rng = generator(0, "nearest")
        draws = rng.random((DRAWS, len(problem.sizes.free)))
        steps = [s for s in problem.sizes.steps if s.name in problem.space.parameters]
        found: list[tuple[float, int, dict[str, Value]]] = []
        for draw in draws:
            sizes = problem.sizes.decode(dict(zip(problem.sizes.free, draw.tolist(), strict=True)))
            searched = {s.name: sizes[s.name] for s in steps}
            distance = sum(s.distance(values, sizes[s.name]) for s in steps)
            if problem.over_limits({**lowest, **searched}) is None:
                found.append((distance, len(found), searched))
        cheapest = CostRange(problem).cheapest(self._tightest())
        searched = {s.name: cheapest[s.name] for s in steps}
        if problem.over_limits({**lowest, **searched}) is None:
            found.append((float("inf"), len(found), searched))
        if not found:
            raise InputError(
                f"search space {problem.space.name}: limits: even the cheapest network has "
                f"{problem.over_limits({**lowest, **searched})}; raise the limit"
            )
        return min(found)[2]

    def _lower_together(
        self, values: dict[str, Value], lowest: dict[str, Value]
    ) -> dict[str, Value]:
        """Lower every costly number by the same share of its way to its lowest value."""

        def at(share: float) -> dict[str, Value]:
            moved = {
                name: self._between(name, lowest[name], values[name], share)
                for name in self._costly()
            }
            return {**values, **moved}

        return at(self._largest(at))

    def _raise_each(self, wanted: dict[str, Value], values: dict[str, Value]) -> dict[str, Value]:
        """Raise one number after the other back towards the wanted one."""
        for name in self._costly():
            current = dict(values)

            def at(
                share: float, name: str = name, current: dict[str, Value] = current
            ) -> dict[str, Value]:
                moved = self._between(name, current[name], wanted[name], share)
                return {**current, name: moved}

            values = at(self._largest(at))
        return values

    def _largest(self, at: Any) -> float:
        """Return the largest share, 0 to 1, that stays within the limits; 0 always does."""
        low, high = 0.0, 1.0
        if self._problem.over_limits(at(1.0)) is None:
            return 1.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            if self._problem.over_limits(at(middle)) is None:
                low = middle
            else:
                high = middle
        return low

    def _between(self, name: str, low: Any, high: Any, share: float) -> Value:
        return self._problem.space.parameters[name].nearest(name, low + share * (high - low))
