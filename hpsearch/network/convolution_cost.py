"""Choose the fastest way of a convolution on the CPU from its shape. Imports no torch.

The model is fixed, so a study computes in the same way on every machine. The constants are fitted
by `python -m benchmarks.fit_convolution` to times of forward and backward passes on one thread.

Letters: B images, C channels in, D filters, S side of the map in, K filter side, T side of the map
out (S - K + 1), F frequencies.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

Way = Literal["direct", "fft", "patches"]

WIDEST_FAST_FILTER = 14
"""For wider filters torch computes the gradient on a slower path."""
MOST_FILTER_VALUES = 1 << 26
"""Values of filters' spectra that fft holds at once, 256 MB; the gradient needs as many again."""
COSTS: dict[str, tuple[float, ...]] = {
    "direct": (0.007761, 0.01732, 0.007325, 0.0, 0.138, 0.9414, 0.0, 251900.0),
    "direct, one channel": (0.007144, 0.05166, 0.0, 0.0, 0.2137, 0.6199, 5.024, 217400.0),
    "patches": (0.009084, 0.03917, 0.0, 0.0, 0.02662, 0.6339, 0.0, 740900.0),
    "fft": (0.03614, 0.01995, 0.6648, 0.342, 10890.0, 0.0),
}
"""Nanoseconds per unit of each of a way's `terms`."""


@lru_cache(maxsize=4096)
def choose_way(images: int, channels: int, filters: int, side: int, taps: int) -> Way:
    """Return the cheapest way.

    Args:
        images: B.
        channels: C.
        filters: D.
        side: S, pixels.
        taps: K, pixels.
    """
    ways: list[Way] = ["direct"]
    if channels == 1:
        ways.append("patches")
    else:
        ways.append("fft")
    return min(ways, key=lambda way: cost(way, images, channels, filters, side, taps))


def filters_at_once(channels: int, filters: int, side: int) -> int:
    """Return the size of the groups in which fft processes D filters (see `choose_way`)."""
    most = max(1, MOST_FILTER_VALUES // (2 * (side // 2 + 1) * side * channels))
    return math.ceil(filters / math.ceil(filters / most))


def cost(way: Way, images: int, channels: int, filters: int, side: int, taps: int) -> float:
    """Return the estimated nanoseconds of a forward and backward pass (see `choose_way`)."""
    name = "direct, one channel" if way == "direct" and channels == 1 else way
    values = terms(way, images, channels, filters, side, taps)
    return sum(c * value for c, value in zip(COSTS[name], values, strict=True))


def terms(
    way: Way, images: int, channels: int, filters: int, side: int, taps: int
) -> tuple[float, ...]:
    """Return the amounts of work in a way's cost (see `choose_way`)."""
    if way == "fft":
        group = filters_at_once(channels, filters, side)
        of_a_group = _spectral_terms(images, channels, group, side, taps)
        return tuple(value * math.ceil(filters / group) for value in of_a_group)
    out = side - taps + 1
    passes = 2 if channels == 1 else 3  # the first layer's image needs no gradient
    work = passes * images * channels * filters * taps**2 * out**2
    values = images * (filters * out**2 + channels * side**2)
    wide = work if taps > WIDEST_FAST_FILTER else 0
    weights = filters * channels * taps**2
    return (work, work / out, wide, wide / out, wide / filters, values, weights, 1)


def _spectral_terms(
    images: int, channels: int, filters: int, side: int, taps: int
) -> tuple[float, ...]:
    out, half = side - taps + 1, side // 2 + 1
    frequencies = half * side
    # planes transformed from or to each side: (side, how many)
    planes = (
        (side, images * channels * 2),
        (taps, filters * channels * 2),
        (out, images * filters * 2),
    )
    transforms = sum(
        count * (2 * half * kept**2 + half * 4 * side * kept) for kept, count in planes
    )
    products = 12 * frequencies * images * channels * filters
    spectra = 2 * frequencies * sum(count for _, count in planes)
    moved = (
        2 * frequencies * (2 * images * channels + 2 * images * filters + 3 * channels * filters)
    )
    return (transforms, products, spectra, moved, frequencies, 1)
