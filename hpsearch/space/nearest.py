"""Find the feasible configuration nearest to a given one, for enqueued and migrated points.

Sizes are exact: the feasible combination with the least summed squared distance. To meet limits on
cost, counts and width are lowered together, then each is raised again as far as the limits allow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hpsearch.errors import InputError
from hpsearch.seeding import generator
from hpsearch.space.cost_range import CostRange, Measure
from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem
from hpsearch.training.config import TrialConfig
from hpsearch.trial import Value

DRAWS = 4096
"""Size combinations tried where the nearest one breaks a limit even with the lowest counts."""
HALVINGS = 40
COSTLY = ("filter_count", "width", "batch_pairs", "batch_characters", "batch_drawings")
"""Whole numbers that raise multiply-adds, parameters or memory."""

Params = dict[str, Value]


def nearest_feasible(problem: SearchProblem, params: Mapping[str, Any]) -> Params:
    """Return the feasible parameters nearest to the given ones.

    Distance is measured in shares of each parameter's range.

    Raises:
        InputError: A parameter is missing or no value of its kind, or nothing stays within the
            limits.
    """
    if not isinstance(problem.base, TrialConfig):
        return _as_a_command_takes_it(problem, params)
    values = problem.within_ranges(params)
    if not problem.sizes.fits(values):
        values |= problem.nearest_sizes(values)
    if problem.over_limits(values) is None:
        return values
    ranges = problem.space.parameters
    lowest = {
        name: p.extremes[0]
        for name, p in ranges.items()
        if name.rpartition(".")[2] in COSTLY and p.type == "int"
    }
    if problem.over_limits({**values, **lowest}) is not None:
        values |= _affordable_sizes(problem, values, lowest)

    def between(name: str, low: Any, share: float) -> Value:
        high: Any = values[name]
        return ranges[name].nearest(name, low + share * (high - low))

    def lowered(share: float) -> Params:
        return {**values, **{name: between(name, low, share) for name, low in lowest.items()}}

    found = _largest(problem, lowered)
    for name in lowest:
        start = dict(found)

        def raised(share: float, name: str = name, start: Params = start) -> Params:
            return {**start, name: between(name, start[name], share)}

        found = _largest(problem, raised)
    return found


def _as_a_command_takes_it(problem: SearchProblem, params: Mapping[str, Any]) -> Params:
    """Return the parameters of a command, each within its range.

    Raises:
        InputError: They are forbidden together.
    """
    middle = problem.cube.params([0.5] * len(problem.cube.names))
    whole = {**middle, **problem.space.settings(problem.base), **params}
    found = problem.active(
        {
            name: parameter.nearest(name, whole.get(name, parameter.extremes[0]))
            for name, parameter in problem.space.parameters.items()
        }
    )
    if beyond := problem.over_limits(found):
        raise InputError(f"search space {problem.space.name}: {beyond}; change one of these")
    return found


def _largest(problem: SearchProblem, at: Callable[[float], Params]) -> Params:
    """Return the parameters at the largest share, 0 to 1, within the limits; 0 always is."""
    if problem.over_limits(at(1.0)) is None:
        return at(1.0)
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if problem.over_limits(at(middle)) is None:
            low = middle
        else:
            high = middle
    return at(low)


def _affordable_sizes(problem: SearchProblem, values: Params, lowest: Params) -> Params:
    """Return nearby sizes with which the lowest counts stay within the limits."""
    steps = [s for s in problem.sizes.steps if s.name in problem.space.parameters]

    def beyond(sizes: Params) -> str | None:
        return problem.over_limits({**values, **lowest, **sizes})

    found: list[tuple[float, int, Params]] = []
    for draw in generator(0, "nearest").random((DRAWS, len(problem.sizes.free))).tolist():
        decoded = problem.sizes.decode(dict(zip(problem.sizes.free, draw, strict=True)))
        sizes = {s.name: decoded[s.name] for s in steps}
        if beyond(sizes) is None:
            distance = sum(s.distance(values, sizes[s.name]) for s in steps)
            found.append((distance, len(found), sizes))
    if found:
        return min(found)[2]
    cheapest = CostRange(problem).cheapest(_tightest(problem.limits))
    sizes = {s.name: cheapest[s.name] for s in steps}
    if reason := beyond(sizes):
        raise InputError(
            f"search space {problem.space.name}: limits: even the cheapest network has "
            f"{reason}; raise the limit"
        )
    return sizes


def _tightest(limits: Limits) -> Measure:
    """Return the first limit that is set."""
    if limits.multiply_adds is not None:
        return "multiply_adds"
    return "parameters" if limits.parameters is not None else "memory_bytes"
