"""Max-pooling 2 x 2 with its gradient, a whole vector of maps at a time.

Torch's own keeps 64-bit positions and looks at single values, which costs more than a fast
convolution before it. Letters: T side of the map in, H = T // 2 of the map out, B images, D maps.
"""

from __future__ import annotations

import torch
from torch import Tensor


def max_pool(maps: Tensor, pooled: Tensor) -> list[Tensor]:
    """Write the maximum of each 2 x 2 of maps [T, T, B, D] into pooled [H, H, B, D].

    Returns:
        Where the later of two wins: right over left in upper rows and in lower rows, lower over
        upper, each bool [H, H, B, D]. Of equal values the first wins, as with torch's max_pool2d.
    """
    height, width = 2 * pooled.shape[0], 2 * pooled.shape[1]
    left, right = maps[:height, 0:width:2], maps[:height, 1:width:2]  # [2H, H, B, D]
    across = torch.maximum(left, right)
    upper, lower = across[0::2], across[1::2]
    torch.maximum(upper, lower, out=pooled)
    to_right = right > left
    return [to_right[0::2], to_right[1::2], lower > upper]


def spread(errors: Tensor, wins: list[Tensor], maps: Tensor) -> Tensor:
    """Return maps [T, T, B, D], filled with errors [H, H, B, D] where the maxima came from."""
    upper_right, lower_right, lower = wins
    height, width = 2 * errors.shape[0], 2 * errors.shape[1]
    maps[height:] = 0
    maps[:, width:] = 0
    toward_lower = errors * lower
    toward_upper = errors - toward_lower
    for row, toward, right in ((0, toward_upper, upper_right), (1, toward_lower, lower_right)):
        toward_right = maps[row:height:2, 1:width:2]
        torch.mul(toward, right, out=toward_right)
        torch.sub(toward, toward_right, out=maps[row:height:2, 0:width:2])
    return maps
