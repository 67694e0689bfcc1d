"""Images in their stored form, and the exact area average to a smaller size.

Letters: N images, S side in pixels after, 105 side before. Must not know the images' source.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 105
"""Side in pixels of every packed image: Omniglot's."""

_BLOCK = 512
"""Images averaged at once; bounds the memory to about 40 MB."""


def to_stored(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images as stored: 1 bit per pixel when all are 0 or 255, else unchanged.

    Args:
        images: Ink = 255, paper = 0, uint8 [N, 105, 105]; or stored ones, which stay as they are.

    Returns:
        uint8 [N, 105, 14] (rows of bits, ink = 1, padded with 0) or [N, 105, 105].
    """
    if images.shape[-1] != SIDE or not np.isin(images, (0, 255)).all():
        return images
    return np.packbits(images > 0, axis=-1)


def from_stored(stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 [N, 105, 105] from what `to_stored` gave."""
    if stored.shape[-1] == SIDE:
        return np.asarray(stored)
    bits = np.unpackbits(stored, axis=-1, count=SIDE)
    return np.multiply(bits, np.uint8(255), out=bits)


def area_weights(size: int) -> NDArray[np.float32]:
    """Return the share of each old pixel in each new one, in units of 1/size, [S, 105].

    The weights are whole numbers and each row sums to 105. So sums of weighted pixels (at most
    105 * 105 * 255, below 2**24) are exact in float32, in any order.

    Args:
        size: Side in pixels after, 1 to 105.
    """
    new = np.arange(size)[:, None] * SIDE  # [S, 1]
    old = np.arange(SIDE)[None, :] * size  # [1, 105]
    overlap = np.minimum(new + SIDE, old + size) - np.maximum(new, old)
    return np.asarray(np.clip(overlap, 0, None), np.float32)


def area_average(stored: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Average stored images down to a smaller side, rounded half up; the same on every machine.

    Args:
        stored: N images in stored form.
        size: Side in pixels after, 1 to 105.

    Returns:
        uint8 [N, S, S], ink = 255.
    """
    if size == SIDE:
        return from_stored(stored)
    weights = area_weights(size)
    averaged = np.empty((len(stored), size, size), np.uint8)
    for start in range(0, len(stored), _BLOCK):
        images = from_stored(stored[start : start + _BLOCK]).astype(np.float32)  # [B, 105, 105]
        narrow = images.reshape(-1, SIDE) @ weights.T  # [B * 105, S]
        turned = narrow.reshape(-1, SIDE, size).swapaxes(1, 2).reshape(-1, SIDE)  # [B * S, 105]
        sums = (turned @ weights.T).reshape(-1, size, size).swapaxes(1, 2).astype(np.int64)
        averaged[start : start + _BLOCK] = (2 * sums + SIDE * SIDE) // (2 * SIDE * SIDE)
    return averaged
