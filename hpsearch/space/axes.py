"""Scales of coordinates: map a share of a range, 0 to 1, to a value and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.space.parameter import Parameter
from hpsearch.trial import Value


@dataclass(frozen=True)
class Axis:
    """The scale of one coordinate.

    Args:
        value: Returns the coordinate at a share of its range, 0 to 1.
        share: Returns the share of a coordinate; for a discrete one the middle of its shares.
    """

    value: Callable[[float], Value]
    share: Callable[[Any], float]


def continuous(low: float, high: float, *, log: bool = False) -> Axis:
    """Return the scale of a real coordinate, uniform in its value or in its logarithm."""
    start = math.log(low) if log else low
    span = (math.log(high) if log else high) - start

    def value(share: float) -> float:
        value = start + share * span
        return min(max(math.exp(value) if log else value, low), high)

    return Axis(value, lambda value: ((math.log(value) if log else value) - start) / span)


def discrete(values: Sequence[Value]) -> Axis:
    """Return the scale of ordered values that have equal shares."""
    return Axis(
        lambda share: values[min(int(share * len(values)), len(values) - 1)],
        lambda value: (values.index(value) + 0.5) / len(values),
    )


def log_int(low: int, high: int) -> Axis:
    """Return the scale of a whole number, uniform in the logarithm of low - 0.5 to high + 0.5."""
    axis = continuous(low - 0.5, high + 0.5, log=True)
    return Axis(lambda share: min(max(round(float(axis.value(share))), low), high), axis.share)


def axis_of(parameter: Parameter) -> Axis:
    """Return the scale of a parameter that is its own coordinate."""
    extremes: Any = parameter.extremes
    if parameter.type == "int":
        low, high = extremes[0], extremes[-1]
        if parameter.log:
            return log_int(low, high)
        return discrete(range(low, high + 1, int(parameter.step or 1)))
    values = parameter.values()
    return continuous(*extremes, log=parameter.log) if values is None else discrete(values)
