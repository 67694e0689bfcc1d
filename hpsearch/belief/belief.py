"""The belief about final errors: a Gaussian process on the finals of all curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from hpsearch.belief.curves import Shape, Sums, sums
from hpsearch.belief.evidence import Evidence
from hpsearch.belief.process import NOISE, NOISE_ALONE, Array, Kernel, fit_kernel
from hpsearch.space.problem import SearchProblem

FEWEST = 2
"""Trials with an epoch below which nothing is believed."""
GROWTH = 1.2
"""What is learnt of curves and lengths is learnt anew with so many times more ended trials."""
LEARNT_FROM = 140
"""Trials that lengths are learnt from: half are the best, the others the latest."""
MOST = 700
"""Trials a belief holds, for its cost is cubic: a third are the best, the others the latest."""
WORST, WORST_ALONE = 3.0, 10.0
"""An error so many times further above the median than the best tenth is below it counts as this
far: how bad a bad trial is tells nothing of good ones. The second where trials report once."""
ABSURD = 1e4
"""An error so many times as far above the median as the ceiling is absurd: what a program gives
where its training has exploded. It says that a trial is bad, but may be an accident: so its
variance is larger by one, and it counts as a part of the ceiling. Where half of all are absurd,
the better half says what is not."""
ACCIDENT = 0.3
"""That part."""
DECIMALS = 9
"""Digits of what is compared, in standard deviations: rounding of another BLAS stays below."""
FAILED = 2.0
"""What a trial that cannot be trained counts as: so many standard deviations above the mean."""
LABEL_NOISE = 1.5
"""Variance of whether a trial can be trained, beside its variance between configurations."""


@dataclass(frozen=True)
class Learnt:
    """What changes slowly: units, the shape of curves, the kernel.

    Args:
        origin: Error that all are counted from: so differences of large ones keep their digits.
        unit: Standard deviation of errors.
        ceiling: The highest error that counts as it is.
        shape: How curves run, in units from the origin.
        centre: Mean of the final errors, likewise.
        spread: Their standard deviation, in units.
        kernel: Covariance of the final errors, in their standard deviations.
    """

    origin: float
    unit: float
    ceiling: float
    shape: Shape
    centre: float
    spread: float
    kernel: Kernel

    def finals(self, curves: Sequence[dict[int, float]], lengths: Sequence[int]) -> _Finals:
        """Return the final errors that curves tell, and their variances, standardised."""
        finals, variances = self.shape.finals(self.sums(curves, lengths))
        lowest = np.array([min(curve.values()) for curve in curves])
        absurd = _absurd(lowest, self.origin, self.ceiling)
        return (finals - self.centre) / self.spread, variances / self.spread**2 + absurd

    def sums(self, curves: Sequence[dict[int, float]], lengths: Sequence[int]) -> Sums:
        """Return the sums of curves in units from the origin, cut at the ceiling."""
        counted = _counted(curves, self.origin, self.unit, self.ceiling)
        return sums(counted, lengths, self.shape.walk)


_Finals = tuple[Array, Array]
_Curve = tuple[tuple[int, float], ...]


class Belief:
    """Final errors of configurations, given the evidence; a function of it alone."""

    def __init__(self, problem: SearchProblem, evidence: Sequence[Evidence]) -> None:
        """Learn from the evidence.

        Args:
            problem: Says what is seen of configurations.
            evidence: All trials, by number.

        Raises:
            ValueError: Fewer than `FEWEST` trials have an epoch, or all errors are equal; see
                `possible`.
        """
        self._problem, groups = problem, problem.columns.groups
        known = [e for e in evidence if e.curve and e.trainable]
        columns = problem.columns.matrix([e.params for e in known])
        self.learnt = _learn(known, columns, groups)
        finals, variances = self.learnt.finals(
            [dict(e.curve) for e in known], [e.length for e in known]
        )
        kept = _best_and_latest(finals, MOST, MOST // 3)
        self.trials: list[Evidence] = [known[k] for k in kept.tolist()]
        self._rows, self._finals = columns[kept], finals[kept]
        self._noise = variances[kept] + self.learnt.kernel.noise
        pending = [e for e in evidence if e.trainable and not e.curve and not e.ended]
        self._pending = problem.columns.matrix([e.params for e in pending])
        self._labelled = [e for e in evidence if e.curve or not e.trainable][-MOST:]

    @staticmethod
    def possible(evidence: Sequence[Evidence]) -> bool:
        """Return whether the evidence says anything: enough curves, and not all equal."""
        lowest = [min(e.curve.values()) for e in evidence if e.curve and e.trainable]
        return len(lowest) >= FEWEST and min(lowest) < max(lowest)

    @cached_property
    def _weights(self) -> Array:
        matrix = self.learnt.kernel.within(self._rows)
        matrix[np.diag_indices(len(matrix))] += self._noise
        self._root = np.linalg.cholesky(matrix)
        return np.asarray(np.linalg.solve(matrix, self._finals))

    @cached_property
    def _means(self) -> Array:
        """Expected finals of the trials, standardised."""
        return np.round(self._finals - self._noise * self._weights, DECIMALS)

    @cached_property
    def means(self) -> Array:
        """The expected final error of each of `trials`, float64 [trials]."""
        return self._in_errors(self._means)

    @cached_property
    def expected(self) -> Array:
        """The final error expected of each of `trials` under another seed, float64 [trials].

        A configuration may fail under another seed although this trial did not.
        """
        expected = self.with_failures(self._means, self._rows)
        return self._in_errors(np.round(expected, DECIMALS))

    @cached_property
    def ranked(self) -> list[int]:
        """Places in `trials`, the lowest expected error first; of equal ones the first."""
        return [int(k) for k in np.argsort(self.expected, kind="stable")]

    @property
    def scale(self) -> float:
        """The standard deviation of final errors."""
        return self.learnt.spread * self.learnt.unit

    @property
    def mean(self) -> float:
        """The mean of final errors."""
        return float(self._in_errors(np.zeros(1))[0])

    def deviation(self, place: int) -> float:
        """Return the standard deviation of the final error of one of `trials`."""
        noise, _ = self._noise[place], self._weights
        unit = np.zeros(len(self._rows))
        unit[place] = 1.0
        solved = np.linalg.solve(self._root, unit)
        variance = noise - noise**2 * float(solved @ solved)
        return math.sqrt(max(variance, 1e-12)) * self.scale

    def covariance(self, places: Sequence[int]) -> Array:
        """Return the joint covariance of the final errors of some of `trials`."""
        noise, _ = self._noise[places], self._weights
        units = np.zeros((len(self._rows), len(places)))
        units[places, np.arange(len(places))] = noise
        solved = np.linalg.solve(self._root, units)
        return np.asarray(np.diag(noise) - solved.T @ solved) * self.scale**2

    @cached_property
    def _inverse(self) -> tuple[Array, Array]:
        """Rows that narrow a prediction, pending trials too, and the inverse of their matrix."""
        rows = np.vstack([self._rows, self._pending])
        noise = np.append(self._noise, np.full(len(self._pending), self.learnt.kernel.noise))
        matrix = self.learnt.kernel.within(rows)
        matrix[np.diag_indices(len(matrix))] += noise
        return rows, np.asarray(np.linalg.inv(matrix), np.float64)

    def predict(self, columns: Array) -> tuple[Array, Array]:
        """Return expected final errors and their standard deviations, both float64 [rows].

        A pending trial changes no expectation, but is as good as known: there is less to gain
        beside it.

        Args:
            columns: What is seen of configurations, float64 [rows, columns].
        """
        kernel = self.learnt.kernel
        means = np.einsum("ij,j->i", kernel.between(columns, self._rows), self._weights)
        rows, inverse = self._inverse
        cross = kernel.between(columns, rows)
        known = np.einsum("ij,ij->i", np.einsum("ij,jk->ik", cross, inverse), cross)
        deviations = np.sqrt(np.maximum(kernel.variances(columns) - known, 1e-12))
        return self._in_errors(means), deviations * self.scale

    def with_failures(self, standardised: Array, columns: Array) -> Array:
        """Return what is expected where configurations may fail, float64 [rows].

        Args:
            standardised: Errors in standard deviations from the mean, if they do not fail.
            columns: What is seen of the configurations, float64 [rows, columns].
        """
        fails = self.untrainable(columns)
        return (1 - fails) * standardised + fails * FAILED

    def untrainable(self, columns: Array) -> Array:
        """Return the probability that configurations cannot be trained, float64 [rows]."""
        labels = np.array([float(not e.trainable) for e in self._labelled])
        if labels.sum() < 1:
            return np.zeros(len(columns))
        rows = self._problem.columns.matrix([e.params for e in self._labelled])
        kernel = self.learnt.kernel
        scale = float(kernel.variances(rows).mean())
        matrix = kernel.within(rows) / scale
        matrix[np.diag_indices(len(matrix))] += LABEL_NOISE
        share = (labels.sum() + 0.5) / (len(labels) + 2)
        weights = np.linalg.solve(matrix, labels - share)
        told = np.einsum("ij,j->i", kernel.between(columns, rows), weights) / scale
        return np.asarray(np.clip(share + told, 0.0, 1.0))

    def _in_errors(self, standardised: Array) -> Array:
        learnt = self.learnt
        return (standardised * learnt.spread + learnt.centre) * learnt.unit + learnt.origin


def _learn(known: Sequence[Evidence], columns: Array, groups: NDArray[np.int64]) -> Learnt:
    """Return what the first ended trials teach, as many as the last milestone says."""
    ended = [k for k, e in enumerate(known) if e.ended]
    milestone = FEWEST
    while (later := math.ceil(milestone * GROWTH)) <= len(ended):  # 2, 3, 4, 5, 6, 8, 10, 12, ...
        milestone = later
    of = ended[:milestone]
    lowest = {min(known[k].curve.values()) for k in of}
    if len(of) < FEWEST or len(lowest) < 2:
        of = list(range(len(known)))  # too few have ended
    curves = tuple(tuple(known[k].curve.items()) for k in of)
    lengths = tuple(known[k].length for k in of)
    return _learn_from(columns[of].tobytes(), groups.tobytes(), curves, lengths)


@lru_cache(maxsize=4)
def _learn_from(
    column_bytes: bytes, group_bytes: bytes, curves: tuple[_Curve, ...], lengths: tuple[int, ...]
) -> Learnt:
    """Learn from curves; the same ones are not learnt from twice in a process."""
    groups = np.frombuffer(group_bytes, np.int64)
    columns = np.frombuffer(column_bytes, np.float64).reshape(len(curves), len(groups))
    lowest = np.array([min(value for _, value in curve) for curve in curves])
    alone = max(map(len, curves)) == 1
    worst, noise = (WORST_ALONE, NOISE_ALONE) if alone else (WORST, NOISE)
    median, ceiling = _median_and_ceiling(lowest, worst)
    better, low = _median_and_ceiling(lowest[lowest <= median], worst)
    if _absurd(np.array(median), better, low):
        median, ceiling = better, low
    moved = np.array([_cut(error, median, ceiling) for error in lowest.tolist()]) - median
    size = float(np.abs(moved).max())  # squares of very large and very small errors do not exist
    unit = size * float((moved / size).std())
    counted = _counted([dict(c) for c in curves], median, unit, ceiling)
    shape = Shape.learn(counted, lengths)
    seen = sums(counted, lengths, shape.walk)
    finals, variances = shape.finals(seen)
    centre, spread = shape.moments(finals, variances)
    standard = (finals - centre) / spread
    variances = variances / spread**2 + _absurd(lowest, median, ceiling)
    kept = _best_and_latest(standard, LEARNT_FROM, LEARNT_FROM // 2)
    kernel = fit_kernel(columns[kept], groups, standard[kept], variances[kept], noise)
    return Learnt(median, unit, ceiling, shape, centre, spread, kernel)


def _median_and_ceiling(lowest: Array, worst: float) -> tuple[float, float]:
    """Return the median of errors, and the highest error that counts as it is."""
    median, best = float(np.median(lowest)), float(np.quantile(lowest, 0.1))
    return median, median + worst * (median - best) if best < median else math.inf


def _absurd(errors: Array, median: float, ceiling: float) -> NDArray[np.bool_]:
    """Return which errors are absurd beside a median and a ceiling."""
    return errors - median > ABSURD * (ceiling - median)


def _counted(
    curves: Sequence[dict[int, float]], origin: float, unit: float, ceiling: float
) -> list[dict[int, float]]:
    """Return curves in units from the origin, cut at the ceiling."""
    return [{e: (_cut(v, origin, ceiling) - origin) / unit for e, v in c.items()} for c in curves]


def _cut(error: float, origin: float, ceiling: float) -> float:
    """Return what an error counts as."""
    if error <= ceiling:
        return error
    accident = error - origin > ABSURD * (ceiling - origin)
    return origin + ACCIDENT * (ceiling - origin) if accident else ceiling


def _best_and_latest(finals: Array, most: int, best: int) -> NDArray[np.int64]:
    """Return the places of the best trials and of the latest, in order."""
    if len(finals) <= most:
        return np.arange(len(finals))
    ranked = np.argsort(np.round(finals, DECIMALS), kind="stable")
    return np.unique([*ranked[:best], *range(len(finals) - (most - best), len(finals))])
