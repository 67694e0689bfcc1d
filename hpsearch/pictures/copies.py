"""Find pictures that are nearly alike in two classes, or in two parts of a split.

Such as one that was saved at another size.

Letters: N images. Must not know files.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.resize import area_average

MOST_COMPARED = 20_000
"""All pairs of so many pictures take some seconds; of more, only equal ones are found."""
COARSE_PX = 15
CLOSE_PX = 35
ALIKE = 0.99
"""Correlation of two coarse pictures from which on they are compared closely."""
DIFFERENT = 0.08
"""Nearly alike pictures differ by a smaller part of what they show, at `CLOSE_PX`."""
MOST_PAIRS = 20_000
_BLOCK = 1024


def near_copies(images: NDArray[np.uint8], places: Sequence[int]) -> list[tuple[int, int]]:
    """Return pairs of pictures of two places that are nearly alike but not equal.

    Args:
        images: uint8 [N, 105, 105], at most `MOST_COMPARED`.
        places: [N] place of each, such as its class.
    """
    place_of = np.asarray(places)
    coarse = area_average(images, COARSE_PX).reshape(len(images), -1).astype(np.float32)
    coarse -= coarse.mean(axis=1, keepdims=True)
    coarse /= np.maximum(np.linalg.norm(coarse, axis=1, keepdims=True), 1e-6)
    close = area_average(images, CLOSE_PX)
    found: list[tuple[int, int]] = []
    for start in range(0, len(images), _BLOCK):
        block = coarse[start : start + _BLOCK] @ coarse[start:].T  # [B, N - start]
        one, other = np.nonzero(block > ALIKE)
        one, other = one + start, other + start
        apart = (one < other) & (place_of[one] != place_of[other])
        for first, second in zip(one[apart].tolist(), other[apart].tolist(), strict=True):
            if (
                _nearly(close[first], close[second])
                and not (images[first] == images[second]).all()
            ):
                found.append((first, second))
                if len(found) >= MOST_PAIRS:
                    return found
    return found


def _nearly(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    a, b = one.astype(np.float32), other.astype(np.float32)
    shown = max(float(np.abs(a - np.median(a)).sum()), float(np.abs(b - np.median(b)).sum()))
    return float(np.abs(a - b).sum()) < DIFFERENT * shown
