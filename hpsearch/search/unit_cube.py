"""The coordinates scaled to the unit cube, so that uniform draws follow each distribution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hpsearch.search.history import Value

if TYPE_CHECKING:
    from hpsearch.search.coordinates import Coordinates


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


class UnitCube:
    """Maps points of the unit cube to parameters and back."""

    def __init__(self, coordinates: Coordinates) -> None:
        """Choose each free coordinate's scale."""
        self._problem = coordinates
        self.names = coordinates.free
        self.axes = [_axis(coordinates, name) for name in self.names]
        parameters = coordinates.space.parameters
        self.ordered = [
            name in coordinates.sizes.free or parameters[name].type != "categorical"
            for name in self.names
        ]
        """Of each coordinate whether its values have an order, so that its range has a middle."""

    def coordinates(self, shares: Sequence[float]) -> dict[str, Value]:
        """Return the coordinates of a point, each share from 0 to 1."""
        return {
            name: axis.value(share)
            for name, axis, share in zip(self.names, self.axes, shares, strict=True)
        }

    def params(self, shares: Sequence[float]) -> dict[str, Value]:
        """Return the parameters of a point, each share from 0 to 1."""
        return self._problem.decode(self.coordinates(shares))

    def shares(self, params: Mapping[str, Value]) -> list[float]:
        """Return the point of parameters, in the order of `names`."""
        encoded = self._problem.encode(params)
        return [
            axis.share(encoded[name]) for name, axis in zip(self.names, self.axes, strict=True)
        ]


def _axis(coordinates: Coordinates, name: str) -> Axis:
    if name in coordinates.sizes.free:
        return ContinuousAxis(0.0, 1.0, log=False)
    parameter = coordinates.space.parameters[name]
    extremes: Any = parameter.extremes
    if parameter.log and parameter.type == "int":
        return LogIntAxis(extremes[0], extremes[1])
    values = parameter.values()
    if values is not None:
        return ListAxis(values)
    if parameter.type == "int":
        return IntAxis(extremes[0], extremes[1], int(parameter.step or 1))
    return ContinuousAxis(extremes[0], extremes[1], parameter.log)
