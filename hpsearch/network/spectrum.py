"""Two-dimensional discrete Fourier transforms as matrix products, frequency first.

Letters: n points of the transform, U = n // 2 + 1 frequencies along the height (the rest mirror
them), F = U * n frequencies in all, M values transformed side by side.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


def transform(x: Tensor, n: int) -> Tensor:
    """Transform real x [H, W, M], H and W at most n, padded with zeros; return [F, 2, M].

    The second axis holds real and imaginary parts. A library's transform does not put frequencies
    first; moving its result costs as much as these products.
    """
    height, width, values = x.shape
    rows = _rows(n, height, x.dtype) @ x.reshape(height, width * values)  # [2U, W M]
    both = torch.matmul(_columns(n, width, x.dtype), rows.view(-1, 2 * width, values))
    return both.view(-1, 2, values)


def inverse(spectrum: Tensor, n: int, height: int, width: int) -> Tensor:
    """Return the first rows and columns [H, W, M] of the inverse transform of [F, 2, M]."""
    values = spectrum.shape[-1]
    grouped = spectrum.view(-1, 2 * n, values)  # [U, 2n, M]
    columns = torch.matmul(_inverse_columns(n, width, spectrum.dtype), grouped)  # [U, 2W, M]
    flat = columns.view(-1, width * values)  # [2U, W M]
    return (_inverse_rows(n, height, spectrum.dtype) @ flat).view(height, width, values)


def _waves(n: int) -> tuple[Tensor, Tensor]:
    steps = torch.arange(n, dtype=torch.float64)
    angle = torch.outer(steps, steps).remainder(n) * (2 * math.pi / n)
    return angle.cos(), angle.sin()


@lru_cache(maxsize=256)
def _rows(n: int, taps: int, dtype: torch.dtype) -> Tensor:
    cos, sin = _waves(n)
    half = n // 2 + 1
    return (
        torch.stack([cos[:half, :taps], -sin[:half, :taps]], 1).reshape(2 * half, taps).to(dtype)
    )


@lru_cache(maxsize=256)
def _columns(n: int, taps: int, dtype: torch.dtype) -> Tensor:
    cos, sin = (part[:, :taps] for part in _waves(n))
    real, imaginary = torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)
    return torch.stack([real, imaginary], 1).reshape(2 * n, 2 * taps).to(dtype)


@lru_cache(maxsize=256)
def _inverse_columns(n: int, kept: int, dtype: torch.dtype) -> Tensor:
    cos, sin = (part[:kept] / n for part in _waves(n))  # [W, n]
    real, imaginary = torch.stack([cos, -sin], 2), torch.stack([sin, cos], 2)
    return torch.stack([real, imaginary]).reshape(2 * kept, 2 * n).to(dtype)


@lru_cache(maxsize=256)
def _inverse_rows(n: int, kept: int, dtype: torch.dtype) -> Tensor:
    cos, sin = _waves(n)
    half = n // 2 + 1
    weight = torch.full((half,), 2.0 / n, dtype=torch.float64)
    weight[0] = 1 / n
    if n % 2 == 0:
        weight[-1] = 1 / n
    parts = torch.stack([cos[:kept, :half] * weight, -sin[:kept, :half] * weight], 2)
    return parts.reshape(kept, 2 * half).to(dtype)
