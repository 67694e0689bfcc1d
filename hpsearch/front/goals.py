"""What a study wants: its objectives, and constraints on what is measured of a trial.

A trial's figures are what is known of it beside its value: costs that follow from its parameters,
and what its training reported. Points and other held values are lower is better.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from hpsearch.configfile import Section
from hpsearch.trial import TrialRecord

Point = tuple[float, ...]
"""A value for each objective, lower is better; the trial's own value first."""


class Goal(Section):
    """One objective."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    """What it is: the trial's value, a cost, or a figure that training reports."""
    maximized: bool = False
    """Whether users want it large."""
    exact: bool = False
    """Whether it follows from the parameters."""
    ratio: bool = False
    """Whether half as much is as good a step from anywhere: then hypervolumes take log10."""

    def held(self, value: float) -> float:
        """Return a user's value as the search holds it, or the other way round."""
        return -value if self.maximized else value

    @property
    def stored(self) -> str:
        """The name of what the database holds."""
        return f"minus {self.name}" if self.maximized else self.name

    def scaled(self, held: float) -> float:
        """Return a held value on the scale of hypervolumes."""
        return math.log10(held) if self.ratio and held > 0 else held


class Bound(Section):
    """What a constraint allows: at most `max`, at least `min`."""

    max: float | None = None
    """The largest allowed value."""
    min: float | None = None
    """The smallest allowed value."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.max is None and self.min is None:
            raise ValueError("write {max: NUMBER}, {min: NUMBER} or both")
        if self.max is not None and self.min is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}; exchange them")
        return self

    def excess(self, value: float) -> float:
        """Return by how much a value is beyond the bound; at most 0 where it is within."""
        over = -math.inf if self.max is None else value - self.max
        under = -math.inf if self.min is None else self.min - value
        return max(over, under)

    def in_words(self, value: float) -> str:
        """Describe a value beyond the bound."""
        if self.max is not None and value > self.max:
            return f"{value:.4g} is above {self.max:g}"
        return f"{value:.4g} is below {self.min:g}"


class Goals(Section):
    """The objectives of a study, and its constraints on measured figures."""

    objectives: tuple[Goal, ...] = ()
    """Two or more, the trial's value first; empty for a study of one objective."""
    constraints: dict[str, Bound] = Field(default_factory=dict)
    """Bounds by figure."""

    @property
    def several(self) -> bool:
        """Whether there is more than one objective."""
        return len(self.objectives) > 1

    @property
    def others(self) -> tuple[Goal, ...]:
        """The objectives beside the trial's value."""
        return self.objectives[1:]

    @property
    def exact(self) -> list[str]:
        """Figures that follow from the parameters."""
        return [goal.name for goal in self.others if goal.exact]

    @property
    def measured(self) -> list[str]:
        """Figures that training has to report."""
        names = [goal.name for goal in self.others if not goal.exact]
        return [*names, *(name for name in self.constraints if name not in names)]

    def after(
        self, held: Mapping[str, float], reported: Mapping[str, float], *, best: bool
    ) -> dict[str, float]:
        """Return the figures after one more epoch.

        A figure belongs to the best epoch; where that one did not report it, to another.

        Args:
            held: The figures before.
            reported: What the epoch reported.
            best: Whether the epoch has the lowest error so far.
        """
        wanted = {n: reported[n] for n in self.measured if n in reported}
        return {**held, **wanted} if best else {**wanted, **held}

    def over_curve(
        self, exact: Mapping[str, float], curve: Iterable[tuple[float, Mapping[str, float]]]
    ) -> dict[str, float]:
        """Return the figures after a curve.

        Args:
            exact: The figures before the first epoch.
            curve: Error and reported figures of each epoch, in order.
        """
        figures, lowest = dict(exact), math.inf
        for error, reported in curve:
            if math.isfinite(error):
                figures = self.after(figures, reported, best=error < lowest)
                lowest = min(lowest, error)
        return figures

    def rest(self, figures: Mapping[str, float]) -> Point | None:
        """Return the held values of all objectives but the first, None while one is unknown."""
        if any(goal.name not in figures for goal in self.others):
            return None
        return tuple(goal.held(figures[goal.name]) for goal in self.others)

    def point(self, trial: TrialRecord) -> Point | None:
        """Return a trial's point, None while an objective is unknown."""
        rest = self.rest(trial.figures)
        return None if rest is None or trial.value is None else (trial.value, *rest)

    def scaled(self, point: Point) -> Point:
        """Return a point on the scale of hypervolumes."""
        return tuple(g.scaled(v) for g, v in zip(self.objectives, point, strict=True))

    def by_name(self, point: Point) -> dict[str, float]:
        """Return the user's values of a point."""
        return {g.name: g.held(v) for g, v in zip(self.objectives, point, strict=True)}

    def excesses(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Return by how much each known figure is beyond its constraint; at most 0 within."""
        known = (name for name in self.constraints if name in figures)
        return {name: self.constraints[name].excess(figures[name]) for name in known}

    def violation(self, figures: Mapping[str, float]) -> str | None:
        """Return which constraint is known to fail and how, None where none is."""
        for name, excess in self.excesses(figures).items():
            if excess > 0:
                return f"constraint {name}: {self.constraints[name].in_words(figures[name])}"
        return None

    def missing(self, figures: Mapping[str, float]) -> str | None:
        """Return the first figure that training has to report and has not, or None."""
        return next((name for name in self.measured if name not in figures), None)


ONE = Goals()
"""One objective, no constraint."""
