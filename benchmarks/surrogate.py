"""A model of the recorded problem: any configuration's curve, seconds, divergence and noise.

Curves are modelled by their principal components, each by the regression of the configuration
that tells held-out trials better. The lowest point of a curve, which is what a search compares, has
a regression of its own: the curve is shifted to it, because the lowest of a mean curve tells it
worse. What two seeds of one configuration disagree in is drawn on top.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.features import Features
from benchmarks.regression import Forest, Process, Regression, choose
from benchmarks.table import RecordedTrial, Table
from hpsearch.search.history import Value
from hpsearch.search.space import SearchSpace
from hpsearch.seeding import generator

COMPONENTS = 4
"""Principal components of the curves; a short trial's curve has no more in it than that."""
FEWEST = 5
"""Fewer diverged trials (or repeated pairs) than this are counted, not modelled."""


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


class Surrogate:
    """Answers any configuration of the table's space."""

    def __init__(self, table: Table, space: SearchSpace) -> None:
        """Fit the table; the same table gives the same surrogate."""
        self.epochs = table.epochs
        self._features = Features(space)
        complete = [t for t in table.trials if t.complete and len(t.errors) == self.epochs]
        inputs = self._features.matrix([t.params for t in complete])
        curves = np.array([t.errors for t in complete])
        self._centre = curves.mean(axis=0)
        _, _, axes = np.linalg.svd(curves - self._centre, full_matrices=False)
        self._axes = axes[:COMPONENTS]
        scores = (curves - self._centre) @ self._axes.T
        lowest = (self._centre + scores @ self._axes).min(axis=1)
        kind = choose(inputs, lowest)
        self._lowest = kind(inputs, lowest)
        self._curve = [kind(inputs, scores[:, k]) for k in range(scores.shape[1])]
        cost = np.log([t.seconds[-1] / self.epochs for t in complete])
        self._cost = choose(inputs, cost)(inputs, cost)
        self._divergence = Divergence(self._features, table.trials)
        self._noise = np.linalg.cholesky(seed_noise(table, self.epochs))

    def truth(self, params: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
        """Return the validation errors without noise of whole trials, float64 [trials, epochs]."""
        curves = np.clip(self.curves(params), 0.0, 1.0)
        curves[self.divergence(params) > 0.5] = math.inf
        return curves

    def curves(self, params: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
        """Return the mean curves as if nothing diverged, float64 [trials, epochs]."""
        inputs = self._features.matrix(params)
        scores = np.stack([process.mean(inputs) for process in self._curve], axis=1)
        mean: NDArray[np.float64] = self._centre + scores @ self._axes
        return mean + (self._lowest.mean(inputs) - mean.min(axis=1))[:, None]

    def objective(self, params: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
        """Return the objective without noise: the lowest error of any epoch, float64 [trials]."""
        return self.truth(params).min(axis=1)

    def divergence(self, params: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
        """Return the probability that training diverges, float64 [trials]."""
        return self._divergence.probability(self._features.matrix(params))

    def answer(self, params: Mapping[str, Value], seed: int) -> Answer:
        """Return what a trial says; the same seed says the same.

        Args:
            params: The configuration.
            seed: The trial's seed: decides noise and divergence.
        """
        chance = generator(seed, "surrogate")
        inputs = self._features.matrix([params])
        mean = self.curves([params])[0]
        chance_of_divergence = float(self._divergence.probability(inputs)[0])
        truth = np.clip(mean, 0.0, 1.0) if chance_of_divergence <= 0.5 else np.full(len(mean), math.inf)
        errors = np.clip(mean + self._noise @ chance.normal(size=self.epochs), 0.0, 1.0)
        pace = math.exp(self._cost.mean(inputs)[0])
        diverged = bool(chance.random() < chance_of_divergence)
        last = self._divergence.epoch(chance) if diverged else self.epochs
        return Answer(
            errors=tuple(errors[:last].tolist()),
            seconds=tuple(pace * epoch for epoch in range(1, last + 1)),
            diverged=diverged,
            truth=tuple(truth.tolist()),
        )


class NearestRow:
    """Answers with the recorded trial nearest to the configuration (`--nearest`)."""

    def __init__(self, table: Table, space: SearchSpace) -> None:
        """Note every trial's place."""
        self.epochs = table.epochs
        self._features, self._trials = Features(space), table.trials
        self._places = self._features.matrix([t.params for t in table.trials])

    def objective(self, params: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
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


class Divergence:
    """Which configurations cannot be trained, and in which epoch that shows."""

    def __init__(self, features: Features, trials: Sequence[RecordedTrial]) -> None:
        """Fit the share that diverges where there are enough of both kinds, else count."""
        diverged = [not t.complete for t in trials]
        self._lasted = [len(t.errors) for t in trials if not t.complete]
        self._share = float(np.mean(diverged))
        self._model: Regression | None = None
        if FEWEST <= sum(diverged) <= len(trials) - FEWEST:
            inputs = features.matrix([t.params for t in trials])
            shares = np.array(diverged, np.float64)
            self._model = choose(inputs, shares, (Process, Forest))(inputs, shares)

    def probability(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of divergence, float64 [trials]."""
        if self._model is None:
            return np.full(len(inputs), self._share)
        return np.clip(self._model.mean(inputs), 0.0, 1.0)

    def epoch(self, chance: np.random.Generator) -> int:
        """Draw the epoch a diverging trial ends in, as the recorded ones did."""
        return int(chance.choice(self._lasted))


def seed_noise(table: Table, epochs: int) -> NDArray[np.float64]:
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
    shared = min(max((shared - total / epochs) / (1 - 1 / epochs), 0.0), total) if epochs > 1 else 0
    return shared * np.ones((epochs, epochs)) + (total - shared + 1e-9) * np.eye(epochs)
