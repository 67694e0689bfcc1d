"""What every sampler is, and what it sees of a history. Lower values are better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np

from hpsearch.trial import TrialRecord, Value

if TYPE_CHECKING:
    from hpsearch.space.problem import SearchProblem

Kind = Literal["complete", "pruned", "paused", "running", "bad"]
MOST_BEST, MOST_RECENT = 50, 150
"""Samplers whose cost grows with the cube of the history learn from the best and last so many."""


class Sampler(Protocol):
    """Proposes points of a search problem; a draw depends on nothing but what it was told."""

    redraws: int
    """Draws worth their time when a proposal is taken already or beyond a limit."""

    def draw(self, seed: int) -> dict[str, Value]:
        """Return parameters that fit, from a seed in [0, 2**63)."""
        ...


@runtime_checkable
class Predicts(Protocol):
    """A sampler with a model of values."""

    def predict(self, params: Mapping[str, Value], seed: int) -> tuple[float, float]:
        """Return the validation error expected of parameters, and its standard deviation.

        Args:
            params: A configuration of the space.
            seed: Of the draw whose model is meant.
        """
        ...


@dataclass(frozen=True)
class Observation:
    """One trial as samplers see it.

    Args:
        number: The trial's number.
        kind: complete, pruned, paused or running; or bad, which cannot be trained or needs more
            memory than there is.
        params: Its parameters.
        point: Its coordinates.
        curve: Lowest validation error so far by epoch.
        value: The last of the curve; None before an epoch has ended.
        seconds: What its training took; None while it is unknown.
    """

    number: int
    kind: Kind
    params: Mapping[str, Value]
    point: Mapping[str, Value]
    curve: Mapping[int, float]
    value: float | None
    seconds: float | None = None


def observe(problem: SearchProblem, history: Sequence[TrialRecord]) -> list[Observation]:
    """Return what samplers learn from a history, by trial number.

    A failed trial says something about its configuration only where memory was short; others
    are left out. So are ended trials without a finite value, and those of another space whose
    choice this one does not know.
    """
    found = []
    for trial in sorted(history, key=lambda t: t.number):
        curve = {epoch: low for epoch, low in trial.lowest.items() if low < math.inf}
        value = next(reversed(curve.values()), None)
        kind = _kind(trial, value)
        searched = problem.space.parameters
        if kind is not None and searched.keys() <= trial.params.keys():
            params = {name: trial.params[name] for name in searched}
            point = problem.encode(params)
            seconds = trial.seconds
            found.append(Observation(trial.number, kind, params, point, curve, value, seconds))
    return found


def _kind(trial: TrialRecord, value: float | None) -> Kind | None:
    if trial.out_of_memory or not trial.trainable:
        return "bad"
    if trial.state == "running" or (trial.state == "paused" and value is None):
        return "running"
    return None if trial.state == "failed" or value is None else trial.state


def expected_end(observation: Observation, others: Sequence[Observation]) -> float | None:
    """Return the error an unfinished trial is expected to end with, by complete ones at its epoch.

    The complete trial that stood where it stands is its measure, between two of them linearly;
    beyond the best or the worst it is that one's. None where fewer than two came by that epoch.
    """
    epoch = max(observation.curve)
    peers = [o for o in others if o.kind == "complete" and epoch in o.curve]
    if len(peers) < 2:
        return None
    then = sorted(o.curve[epoch] for o in peers)
    ends = sorted(min(o.curve.values()) for o in peers)
    return min(observation.curve[epoch], float(np.interp(observation.curve[epoch], then, ends)))


def best_and_recent(observations: Sequence[Observation]) -> list[Observation]:
    """Return at most `MOST_BEST` best and `MOST_RECENT` last observations, by number."""
    ranked = sorted(
        (o for o in observations if o.value is not None and o.kind != "bad"),
        key=lambda o: (o.value, o.number),
    )
    kept = {o.number for o in ranked[:MOST_BEST]} | {o.number for o in observations[-MOST_RECENT:]}
    return [o for o in observations if o.number in kept]
