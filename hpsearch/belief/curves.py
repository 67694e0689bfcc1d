"""Estimates a trial's final error from the epochs it has had, with its uncertainty.

A curve is a + b g(e) + noise. a is the final error, and g falls from 1 to 0 at full length: with
the logarithm of the epoch, or, where all trials say so, with a power of it, which falls sooner and
flattens. a and b differ from trial to trial and go together; how, all trials
tell. That most trials are pruned early biases nothing much: whether one went on depended on what
was seen of it only.

Some curves run otherwise: they stay at chance for a while, or fall in steps. Where the long ones
say so, a random walk is added that is 0 at full length, equally in every epoch. Then a whole
trial's last epochs tell its final error, and a first epoch tells little. Short curves do not count
there: that all begin at chance is no reason to believe that all end alike.

Reference:
    Laird and Ware (1982), "Random-Effects Models for Longitudinal Data"; the trial's effects
    (a, b), Z = (1, g).
    Domhan et al. (2015), "Speeding up Automatic Hyperparameter Optimization of Deep Neural
    Networks by Extrapolation of Learning Curves", for the power law.
    Kalman (1960), "A New Approach to Linear Filtering", for the walk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ROUNDS = 60
"""Rounds of expectation and maximisation."""
DROP = 0.5
"""How far a curve falls beyond its first epoch, and by how much that differs from trial to trial,
before any is known; in standard deviations of the errors, as all that follows."""
LEVEL, NOISE = 0.8, 0.35
"""Standard deviation of the final errors and of one epoch's noise before any is known."""
MEAN, TRIALS, EPOCHS = 0.1, 1, 4
"""How many trials the assumed mean fall weighs as, how many trials the spreads, and how many
epochs the noise. Curves can fall by several standard deviations, so the first is next to none."""


FEWEST = 2
"""Final errors whose own moments are taken."""
NEXT_TO_NONE = 1e-6
"""A variance where there is nothing to estimate it from."""
EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Powers of 1 / epoch that g is tried to fall with; 0 is the logarithm."""
WALKS = (0.0, 1.0, 8.0, 64.0, 512.0, 4096.0)
"""Variances of the random walk over a whole trial that are tried, in variances of one epoch."""
LONG = 0.5
"""A curve of at least this share of its epochs tells whether there is a walk."""
EVIDENCE = 3.0
"""A power must raise the log likelihood by this over the logarithm, and a walk over none."""
VAGUE = 4.0
"""A final error whose own epochs leave so many times the variance of all is not told by them."""


@dataclass(frozen=True)
class Sums:
    """Sums over the epochs of each trial, float64 [trials]: all that curves are judged by.

    Where there is a walk, epochs are weighed by the inverse of noise and walk, in variances of the
    noise.

    Args:
        epochs: How many.
        log_det: Logarithm of the determinant of noise and walk; 0 without one.
        count: Sum of 1.
        g: Sum of g.
        gg: Sum of its squares.
        y: Sum of the errors.
        gy: Sum of error times g.
        yy: Sum of the squared errors.
    """

    epochs: Array
    log_det: Array
    count: Array
    g: Array
    gg: Array
    y: Array
    gy: Array
    yy: Array


def sums(
    curves: Sequence[Mapping[int, float]],
    lengths: Sequence[int],
    walk: float = 0.0,
    exponent: float = 0.0,
) -> Sums:
    """Return the sums of curves.

    Args:
        curves: Errors by epoch, from 1; none empty.
        lengths: Epochs of the whole trial, of each.
        walk: Variance of the random walk over a whole trial, in variances of one epoch.
        exponent: Power of 1 / epoch that g falls with; 0 is the logarithm.
    """
    counts = np.array([len(curve) for curve in curves], np.int64)
    y = np.array([value for curve in curves for value in curve.values()], np.float64)
    epochs = np.array([epoch for curve in curves for epoch in curve], np.float64)
    length = np.repeat(np.array(lengths, np.float64), counts)
    g = _fall(epochs, length, exponent)
    if walk:
        left = (length - epochs) / np.maximum(length - 1, 1)
        ends = np.cumsum(counts)[:-1]
        points = zip(*(np.split(column, ends) for column in (y, g, left)), strict=True)
        return Sums(*_weighed(list(points), walk).T)
    trial, rows = np.repeat(np.arange(len(curves)), counts), np.zeros((8, len(curves)))
    rows[0], rows[2] = counts, counts
    for row, column in enumerate((g, g * g, y, g * y, y * y), start=3):
        rows[row] = np.bincount(trial, column, len(curves))
    return Sums(*rows)


def _fall(epochs: Array, length: Array, exponent: float) -> Array:
    """Return g of epochs, from 1 at the first to 0 at full length; 0 where that is one epoch."""
    longer = np.maximum(length, 2)
    if exponent:
        last = longer**-exponent
        g = (epochs**-exponent - last) / (1 - last)
    else:
        g = 1 - np.log(epochs) / np.log(longer)
    return np.where(length > 1, g, 0.0)


def _weighed(points: Sequence[tuple[Array, Array, Array]], walk: float) -> Array:
    """Return the sums under a walk, float64 [trials, 8], by a filter from the last epoch on.

    Args:
        points: Of each trial the errors, g, and the share of its epochs that follow.
        walk: Variance of the walk over a whole trial, in variances of one epoch.
    """
    ends = np.array([len(y) for y, _, _ in points])
    seen = np.zeros((4, int(ends.max(initial=0)), len(points)))
    seen[0] = 1.0
    for k, (y, g, left) in enumerate(points):
        seen[1:, : len(y), k] = np.stack([g, y, left])[:, ::-1]
    state, products = np.zeros((3, len(points))), np.zeros((6, len(points)))
    log_det, last, variance = np.zeros((3, len(points)))
    for k, (one, g, y, left) in enumerate(seen.transpose(1, 0, 2)):
        live = k < ends
        variance = variance + walk * np.where(live, left - last, 0.0)
        ahead = np.stack([one, g, y]) - state
        total = variance + 1
        one, h, z = np.where(live, ahead / np.sqrt(total), 0.0)
        products += np.stack([one * one, one * h, h * h, one * z, h * z, z * z])
        log_det = log_det + np.where(live, np.log(total), 0.0)
        state, last = state + ahead * (variance / total), left
        variance = variance / total
    return np.vstack([ends, log_det, products]).T


@dataclass(frozen=True)
class Shape:
    """How the curves of a study run.

    Args:
        slope: By how much b grows with a.
        drop: b where a is 0.
        spread: Variance of b beside that.
        noise: Variance of one epoch.
        centre: Mean of a.
        width: Variance of a.
        walk: Variance of the random walk over a whole trial, in variances of one epoch.
        exponent: Power of 1 / epoch that g falls with; 0 is the logarithm.
    """

    slope: float
    drop: float
    spread: float
    noise: float
    centre: float
    width: float
    walk: float = 0.0
    exponent: float = 0.0

    @classmethod
    def learn(cls, curves: Sequence[Mapping[int, float]], lengths: Sequence[int]) -> Shape:
        """Estimate it from the curves of all trials, errors in standard deviations."""
        if max(map(len, curves)) == 1:  # how much an epoch varies no curve tells; the kernel may
            values = sums(curves, lengths).y
            width = float(values.var()) or 1.0
            return cls(0.0, 0.0, NEXT_TO_NONE, NEXT_TO_NONE, float(values.mean()), width)

        plain = likeliest([cls._tried(curves, lengths, exponent=power) for power in EXPONENTS])
        of = [k for k, n in enumerate(lengths) if max(curves[k]) >= LONG * n]
        if not of:
            return plain
        long = [curves[k] for k in of], [lengths[k] for k in of]
        otherwise = likeliest([cls._tried(*long, walk, plain.exponent) for walk in WALKS])
        return otherwise if otherwise.walk else plain

    @classmethod
    def _tried(
        cls,
        curves: Sequence[Mapping[int, float]],
        lengths: Sequence[int],
        walk: float = 0.0,
        exponent: float = 0.0,
    ) -> tuple[float, Shape]:
        """Return the log likelihood and the shape that has it."""
        seen = sums(curves, lengths, walk, exponent)
        shape = replace(cls.fit(seen), walk=walk, exponent=exponent)
        return shape.evidence(seen), shape

    @classmethod
    def fit(cls, seen: Sums) -> Shape:
        """Estimate it from the sums of all trials."""
        n, count, g, gg = len(seen.count), seen.count, seen.g, seen.gg
        mean_a, mean_b = float(np.mean(seen.y / count)), DROP
        prior = (LEVEL**2, 0.0, DROP**2)
        aa, ab, bb = prior
        noise = NOISE**2
        for _ in range(ROUNDS):
            det = aa * bb - ab * ab
            p_aa, p_ab, p_bb = (
                bb / det + count / noise,
                -ab / det + g / noise,
                aa / det + gg / noise,
            )
            u = (bb * mean_a - ab * mean_b) / det + seen.y / noise
            w = (aa * mean_b - ab * mean_a) / det + seen.gy / noise
            joint = p_aa * p_bb - p_ab * p_ab
            v_aa, v_ab, v_bb = p_bb / joint, -p_ab / joint, p_aa / joint
            a, b = v_aa * u + v_ab * w, v_ab * u + v_bb * w
            mean_a, mean_b = float(a.mean()), float((b.sum() + MEAN * DROP) / (n + MEAN))
            da, db = a - mean_a, b - mean_b
            aa, ab, bb = (
                (TRIALS * start + float((v + d).sum())) / (n + TRIALS)
                for start, v, d in zip(
                    prior, (v_aa, v_ab, v_bb), (da * da, da * db, db * db), strict=True
                )
            )
            residual = (
                seen.yy - 2 * a * seen.y - 2 * b * seen.gy + count * (a * a + v_aa)
                + 2 * g * (a * b + v_ab) + gg * (b * b + v_bb)
            )  # fmt: skip
            total = float(residual.sum()) + EPOCHS * NOISE**2
            noise = total / (float(seen.epochs.sum()) + EPOCHS)
        slope = ab / aa
        return cls(slope, mean_b - slope * mean_a, bb - slope * ab, noise, mean_a, aa)

    def sums(self, curves: Sequence[Mapping[int, float]], lengths: Sequence[int]) -> Sums:
        """Return the sums of curves that run so."""
        return sums(curves, lengths, self.walk, self.exponent)

    def evidence(self, seen: Sums) -> float:
        """Return the log likelihood of curves, up to a constant.

        Reference: Laird and Ware (1982), equation 3.1.
        """
        a, aa, noise = self.centre, self.width, self.noise
        b, ab = self.drop + self.slope * a, self.slope * aa
        bb = self.spread + self.slope * ab
        det = aa * bb - ab * ab
        p_aa, p_ab, p_bb = (
            bb / det + seen.count / noise, -ab / det + seen.g / noise, aa / det + seen.gg / noise,
        )  # fmt: skip
        joint = p_aa * p_bb - p_ab * p_ab
        u = (seen.y - a * seen.count - b * seen.g) / noise
        w = (seen.gy - a * seen.g - b * seen.gg) / noise
        rest = (
            seen.yy - 2 * a * seen.y - 2 * b * seen.gy
            + a * a * seen.count + 2 * a * b * seen.g + b * b * seen.gg
        ) / noise  # fmt: skip
        told = (p_bb * u * u - 2 * p_ab * u * w + p_aa * w * w) / joint
        each = seen.epochs * math.log(noise) + seen.log_det + np.log(det * joint) + rest - told
        return -float(each.sum()) / 2

    def telling(self, variances: Array) -> NDArray[np.bool_]:
        """Return which final errors their own epochs tell, bool [trials]; all without a walk.

        Where curves fall late, first epochs tell next to nothing of the end, and what they tell
        may lie anywhere.

        Args:
            variances: What `finals` returned.
        """
        return np.full(len(variances), not self.walk) | (variances < VAGUE * self.width)

    def moments(self, finals: Array, telling: NDArray[np.bool_]) -> tuple[float, float]:
        """Return the mean and the standard deviation of the final errors that are told.

        Args:
            finals: What `finals` returned.
            telling: Which of them count.
        """
        told = finals[telling]
        if not self.walk:
            return float(told.mean()), float(told.std()) or 1.0
        if len(told) < FEWEST or not told.std():
            return self.centre, math.sqrt(self.width)
        return float(told.mean()), float(told.std())

    def finals(self, seen: Sums) -> tuple[Array, Array]:
        """Return each trial's final error as its own epochs tell it, and the variance of that.

        Both float64 [trials]. What other trials say of its configuration is not in it.
        """
        count, g, gg = seen.count, seen.g, seen.gg
        # The design h = 1 + slope g, the residual r = y - drop g, the covariance
        # noise I + spread g g'; its inverse by Sherman and Morrison.
        hh = count + 2 * self.slope * g + self.slope**2 * gg
        hg = g + self.slope * gg
        hr = seen.y + self.slope * seen.gy - self.drop * hg
        gr = seen.gy - self.drop * gg
        shrink = self.spread / (self.noise + self.spread * gg)
        information = np.maximum(hh - shrink * hg * hg, 1e-9) / self.noise
        return (hr - shrink * hg * gr) / self.noise / information, 1 / information


def likeliest(ways: Sequence[tuple[float, Shape]]) -> Shape:
    """Return the first shape, each with its log likelihood, unless another is clearly likelier."""
    (plain, shape), *others = ways
    best, other = max(others, key=lambda way: way[0])
    return other if best > plain + EVIDENCE else shape


def likelihood(curves: Sequence[Mapping[int, float]], lengths: Sequence[int]) -> float:
    """Return the log likelihood of all epochs but each curve's last, given the last.

    Up to a constant that no unit changes.
    """
    lowest = np.array([min(curve.values()) for curve in curves])
    middle = float(np.median(lowest))
    unit = deviation(lowest - middle)
    counted = [{e: (v - middle) / unit for e, v in curve.items()} for curve in curves]
    shape = Shape.learn(counted, lengths)
    last = [{max(curve): curve[max(curve)]} for curve in counted]
    every, ends = (shape.evidence(shape.sums(one, lengths)) for one in (counted, last))
    return every - ends - sum(len(curve) - 1 for curve in curves) * math.log(unit)


def deviation(moved: Array) -> float:
    """Return a standard deviation; squares of very large and very small errors do not exist."""
    size = float(np.abs(moved).max())
    return size * float((moved / size).std())
