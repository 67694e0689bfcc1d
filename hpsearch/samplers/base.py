"""The interface of samplers, and the observations they learn from. Lower is better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from hpsearch.front.goals import ONE, Point
from hpsearch.front.order import ordered
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import TrialRecord, Value

Kind = Literal["complete", "pruned", "paused", "running", "bad"]
MOST_BEST, MOST_RECENT = 50, 150
"""Cubic-cost samplers see only the 50 best and 150 most recent trials."""


class Sampler(Protocol):
    """Proposes points of a search problem; a draw depends on observations and seed only."""

    redraws: int
    """How many draws to try when a proposal was tried before or exceeds a limit."""

    def draw(self, seed: int) -> dict[str, Value]:
        """Return feasible parameters, from a seed in [0, 2**63)."""
        ...


@runtime_checkable
class Predicts(Protocol):
    """A sampler that can predict values."""

    def predict(self, params: Mapping[str, Value], seed: int) -> tuple[float, float]:
        """Return the expected validation error of a configuration, and its standard deviation.

        Args:
            params: A configuration of the space.
            seed: Seed of the draw; the model is the one of this draw.
        """
        ...


@runtime_checkable
class Expects(Protocol):
    """A sampler with a model of the final errors of the trials it has seen."""

    def expected(self) -> dict[int, float]:
        """Return the expected final error of each trial that it models, by number."""
        ...


@dataclass(frozen=True)
class Observation:
    """One trial as samplers see it.

    Args:
        number: The trial's number.
        kind: complete, pruned, paused or running; bad where training is impossible or memory is
            too small.
        params: Its parameters.
        curve: Lowest validation error so far, by epoch.
        value: The last value of the curve, or a program's result; None before an epoch has ended.
        seconds: Training time; None while unknown.
        errors: Finite validation error of each epoch, as it was; empty where the curve is no
            training of this problem, but one value that stands for its end.
        result: What its program gave in its end, None where it gave nothing.
        rest: Of several objectives those beside the error, on the scale of hypervolumes, lower is
            better; None while one is unknown, and with one objective.
        excess: By how much the worst constraint is broken; 0 where none is known to be.
    """

    number: int
    kind: Kind
    params: Mapping[str, Value]
    curve: Mapping[int, float]
    value: float | None
    seconds: float | None = None
    errors: Mapping[int, float] = field(default_factory=dict)
    result: float | None = None
    rest: Point | None = None
    excess: float = 0.0


def observe(problem: SearchProblem, history: Sequence[TrialRecord]) -> list[Observation]:
    """Return the observations of a history, by trial number.

    Left out are failed trials, unless memory ran out; ended trials without a finite value; and
    trials that lack a parameter of this space.
    """
    found = []
    searched = problem.space.parameters
    for trial in sorted(history, key=lambda t: t.number):
        curve = {epoch: low for epoch, low in trial.lowest.items() if low < math.inf}
        value = trial.result if trial.result is not None else next(reversed(curve.values()), None)
        kind = _kind(trial, value)
        if kind is not None and problem.has_all(trial.params):
            params = {name: trial.params[name] for name in searched if name in trial.params}
            errors = {e: v for e, v in trial.values.items() if math.isfinite(v)}
            known = trial.number, kind, params, curve, value, trial.seconds, errors
            rest, excess = _beside_error(problem, trial) if problem.goals != ONE else (None, 0.0)
            found.append(Observation(*known, trial.result, rest, excess))
    return _to_results(found)


def _to_results(found: list[Observation]) -> list[Observation]:
    """Return observations whose values are on the scale of the results that programs gave.

    What a program reports on the way may be another measure; see `belief.evidence.to_results`.
    """
    moves = [o.result - min(o.curve.values()) for o in found if o.result is not None and o.curve]
    if not moves:
        return found
    usual = median(moves)
    return [
        o if o.result is not None or o.value is None else replace(o, value=o.value + usual)
        for o in found
    ]


def _beside_error(problem: SearchProblem, trial: TrialRecord) -> tuple[Point | None, float]:
    """Return the other objectives of a trial, scaled, and its excess."""
    goals = problem.goals
    figures = dict(trial.figures)
    if any(name not in figures for name in goals.exact):
        figures |= problem.costs(trial.params)
    rest = goals.rest(figures) if goals.several else None
    scaled = None
    if rest is not None:
        scaled = tuple(g.scaled(v) for g, v in zip(goals.others, rest, strict=True))
    return scaled, max([0.0, *goals.excesses(figures).values()])


def _kind(trial: TrialRecord, value: float | None) -> Kind | None:
    if trial.out_of_memory or not trial.trainable:
        return "bad"
    if trial.state == "running" or (trial.state == "paused" and value is None):
        return "running"
    return None if trial.state == "failed" or value is None else trial.state


def expected_end(observation: Observation, others: Sequence[Observation]) -> float | None:
    """Return the final error expected of an unfinished trial.

    The errors of complete trials at the same epoch are mapped to their final errors, by linear
    interpolation and constant beyond both ends.

    Returns:
        None where fewer than two complete trials have a value at that epoch.
    """
    epoch = max(observation.curve)
    peers = [o for o in others if o.kind == "complete" and epoch in o.curve]
    if len(peers) < 2:
        return None
    then = sorted(o.curve[epoch] for o in peers)
    ends = sorted(o.value for o in peers if o.value is not None)
    end = float(np.interp(observation.curve[epoch], then, ends))
    # A result may be another measure than the values on the way.
    return end if any(o.result is not None for o in peers) else min(observation.curve[epoch], end)


def best_and_recent(observations: Sequence[Observation]) -> list[Observation]:
    """Return the `MOST_BEST` best and `MOST_RECENT` most recent observations, by number."""
    ranked = best_first([o for o in observations if o.value is not None and o.kind != "bad"])
    kept = {o.number for o in ranked[:MOST_BEST]} | {o.number for o in observations[-MOST_RECENT:]}
    return [o for o in observations if o.number in kept]


def values_with_worst(
    problem: SearchProblem, observations: Sequence[Observation]
) -> list[Point | None]:
    """Return what each observation counts as: its values, the worst seen where it is bad.

    None for a running trial, and for one of which an objective is unknown.
    """
    worst = max(o.value for o in observations if o.value is not None)
    several = problem.goals.several
    known = [o.rest for o in observations if o.rest is not None]
    beyond = tuple(max(column) for column in zip(*known, strict=True))

    def counts(one: Observation) -> Point | None:
        if one.kind == "running":
            return None
        error = worst if one.kind == "bad" or one.value is None else one.value
        if not several:
            return (error,)
        rest = beyond if one.rest is None and one.kind == "bad" else one.rest
        return (error, *rest) if rest else None

    return [counts(one) for one in observations]


def best_first(observations: Sequence[Observation]) -> list[Observation]:
    """Return observations with a value, best first: by value, or as points of all objectives."""
    points = [(o.value or 0.0, *o.rest) for o in observations if o.rest is not None]
    if len(points) < len(observations) or not points:
        return sorted(observations, key=lambda o: (o.value, o.number))
    return [observations[k] for k in ordered(points)]
