"""Confidence intervals of shares."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of n independent tries, both ends within 0 to 1.

    Reference:
        Wilson (1927), Journal of the American Statistical Association 22.
    """
    centre = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
