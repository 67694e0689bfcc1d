"""Images in their stored form, and the exact area average to a smaller size.

Colour pictures are stored as they are, [N, 3, T, T], T at most 224.

Letters: N images, S side in pixels after, T side before, 105 of grey images. Must not
know the images' source.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 105
"""Side in pixels of every packed grey image: Omniglot's."""
COLOUR_SIDE = 224
"""Side in pixels of a packed colour picture, at most."""

_BLOCK = 512
"""Images averaged at once; bounds the memory to about 40 MB."""


def to_stored(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images as stored: 1 bit per pixel when all are 0 or 255, else unchanged.

    Args:
        images: Ink = 255, paper = 0, uint8 [N, 105, 105]; or stored ones, which stay as they are.

    Returns:
        uint8 [N, 105, 14] (rows of bits, ink = 1, padded with 0) or [N, 105, 105].
    """
    if images.ndim != 3 or images.shape[-1] != SIDE or not np.isin(images, (0, 255)).all():
        return images
    return np.packbits(images > 0, axis=-1)


def from_stored(stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 [N, 105, 105], or colour pictures, from what `to_stored` gave."""
    if stored.ndim == 4 or stored.shape[-1] == SIDE:
        return np.asarray(stored)
    bits = np.unpackbits(stored, axis=-1, count=SIDE)
    return np.multiply(bits, np.uint8(255), out=bits)


def area_weights(size: int, side: int = SIDE) -> NDArray[np.float32]:
    """Return the share of each old pixel in each new one, in units of 1/size, [S, T].

    The weights are whole numbers and each row sums to T. So sums of weighted pixels (at most
    224 * 224 * 255, below 2**24) are exact in float32, in any order.

    Args:
        size: Side in pixels after, 1 to T.
        side: Side in pixels before.
    """
    new = np.arange(size)[:, None] * side  # [S, 1]
    old = np.arange(side)[None, :] * size  # [1, T]
    overlap = np.minimum(new + side, old + size) - np.maximum(new, old)
    return np.asarray(np.clip(overlap, 0, None), np.float32)


def area_average(stored: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Average stored images down to a smaller side, rounded half up; the same on every machine.

    Args:
        stored: N images in stored form.
        size: Side in pixels after. Grey images need 1 to 105; colour pictures that are not
            larger stay as they are.

    Returns:
        uint8 [N, S, S], ink = 255; or [N, 3, S, S].
    """
    if stored.ndim == 4:
        count, side = len(stored), stored.shape[-1]
        if size >= side:
            return np.asarray(stored)
        planes = stored.reshape(-1, side, side)
        return _averaged(planes, size, side).reshape(count, -1, size, size)
    return from_stored(stored) if size == SIDE else _averaged(stored, size, SIDE)


def _averaged(stored: NDArray[np.uint8], size: int, side: int) -> NDArray[np.uint8]:
    """Average images [N, T, T], or stored ones, down to [N, S, S]."""
    weights = area_weights(size, side)
    averaged = np.empty((len(stored), size, size), np.uint8)
    for start in range(0, len(stored), _BLOCK):
        block = stored[start : start + _BLOCK]
        images = (block if block.shape[-1] == side else from_stored(block)).astype(np.float32)
        narrow = images.reshape(-1, side) @ weights.T  # [B * T, S]
        turned = narrow.reshape(-1, side, size).swapaxes(1, 2).reshape(-1, side)  # [B * S, T]
        sums = (turned @ weights.T).reshape(-1, size, size).swapaxes(1, 2).astype(np.int64)
        averaged[start : start + _BLOCK] = (2 * sums + side * side) // (2 * side * side)
    return averaged
