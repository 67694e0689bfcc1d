"""The belief about final errors: a Gaussian process on the finals of all curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from hpsearch.belief.curves import Shape, deviation, likelihood
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
RANGE, BY_FACTORS = 4.0, 10.0
"""Lowest errors that span more than the first factor are compared by their logarithms, where that
raises the log likelihood of how curves come to their ends by the second: a fall from 40 to 30 %
then counts as much as one from 8 to 6 %."""
DECIMALS = 9
"""Digits of what is compared, in standard deviations: rounding of another BLAS stays below."""
LEAST = 1e-300
"""An error whose logarithm is taken is at least this."""
FAILED = 2.0
"""What a trial that cannot be trained counts as: so many standard deviations above the mean."""
LABEL_NOISE = 1.5
"""Variance of whether a trial can be trained, beside its variance between configurations."""


@dataclass(frozen=True)
class Learnt:
    """What changes slowly: units, the shape of curves, the kernel.

    Args:
        log: Whether errors are compared by their logarithms; they are what follows then.
        origin: Error that all are counted from: so differences of large ones keep their digits.
        unit: Standard deviation of errors.
        ceiling: The highest error that counts as it is.
        shape: How curves run, in units from the origin.
        centre: Mean of the final errors, likewise.
        spread: Their standard deviation, in units.
        kernel: Covariance of the final errors, in their standard deviations.
    """

    log: bool
    origin: float
    unit: float
    ceiling: float
    shape: Shape
    centre: float
    spread: float
    kernel: Kernel

    def finals(self, curves: Sequence[dict[int, float]], lengths: Sequence[int]) -> _Finals:
        """Return the final errors that curves tell, and their variances, standardised."""
        compared = _compared(curves) if self.log else curves
        counted = _counted(compared, self.origin, self.unit, self.ceiling)
        finals, variances = self.shape.finals(self.shape.sums(counted, lengths))
        lowest = np.array([min(curve.values()) for curve in compared])
        absurd = _absurd(lowest, self.origin, self.ceiling)
        return (finals - self.centre) / self.spread, variances / self.spread**2 + absurd

    def in_errors(self, standardised: Array) -> Array:
        """Return the errors of standardised ones."""
        found = (standardised * self.spread + self.centre) * self.unit + self.origin
        return np.exp(found) if self.log else found

    def standardised(self, error: float) -> float:
        """Return a standardised error."""
        compared = math.log(max(error, LEAST)) if self.log else error
        return ((compared - self.origin) / self.unit - self.centre) / self.spread

    def slopes(self, standardised: Array) -> Array:
        """Return by how much an error grows with its standardised one."""
        unit = self.spread * self.unit
        return (
            unit * self.in_errors(standardised) if self.log else np.full(len(standardised), unit)
        )


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
        return self.learnt.in_errors(self._means)

    @cached_property
    def expected(self) -> Array:
        """The final error expected of each of `trials` under another seed, float64 [trials].

        A configuration may fail under another seed although this trial did not.
        """
        expected = self.with_failures(self._means, self._rows)
        return self.learnt.in_errors(np.round(expected, DECIMALS))

    @cached_property
    def ranked(self) -> list[int]:
        """Places in `trials`, the lowest expected error first; of equal ones the first."""
        return [int(k) for k in np.argsort(self.expected, kind="stable")]

    def chance(self, place: int, bar: float) -> float:
        """Return the probability that the final error of one of `trials` is below a bar."""
        noise, _ = self._noise[place], self._weights
        unit = np.zeros(len(self._rows))
        unit[place] = 1.0
        solved = np.linalg.solve(self._root, unit)
        variance = noise - noise**2 * float(solved @ solved)
        deviation = math.sqrt(max(variance, 1e-12))
        return NormalDist().cdf((self.learnt.standardised(bar) - self._means[place]) / deviation)

    def epochs_apart(self, lower: float, higher: float) -> float:
        """Return the difference of two errors in standard deviations of one epoch's noise."""
        learnt = self.learnt
        apart = learnt.standardised(higher) - learnt.standardised(lower)
        return apart * learnt.spread / math.sqrt(learnt.shape.noise)

    @property
    def falls_late(self) -> bool:
        """Whether curves run otherwise than first epochs say: they fall late, or in steps."""
        return bool(self.learnt.shape.walk)

    def unknown(self, place: int) -> bool:
        """Return whether the epochs of one of `trials` leave its final error next to unknown.

        So it is where curves fall late and its own epochs say less of its end than the ends of all
        others do.
        """
        return self.falls_late and float(self._noise[place]) > 1

    def covariance(self, places: Sequence[int]) -> Array:
        """Return the joint covariance of the final errors of some of `trials`."""
        noise, _ = self._noise[places], self._weights
        units = np.zeros((len(self._rows), len(places)))
        units[places, np.arange(len(places))] = noise
        solved = np.linalg.solve(self._root, units)
        slopes = self.learnt.slopes(self._means[places])
        return np.asarray(np.diag(noise) - solved.T @ solved) * np.outer(slopes, slopes)

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

        Args:
            columns: What is seen of configurations, float64 [rows, columns].
        """
        means, deviations = self._standardised(columns)
        return self.learnt.in_errors(means), deviations * self.learnt.slopes(means)

    def bounds(self, columns: Array, beta: float) -> Array:
        """Return lower bounds of final errors, standardised, float64 [rows].

        They lie beta standard deviations below what is expected. Failures are in them.
        """
        means, deviations = self._standardised(columns)
        return self.with_failures(means - beta * deviations, columns)

    def _standardised(self, columns: Array) -> tuple[Array, Array]:
        """Return expected final errors and their deviations, standardised.

        A pending trial changes no expectation, but is as good as known: there is less to gain
        beside it.
        """
        kernel = self.learnt.kernel
        means = np.einsum("ij,j->i", kernel.between(columns, self._rows), self._weights)
        rows, inverse = self._inverse
        cross = kernel.between(columns, rows)
        known = np.einsum("ij,ij->i", np.einsum("ij,jk->ik", cross, inverse), cross)
        return means, np.sqrt(np.maximum(kernel.variances(columns) - known, 1e-12))

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
        if all(e.trainable for e in self._labelled):
            return np.zeros(len(columns))
        share, rows, weights = self._failures
        told = np.einsum("ij,j->i", self.learnt.kernel.between(columns, rows), weights)
        return np.asarray(np.clip(share + told, 0.0, 1.0))

    @cached_property
    def _failures(self) -> tuple[float, Array, Array]:
        """The share of failures, the rows they are known at, and what each of these counts."""
        labels = np.array([float(not e.trainable) for e in self._labelled])
        rows = self._problem.columns.matrix([e.params for e in self._labelled])
        kernel = self.learnt.kernel
        scale = float(kernel.variances(rows).mean())
        matrix = kernel.within(rows) / scale
        matrix[np.diag_indices(len(matrix))] += LABEL_NOISE
        share = (labels.sum() + 0.5) / (len(labels) + 2)
        return float(share), rows, np.asarray(np.linalg.solve(matrix, labels - share) / scale)


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
    positive = all(min(e.curve.values()) > 0 for e in known)
    return _learn_from(columns[of].tobytes(), groups.tobytes(), curves, lengths, positive)


@lru_cache(maxsize=4)
def _learn_from(
    column_bytes: bytes,
    group_bytes: bytes,
    told: tuple[_Curve, ...],
    lengths: tuple[int, ...],
    positive: bool,
) -> Learnt:
    """Learn from curves; the same ones are not learnt from twice in a process."""
    groups = np.frombuffer(group_bytes, np.int64)
    columns = np.frombuffer(column_bytes, np.float64).reshape(len(told), len(groups))
    curves = [dict(curve) for curve in told]
    alone = max(map(len, curves)) == 1
    log = positive and not alone and _by_logarithms(curves, lengths)
    if log:
        curves = _compared(curves)
    lowest = np.array([min(curve.values()) for curve in curves])
    worst, noise = (WORST_ALONE, NOISE_ALONE) if alone else (WORST, NOISE)
    median, ceiling = _median_and_ceiling(lowest, worst)
    better, low = _median_and_ceiling(lowest[lowest <= median], worst)
    if _absurd(np.array(median), better, low):
        median, ceiling = better, low
    unit = deviation(np.array([_cut(e, median, ceiling) for e in lowest.tolist()]) - median)
    counted = _counted(curves, median, unit, ceiling)
    shape = Shape.learn(counted, lengths)
    seen = shape.sums(counted, lengths)
    finals, variances = shape.finals(seen)
    telling = shape.telling(variances)
    centre, spread = shape.moments(finals, telling)
    standard = (finals - centre) / spread
    variances = variances / spread**2 + _absurd(lowest, median, ceiling)
    places = np.flatnonzero(telling)
    kept = places[_best_and_latest(standard[places], LEARNT_FROM, LEARNT_FROM // 2)]
    kernel = fit_kernel(columns[kept], groups, standard[kept], variances[kept], noise)
    return Learnt(log, median, unit, ceiling, shape, centre, spread, kernel)


def _compared(curves: Sequence[dict[int, float]]) -> list[dict[int, float]]:
    """Return the logarithms of curves."""
    return [{e: math.log(max(v, LEAST)) for e, v in curve.items()} for curve in curves]


def _by_logarithms(curves: Sequence[dict[int, float]], lengths: Sequence[int]) -> bool:
    """Return whether curves are compared by their logarithms; see `RANGE`.

    Absurd ones do not count, and absurd epochs of the others count as the highest that are not.
    """
    lowest = np.array([min(curve.values()) for curve in curves])
    median, ceiling = _median_and_ceiling(lowest, WORST)
    told = np.flatnonzero(~_absurd(lowest, median, ceiling)).tolist()
    if lowest[told].max() <= RANGE * lowest[told].min():
        return False
    highest = ABSURD * (ceiling if math.isfinite(ceiling) else median)
    plain = [{e: min(v, highest) for e, v in curves[k].items()} for k in told]
    of, logs = [lengths[k] for k in told], _compared(plain)
    spent = sum(sum(curve.values()) - curve[max(curve)] for curve in logs)
    return likelihood(logs, of) - spent > likelihood(plain, of) + BY_FACTORS


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
