"""A model of the recorded problem: any configuration's curve, seconds, divergence and noise.

Curves are modelled by their principal components, each by the regression of the configuration
that predicts held-out trials better. The lowest point of a curve, which a search compares, has
a regression of its own: the curve is shifted to it, because the lowest of a mean curve tells it
worse. What two seeds of one configuration disagree in is drawn on top.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.features import Features, PlainColumns
from benchmarks.fitted import Array, Fitted, Share
from benchmarks.regression import Fit, calm_network, choose, forest, network, process, trees
from benchmarks.table import RecordedTrial, Table
from hpsearch.seeding import generator
from hpsearch.space.space import SearchSpace
from hpsearch.trial import Value

COMPONENTS = 4
"""Principal components of the curves; a short trial's curve has no more in it than that."""
FEWEST = 5
"""Fewer diverged trials (or repeated pairs) than this are counted, not modelled."""


class Columns(Protocol):
    """What a surrogate sees of configurations."""

    def matrix(self, trials: Sequence[Mapping[str, Value]]) -> Array:
        """Return float64 [trials, columns]."""
        ...


@dataclass(frozen=True)
class Family:
    """Of what a surrogate is made.

    Args:
        suffix: Of its name, after the table's.
        columns: What it sees of a configuration.
        kinds: Regressions of curves and cost; the best on held-out trials is taken.
        shares: Regressions of what diverges, likewise.
    """

    suffix: str
    columns: Callable[[SearchSpace], Columns]
    kinds: tuple[Fit, ...]
    shares: tuple[Fit, ...]


FIRST = Family("", Features, (process, trees), (process, forest))
SECOND = Family("-second", PlainColumns, (network,), (calm_network,))
"""Shares no column and no regression with the first: what wins on both does not win by its model
being of the surrogate's kind."""


@dataclass(frozen=True)
class Answer:
    """What a trial of the replay will say.

    Args:
        errors: Validation error of each epoch until it ends.
        seconds: Seconds from its start to the end of each epoch.
        diverged: Whether its last epoch carries a diagnosis.
        truth: Validation error of each epoch of a whole trial without noise; infinite where the
            configuration is likelier to diverge than not.
    """

    errors: tuple[float, ...]
    seconds: tuple[float, ...]
    diverged: bool
    truth: tuple[float, ...]


@dataclass(frozen=True)
class Parts:
    """What a fit found, and what is stored of it.

    Args:
        centre: Mean curve, float64 [epochs].
        axes: Principal components of the curves, float64 [components, epochs].
        lowest: Answers the lowest error of a curve.
        scores: Answers the curve along each component.
        cost: Answers the logarithm of an epoch's seconds.
        divergence: Answers the probability that training diverges, before it is cut to [0, 1].
        lasted: Epochs that each diverged trial lasted.
        noise: Lower triangular root of the covariance of a curve over seeds, float64
            [epochs, epochs].
    """

    centre: Array
    axes: Array
    lowest: Fitted
    scores: tuple[Fitted, ...]
    cost: Fitted
    divergence: Fitted
    lasted: tuple[int, ...]
    noise: Array


class Surrogate:
    """Answers any configuration of the table's space; every number is rounded to 1e-6."""

    def __init__(self, parts: Parts, features: Columns) -> None:
        """Note what was fitted; `fit` and `benchmarks.stored_surrogate` make it."""
        self.parts, self._features = parts, features
        self.epochs = len(parts.centre)

    @classmethod
    def fit(cls, table: Table, space: SearchSpace, family: Family = FIRST) -> Surrogate:
        """Fit a table. Fits differ by rounding from processor to processor, so one is stored."""
        epochs, features = table.epochs, family.columns(space)
        complete = complete_trials(table)
        inputs = features.matrix([t.params for t in complete])
        curves = np.array([t.errors for t in complete])
        centre = curves.mean(axis=0)
        _, _, axes = np.linalg.svd(curves - centre, full_matrices=False)
        axes = axes[:COMPONENTS]
        scores = (curves - centre) @ axes.T
        lowest = (centre + scores @ axes).min(axis=1)
        kind = choose(inputs, lowest, family.kinds)
        cost = np.log([t.seconds[-1] / epochs for t in complete])
        parts = Parts(
            centre=centre,
            axes=axes,
            lowest=kind(inputs, lowest),
            scores=tuple(kind(inputs, scores[:, k]) for k in range(scores.shape[1])),
            cost=choose(inputs, cost, family.kinds)(inputs, cost),
            divergence=fit_divergence(table, features, family.shares),
            lasted=tuple(len(t.errors) for t in table.trials if not t.complete),
            noise=np.linalg.cholesky(seed_noise(table, epochs)),
        )
        return cls(parts, features)

    def truth(self, params: Sequence[Mapping[str, Value]]) -> Array:
        """Return the validation errors without noise of whole trials, float64 [trials, epochs]."""
        curves = np.clip(self.curves(params), 0.0, 1.0)
        curves[self.divergence(params) > 0.5] = math.inf
        return curves

    def curves(self, params: Sequence[Mapping[str, Value]]) -> Array:
        """Return the mean curves as if nothing diverged, float64 [trials, epochs]."""
        inputs, parts = self._features.matrix(params), self.parts
        mean = np.repeat(parts.centre[None], len(inputs), axis=0)
        for axis, scores in zip(parts.axes, parts.scores, strict=True):
            mean = mean + scores.mean(inputs)[:, None] * axis
        return _rounded(mean + (parts.lowest.mean(inputs) - mean.min(axis=1))[:, None])

    def objective(self, params: Sequence[Mapping[str, Value]]) -> Array:
        """Return the objective without noise: the lowest error of any epoch, float64 [trials]."""
        return self.truth(params).min(axis=1)

    def divergence(self, params: Sequence[Mapping[str, Value]]) -> Array:
        """Return the probability that training diverges, float64 [trials]."""
        told = self.parts.divergence.mean(self._features.matrix(params))
        return _rounded(np.clip(told, 0.0, 1.0))

    def answer(self, params: Mapping[str, Value], seed: int) -> Answer:
        """Return what a trial says; the same seed says the same.

        Args:
            params: The configuration.
            seed: The trial's seed: decides noise and divergence.
        """
        rng = generator(seed, "surrogate")
        mean = self.curves([params])[0]
        probability = float(self.divergence([params])[0])
        truth = np.clip(mean, 0.0, 1.0) if probability <= 0.5 else np.full(len(mean), math.inf)
        noise = (self.parts.noise * rng.normal(size=self.epochs)).sum(axis=1)
        errors = _rounded(np.clip(mean + noise, 0.0, 1.0))
        pace = math.exp(float(self.parts.cost.mean(self._features.matrix([params]))[0]))
        diverged = bool(rng.random() < probability)
        last = int(rng.choice(self.parts.lasted)) if diverged else self.epochs
        return Answer(
            errors=tuple(errors[:last].tolist()),
            seconds=tuple(_rounded(pace * np.arange(1, last + 1)).tolist()),
            diverged=diverged,
            truth=tuple(truth.tolist()),
        )


def complete_trials(table: Table) -> list[RecordedTrial]:
    """Return the trials that curves and cost are fitted on, in the table's order."""
    return [t for t in table.trials if t.complete and len(t.errors) == table.epochs]


def _rounded(values: Array) -> Array:
    """Round to 1e-6, far above what processors disagree in, and far below the noise of a trial."""
    return np.round(values, 6)


class NearestRow:
    """Answers with the recorded trial nearest to the configuration (`--nearest`)."""

    def __init__(self, table: Table, space: SearchSpace) -> None:
        """Note every trial's place."""
        self.epochs = table.epochs
        self._features, self._trials = Features(space), table.trials
        self._places = self._features.matrix([t.params for t in table.trials])

    def objective(self, params: Sequence[Mapping[str, Value]]) -> Array:
        """Return the objective of each configuration's nearest trial, float64 [trials]."""
        return np.array([min(_truth(self._nearest(p), self.epochs)) for p in params])

    def answer(self, params: Mapping[str, Value], seed: int) -> Answer:  # noqa: ARG002
        """Return the nearest trial as it was recorded; a table knows no other seed."""
        trial = self._nearest(params)
        return Answer(trial.errors, trial.seconds, not trial.complete, _truth(trial, self.epochs))

    def _nearest(self, params: Mapping[str, Value]) -> RecordedTrial:
        distance = np.square(self._places - self._features.matrix([params])).sum(axis=1)
        return self._trials[int(distance.argmin())]


def _truth(trial: RecordedTrial, epochs: int) -> tuple[float, ...]:
    if not trial.complete:
        return (math.inf,) * epochs
    return trial.errors + (trial.errors[-1],) * (epochs - len(trial.errors))


def fit_divergence(table: Table, features: Columns, kinds: Sequence[Fit]) -> Fitted:
    """Fit the share that diverges where there are enough of both kinds, else count."""
    diverged = np.array([not t.complete for t in table.trials], np.float64)
    if not FEWEST <= diverged.sum() <= len(diverged) - FEWEST:
        return Share(float(diverged.mean()))
    inputs = features.matrix([t.params for t in table.trials])
    return choose(inputs, diverged, kinds)(inputs, diverged)


def seed_noise(table: Table, epochs: int) -> Array:
    """Estimate the covariance of a curve over seeds, float64 [epochs, epochs].

    Two seeds of one configuration differ by twice that covariance. A handful of pairs cannot tell
    a whole matrix, so it is reduced to a shared part (the trial was lucky) and one per epoch.
    """
    pairs = [
        np.subtract(a.errors, b.errors)
        for a, b in table.repeated()
        if a.complete and b.complete and len(a.errors) == len(b.errors) == epochs
    ]
    if len(pairs) < FEWEST:
        return np.eye(epochs) * 1e-6
    differences = np.array(pairs) / math.sqrt(2)
    total = float(np.mean(np.square(differences)))
    shared = float(np.mean(np.square(differences.mean(axis=1))))
    shared = (
        min(max((shared - total / epochs) / (1 - 1 / epochs), 0.0), total) if epochs > 1 else 0
    )
    return shared * np.ones((epochs, epochs)) + (total - shared + 1e-9) * np.eye(epochs)
