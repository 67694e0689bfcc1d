"""The scales of coordinates: shares of a range to values and back, uniform as they are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from hpsearch.space.parameter import Parameter
from hpsearch.trial import Value


class Axis(Protocol):
    """One coordinate's scale."""

    def value(self, share: float) -> Value:
        """Return the coordinate at a share of its range, 0 to 1."""
        ...

    def share(self, value: Any) -> float:
        """Return the share of a coordinate; of whole numbers the middle of theirs."""
        ...


class ContinuousAxis:
    """A real coordinate, uniform in its value or in its logarithm."""

    def __init__(self, low: float, high: float, log: bool) -> None:
        """Note the range."""
        self._range, self._log = (low, high), log
        self._low = math.log(low) if log else low
        self._span = (math.log(high) if log else high) - self._low

    def value(self, share: float) -> Value:
        """Return the coordinate at a share of its range, 0 to 1."""
        value = self._low + share * self._span
        low, high = self._range
        return min(max(math.exp(value) if self._log else value, low), high)

    def share(self, value: Any) -> float:
        """Return the share of a coordinate."""
        return float(((math.log(value) if self._log else value) - self._low) / self._span)


class ListAxis:
    """A coordinate with few values, all of the same share."""

    def __init__(self, values: Sequence[Value]) -> None:
        """Note the values, in order."""
        self._values = values

    def value(self, share: float) -> Value:
        """Return the coordinate at a share of its range, 0 to 1."""
        return self._values[min(int(share * len(self._values)), len(self._values) - 1)]

    def share(self, value: Any) -> float:
        """Return the middle of a value's share."""
        return (self._values.index(value) + 0.5) / len(self._values)


class LogIntAxis:
    """A whole number with a uniform logarithm; each reaches half-way to its neighbours."""

    def __init__(self, low: int, high: int) -> None:
        """Note the range."""
        self._low, self._high = low, high
        self._axis = ContinuousAxis(low - 0.5, high + 0.5, log=True)

    def value(self, share: float) -> Value:
        """Return the coordinate at a share of its range, 0 to 1."""
        return min(max(round(float(self._axis.value(share))), self._low), self._high)

    def share(self, value: Any) -> float:
        """Return the share of a coordinate."""
        return self._axis.share(value)


class IntAxis:
    """A whole number of a long range."""

    def __init__(self, low: int, high: int, step: int) -> None:
        """Note the range."""
        self._low, self._step = low, step
        self._count = (high - low) // step + 1

    def value(self, share: float) -> Value:
        """Return the coordinate at a share of its range, 0 to 1."""
        return self._low + min(int(share * self._count), self._count - 1) * self._step

    def share(self, value: Any) -> float:
        """Return the middle of a value's share."""
        return float(((value - self._low) // self._step + 0.5) / self._count)


def axis_of(parameter: Parameter) -> Axis:
    """Return the scale of a parameter that is its own coordinate."""
    extremes: Any = parameter.extremes
    if parameter.log and parameter.type == "int":
        return LogIntAxis(extremes[0], extremes[1])
    values = parameter.values()
    if values is not None:
        return ListAxis(values)
    if parameter.type == "int":
        return IntAxis(extremes[0], extremes[1], int(parameter.step or 1))
    return ContinuousAxis(extremes[0], extremes[1], parameter.log)
