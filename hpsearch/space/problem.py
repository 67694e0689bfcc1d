"""The coordinates in which samplers work: a fixed box in which every point is a feasible network.

For sizes (filter sizes, and input size and poolings if searched) the coordinates are conditional
quantiles over the feasible combinations: uniform coordinates give uniform feasible sizes. Every
other parameter is its own coordinate. Must not know samplers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import InputError
from hpsearch.front import ONE, Goals
from hpsearch.network.geometry import Convolution, NetworkShape
from hpsearch.space.axes import axis_of, continuous
from hpsearch.space.conditions import active, holds, order
from hpsearch.space.feasible_sizes import FeasibleSizes
from hpsearch.space.features import Features
from hpsearch.space.limits import Limits
from hpsearch.space.resource import Resource, Unit
from hpsearch.space.space import SearchSpace
from hpsearch.trainers.recipe import Recipe
from hpsearch.training.config import TrialConfig
from hpsearch.trial import Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class SearchProblem:
    """One search problem: a space, the base configuration, limits on cost, and objectives."""

    def __init__(
        self,
        space: SearchSpace,
        base: Recipe,
        limits: Limits,
        goals: Goals = ONE,
        unit: Unit = "epochs",
    ) -> None:
        """Count the feasible combinations of sizes.

        Args:
            space: The searched parameters.
            base: The configuration they are set in.
            limits: What a configuration may cost.
            goals: The objectives.
            unit: What the lengths of trials are counted in.

        Raises:
            InputError: No combination of sizes fits the input.
        """
        self.space, self.base, self.limits, self.goals = space, base, limits, goals
        self.resource = Resource(unit, base)
        self.sizes = FeasibleSizes(space.parameters, base)
        if not self.sizes.total and isinstance(base, TrialConfig):
            smallest = {s.name: min(s.values) for s in self.sizes.steps if s.kind == "filter"}
            shown = ", ".join(f"{name} {size}" for name, size in smallest.items())
            raise InputError(
                f"search space {space.name}: no combination of sizes fits an input of "
                f"{base.input_size} px (smallest: {shown}); lower filter sizes or raise input_size"
            )
        self._size_names = {s.name for s in self.sizes.steps} & space.parameters.keys()
        self._lowest = {name: p.extremes[0] for name, p in space.parameters.items()}
        self._stepped = {n: p for n, p in space.parameters.items() if p.stepped}
        layers = base.layers.convolutions.items() if isinstance(base, TrialConfig) else ()
        self._convolutions = list(layers)
        conditional = any(parameter.when for parameter in space.parameters.values())
        self._order = order(space.parameters) if conditional else []

    @cached_property
    def free(self) -> tuple[str, ...]:
        """The parameters with more than one possible value, in the space's order."""
        return tuple(
            name
            for name, p in self.space.parameters.items()
            if (name in self.sizes.free if name in self._size_names else not p.single)
        )

    @property
    def network(self) -> TrialConfig:
        """The base configuration of the siamese trainer.

        Raises:
            InputError: A command has no network.
        """
        if not isinstance(self.base, TrialConfig):
            raise InputError(f"search space {self.space.name}: a command has no network")
        return self.base

    def active(self, params: Mapping[str, Value]) -> dict[str, Value]:
        """Return the parameters whose conditions hold."""
        if not self._order:
            return dict(params)
        return active(self.space.parameters, self._order, params)

    def has_all(self, params: Mapping[str, Value]) -> bool:
        """Return whether a trial has every parameter of this space that counts for it."""
        searched = self.space.parameters
        if searched.keys() <= params.keys():
            return True
        return bool(self._order) and self.active(self._filled(params)).keys() <= params.keys()

    def _filled(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters with the middle of its range for each that is not active."""
        return {**self.middle, **params} if self._order else dict(params)

    @cached_property
    def middle(self) -> dict[str, Value]:
        """The parameters in the middle of their ranges, each by itself."""
        return {name: axis_of(p).value(0.5) for name, p in self.space.parameters.items()}

    @cached_property
    def cube(self) -> UnitCube:
        """The coordinates scaled to the unit cube."""
        return UnitCube(self)

    @cached_property
    def columns(self) -> Features:
        """What a model sees of configurations."""
        free = {name: self.space.parameters[name] for name in self.free}
        base = self.base if isinstance(self.base, TrialConfig) else None
        return Features(free, self.sizes, base)

    def rows(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the columns of points of the unit cube, float64 [points, columns].

        A parameter whose condition does not hold there is missing.
        """
        if self._order:
            return self.columns.matrix([self.cube.params(point) for point in points.tolist()])
        return self.columns.of(self.columns.decoded(points), len(points))

    def features(self, params: Mapping[str, Value]) -> NDArray[np.float64]:
        """Return the columns of one configuration, float64 [columns]."""
        return np.asarray(self.columns.matrix([params])[0])

    def coordinate_distributions(self) -> dict[str, BaseDistribution]:
        """Return Optuna's distribution of each free coordinate."""
        from optuna.distributions import FloatDistribution

        return {
            name: FloatDistribution(0.0, 1.0)
            if name in self._size_names
            else self.space.parameters[name].distribution()
            for name in self.free
        }

    def decode(self, coordinates: Mapping[str, Any]) -> dict[str, Value]:
        """Turn coordinates into feasible parameters.

        Args:
            coordinates: A value for each of `free`.
        """
        params = dict(self._lowest)
        params |= {name: value for name, value in coordinates.items() if name in params}
        params |= {n: p.nearest(n, params[n]) for n, p in self._stepped.items()}
        sizes = self.sizes.decode(coordinates)
        return self.active(params | {name: sizes[name] for name in self._size_names})

    def encode(self, params: Mapping[str, Value]) -> dict[str, Value]:
        """Turn parameters into coordinates; infeasible sizes move to the nearest feasible ones.

        Raises:
            InputError: A parameter is missing or no value of its kind.
        """
        values = self.within_ranges(self._filled(params))
        if not self.sizes.fits(values):
            values |= self.nearest_sizes(values)
        quantiles = self.sizes.encode(values)
        return {name: quantiles.get(name, values[name]) for name in self.free}

    def nearest_sizes(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return the searched sizes of the feasible combination nearest to the given one."""
        chosen = self.sizes.nearest(values)
        return {name: chosen[name] for name in chosen if name in self._size_names}

    def within_ranges(self, params: Mapping[str, Any]) -> dict[str, Value]:
        """Return the parameters, each moved to the nearest value of its range.

        Raises:
            InputError: A parameter is missing, unknown or no value of its kind.
        """
        for name in params:
            if name not in self.space.parameters:
                raise InputError(f"{name}: not a parameter of search space {self.space.name}")
        for name in self.space.parameters:
            if name not in params:
                raise InputError(f"{name}: missing; search space {self.space.name} searches it")
        return {name: p.nearest(name, params[name]) for name, p in self.space.parameters.items()}

    def key(self, params: Mapping[str, Value]) -> tuple[Value | None, ...]:
        """Return a key that is equal for equal configurations only."""
        if self._stepped:  # older versions stored 0.5 as 0.5000000000000001 too
            params = {**params, **{n: p.snapped(params.get(n)) for n, p in self._stepped.items()}}
        return tuple(map(params.get, self.space.parameters))

    def feasible(self, params: Mapping[str, Value]) -> bool:
        """Return whether the parameters are in range, feasible, and within the limits."""
        return self.reason(params) is None

    def reason(self, params: Mapping[str, Any]) -> str | None:
        """Return why the parameters cannot be trained, None if they can."""
        return next(iter(self.reasons(params)), None)

    def reasons(self, params: Mapping[str, Any]) -> list[str]:
        """Return all reasons why the parameters cannot be trained.

        Whether filters fit is checked if every size is a whole number. Cost is checked last, if
        there is no other reason.
        """
        found = self.misfits(params)
        sizes = [params[step.name] for step in self.sizes.steps if step.name in params]
        whole = all(isinstance(size, int) and size >= 0 for size in sizes)
        if whole and not self.sizes.fits(params):
            image, *maps = self.sizes.sizes(params)
            shown = " > ".join(str(size) for size in [image, *dict.fromkeys(maps)])
            found.append(f"the filters do not fit {image} px: {shown}")
        if found:
            return found
        beyond = self.over_limits(params)
        return [] if beyond is None else [beyond]

    def misfits(self, params: Mapping[str, Any]) -> list[str]:
        """Return which parameters the space does not have, are missing, or are out of range."""
        space = self.space
        found = [
            f"{name} is not a parameter of search space {space.name}"
            for name in params
            if name not in space.parameters
        ]
        counted = self.active(self._filled(params)) if self._order else space.parameters
        for name, parameter in space.parameters.items():
            if name not in params:
                found += [f"{name} is missing"] if name in counted else []
            elif not parameter.contains(params[name]):
                found.append(f"{name} {params[name]!r} is outside {parameter.describe()}")
        return found

    def over_limits(self, params: Mapping[str, Any]) -> str | None:
        """Return the limit that feasible parameters exceed, or None.

        A forbidden combination is beyond every limit.
        """
        for entry in self.space.forbidden:
            if holds(entry, params):
                return "forbidden: " + ", ".join(f"{name} {params[name]}" for name in entry)
        limits = self.limits
        if limits.multiply_adds is None and limits.parameters is None and limits.memory_gb is None:
            return None
        shape = self.shape(params)
        if limits.multiply_adds is not None and shape.multiply_adds > limits.multiply_adds:
            return f"{shape.multiply_adds:.3g} multiply-adds, limit {limits.multiply_adds:.3g}"
        if limits.parameters is not None and shape.parameters > limits.parameters:
            return f"{shape.parameters:.3g} weights and biases, limit {limits.parameters:.3g}"
        if limits.memory_gb is not None:
            memory_gb = shape.memory_bytes(self._images_per_step(params)) / 1e9
            if memory_gb > limits.memory_gb:
                return f"about {memory_gb:.3g} GB of memory, limit {limits.memory_gb:.3g} GB"
        return None

    def costs(self, params: Mapping[str, Any]) -> dict[str, float]:
        """Return the figures of a trial that follow from its parameters."""
        if not (names := self.goals.exact):
            return {}
        shape = self.shape(params)
        known: dict[str, Callable[[], float]] = {
            "multiply_adds": lambda: float(shape.multiply_adds),
            "parameters": lambda: float(shape.parameters),
            "memory_gb": lambda: shape.memory_bytes(self._images_per_step(params)) / 1e9,
        }
        return {name: known[name]() for name in names}

    def shape(self, params: Mapping[str, Any]) -> NetworkShape:
        """Return the network's shape without building the whole configuration."""
        get, base = params.get, self.network
        if base.backbone is not None:
            return base.with_parameters(dict(params)).shape()
        convolutions = tuple(
            Convolution(
                get(f"{name}.filter_size", layer.filter_size),
                get(f"{name}.filter_count", layer.filter_count),
                get(f"{name}.pool", layer.pool),
                padded=layer.padding == "same",
                residual=get(f"{name}.residual", layer.residual),
            )
            for name, layer in self._convolutions
        )
        return NetworkShape(
            get("input_size", base.input_size),
            convolutions,
            get(base.width_name, base.layers.width),
            batch_norm=get("batch_norm", base.batch_norm),
            comparison=base.comparison,
            inputs=base.inputs,
        )

    def _images_per_step(self, params: Mapping[str, Any]) -> int:
        base, get = self.network, params.get
        if get("pairs", base.pairs) == "independent":
            return int(2 * get("batch_pairs", base.batch_pairs))
        characters = get("batch_characters", base.batch_characters)
        return int(characters * get("batch_drawings", base.batch_drawings))

    def feasible_share(self) -> float:
        """Return the share of feasible size combinations, 0 to 1, without limits on cost."""
        return self.sizes.share()


class UnitCube:
    """Maps points of the unit cube to parameters and back."""

    def __init__(self, problem: SearchProblem) -> None:
        """Choose the scale of each free coordinate."""
        self._problem = problem
        self.names = problem.free
        parameters, sizes = problem.space.parameters, problem.sizes.free
        self.axes = [
            continuous(0.0, 1.0) if name in sizes else axis_of(parameters[name])
            for name in self.names
        ]
        self.ordered = [
            name in sizes or parameters[name].type != "categorical" for name in self.names
        ]
        """For each coordinate whether its values are ordered, so that its range has a middle."""

    def coordinates(self, shares: Sequence[float]) -> dict[str, Value]:
        """Return the coordinates of a point, each share from 0 to 1."""
        values = [axis.value(share) for axis, share in zip(self.axes, shares, strict=True)]
        return dict(zip(self.names, values, strict=True))

    def params(self, shares: Sequence[float]) -> dict[str, Value]:
        """Return the parameters of a point, each share from 0 to 1."""
        return self._problem.decode(self.coordinates(shares))

    def shares(self, params: Mapping[str, Value]) -> list[float]:
        """Return the point of parameters, in the order of `names`."""
        encoded = self._problem.encode(params)
        return [
            axis.share(encoded[name]) for name, axis in zip(self.names, self.axes, strict=True)
        ]
