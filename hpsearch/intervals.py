"""Confidence intervals of shares."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054


def wilson(share: float, n: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of n independent trials, within 0 to 1.

    Reference:
        Wilson (1927), Journal of the American Statistical Association 22.
    """
    centre = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def around(share: float, error: float) -> tuple[float, float]:
    """Return the 95 % interval of a share whose standard error is known, within 0 to 1.

    It is Wilson's interval for the number of independent trials with that standard error; at 0 and
    1 the error is taken for that of half a trial.
    """
    spread = share * (1 - share)
    if error <= 0:
        return share, share
    return wilson(share, spread / error**2 if spread > 0 else math.sqrt(0.5) / error)


def of_pictures(ends: tuple[float, float], share: float, pictures: int | None) -> list[float]:
    """Return a share's interval, at least as wide as Wilson's of the pictures behind it.

    Trainings that agree on few pictures say nothing of other pictures. None leaves it as it is.
    """
    low, high = wilson(share, pictures) if pictures else ends
    return [min(ends[0], low), max(ends[1], high)]
