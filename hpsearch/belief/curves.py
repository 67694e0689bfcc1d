"""Estimates a trial's final error from the epochs it has had, with its uncertainty.

A curve is a + b g(e) + noise. a is the final error, and g falls with the logarithm of the epoch
from 1 to 0 at full length. a and b differ from trial to trial and go together; how, all trials
tell. That most trials are pruned early biases nothing much: whether one went on depended on what
was seen of it only.

Reference: Laird and Ware (1982), "Random-Effects Models for Longitudinal Data"; the trial's
effects (a, b), Z = (1, g), D = `covariance`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
VAGUE = 10.0
"""A final error whose own epochs leave so many times the variance of all is next to unknown."""


@dataclass(frozen=True)
class Sums:
    """Sums over the epochs of each trial, float64 [trials]: all that curves are judged by.

    Args:
        count: Epochs.
        g: Sum of g.
        gg: Sum of its squares.
        y: Sum of the errors.
        gy: Sum of error times g.
        yy: Sum of the squared errors.
    """

    count: Array
    g: Array
    gg: Array
    y: Array
    gy: Array
    yy: Array


def sums(curves: Sequence[Mapping[int, float]], lengths: Sequence[int]) -> Sums:
    """Return the sums of curves.

    Args:
        curves: Errors by epoch, from 1; none empty.
        lengths: Epochs of the whole trial, of each.
    """
    rows = np.zeros((len(curves), 6))
    for k, (curve, length) in enumerate(zip(curves, lengths, strict=True)):
        y = np.fromiter(curve.values(), np.float64)
        epochs = np.fromiter(curve.keys(), np.float64)
        g = 1 - np.log(epochs) / math.log(length) if length > 1 else np.zeros(len(y))
        rows[k] = len(y), g.sum(), (g * g).sum(), y.sum(), (g * y).sum(), (y * y).sum()
    return Sums(*rows.T)


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
    """

    slope: float
    drop: float
    spread: float
    noise: float
    centre: float
    width: float

    @classmethod
    def fit(cls, seen: Sums) -> Shape:
        """Estimate it from the curves of all trials, errors in standard deviations."""
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
            noise = total / (float(count.sum()) + EPOCHS)
        slope = ab / aa
        return cls(slope, mean_b - slope * mean_a, bb - slope * ab, noise, mean_a, aa)

    def moments(self, finals: Array, variances: Array) -> tuple[float, float]:
        """Return the mean and the standard deviation of final errors.

        Where curves fall late, first epochs tell next to nothing of the end, and what they tell
        may lie anywhere. These do not count.

        Args:
            finals: What `finals` returned.
            variances: Likewise.
        """
        telling = finals[variances < VAGUE * self.width]
        if len(telling) < FEWEST or not telling.std():
            return self.centre, math.sqrt(self.width)
        return float(telling.mean()), float(telling.std())

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
