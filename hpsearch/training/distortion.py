"""Random distortions of a batch, on the images' device.

The paper's affine one, an elastic one, and for photographs mirroring, cropping and colours.

Letters: B images, C channels, S side, G side of the elastic grid.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hpsearch.training.config import Distortion

Floats = NDArray[np.floating]
FULL_SIDE = 105
GRID_SIDE = 4
"""Points along a side of the elastic grid."""
COLOURS = 3
LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in a grey value (ITU-R BT.601)."""


class Drawn(NamedTuple):
    """The drawn distortion of each image, in units in which the image spans -1 to 1."""

    transforms: Tensor
    """[B, 2, 3], maps from output to input positions (torch's affine_grid)."""
    shifts: Tensor | None = None
    """[B, 2, G, G], further shifts of the input positions along x and y; None for none."""
    tints: Tensor | None = None
    """[B, 3], factors of brightness, contrast and saturation; None for none."""

    def to(self, device: torch.device) -> Drawn:
        """Return it on a device."""
        moved = (None if part is None else part.to(device, non_blocking=True) for part in self[1:])
        return Drawn(self.transforms.to(device, non_blocking=True), *moved)


def draw_distortion(
    count: int, distortion: Distortion, generator: torch.Generator
) -> Drawn | None:
    """Draw one distortion for each image, on the CPU; None where none is set."""
    if distortion.probability == 0:
        return None
    transforms, shifts, tints = draw_transforms(count, distortion, generator), None, None
    chance = distortion.probability
    if distortion.elastic_px:
        shifts = torch.randn(count, 2, GRID_SIDE, GRID_SIDE, generator=generator)
        bent = torch.rand(count, 1, 1, 1, generator=generator) < chance
        shifts = shifts * bent * (2 * distortion.elastic_px / FULL_SIDE)
    if distortion.flip or distortion.crop:
        transforms = framed(transforms, distortion, generator)
    if distortion.colour:
        factors = torch.rand(2, count, 3, generator=generator)
        tints = 1 + (factors[0] * 2 - 1) * (factors[1] < chance) * distortion.colour
    return Drawn(transforms, shifts, tints)


def framed(transforms: Tensor, distortion: Distortion, generator: torch.Generator) -> Tensor:
    """Crop and mirror what the transforms show, [B, 2, 3]."""
    cropped, amount, flipped, *place = torch.rand(5, len(transforms), generator=generator)
    cut = (cropped < distortion.probability) * amount * distortion.crop
    centre = cut[:, None] * (torch.stack(place, 1) * 2 - 1)
    turned = torch.where(flipped < distortion.flip, -1.0, 1.0)
    matrix, moved = transforms[:, :, :2], transforms[:, :, 2:]
    sides = (1 - cut)[:, None] * torch.stack([turned, torch.ones_like(turned)], 1)
    moved = moved + matrix @ centre[:, :, None].to(matrix.dtype)
    return torch.cat([matrix * sides[:, None].to(matrix.dtype), moved], 2)


def draw_transforms(count: int, distortion: Distortion, generator: torch.Generator) -> Tensor:
    """Draw one transform for each image, on the CPU.

    numpy does the arithmetic: it starts an operation several times faster than torch.

    Returns:
        Shape [B, 2, 3]: maps from output to input positions, in units in which the image spans -1
        to 1 (torch's affine_grid).

    Reference:
        Koch et al. 2015, section 3.2: T = (theta, rho_x, rho_y, s_x, s_y, t_x, t_y).
    """
    drawn = torch.rand(14, count, generator=generator).numpy()
    u = (drawn[:7] * 2 - 1) * (drawn[7:] < distortion.probability)
    shift = 2 * distortion.shift_px / FULL_SIDE
    return torch.from_numpy(
        affine(
            u[0] * math.radians(distortion.angle_deg),
            shear=u[1:3] * distortion.shear,
            scale=1 + u[3:5] * distortion.scale,
            shift=u[5:] * shift,
        )
    )


def affine(angle: Floats, *, shear: Floats, scale: Floats, shift: Floats) -> Floats:
    """Return the inverse of rotation x shear x scale followed by the shift, shape [B, 2, 3].

    Args:
        angle: Radians, counter-clockwise where y points down the page, shape [B].
        shear: x grows by shear_x y, and y by shear_y x, shape [2, B].
        scale: Factors along x and y, shape [2, B].
        shift: Along x and y, in half image sides, shape [2, B].
    """
    cos, sin = torch.from_numpy(angle).cos().numpy(), torch.from_numpy(angle).sin().numpy()
    a, b = (cos + sin * shear[1]) * scale[0], (cos * shear[0] + sin) * scale[1]
    c, d = (-sin + cos * shear[1]) * scale[0], (-sin * shear[0] + cos) * scale[1]
    inverse = np.array([[d, -b], [-c, a]]) / (a * d - b * c)  # [2, 2, B]
    moved = -(inverse[:, 0] * shift[0] + inverse[:, 1] * shift[1])
    whole = np.concatenate([inverse, moved[:, None]], axis=1)  # [2, 3, B]
    return np.ascontiguousarray(whole.transpose(2, 0, 1))


def distort(images: Tensor, drawn: Drawn) -> Tensor:
    """Distort images [B, C, S, S]; pixels from outside are paper: 0 of ink, 1 of each colour.

    Reference:
        Simard, Steinkraus and Platt 2003, section 2: elastic distortions, here of a coarse grid.
    """
    side = images.shape[2]
    grid = _grid(drawn.transforms, side)
    if drawn.shifts is not None:
        smooth = drawn.shifts.flatten(2) @ _bicubic(side, images.device)  # [B, 2, S S]
        grid = grid + smooth.view(-1, 2, side, side).permute(0, 2, 3, 1)
    paper = 1.0 if images.shape[1] == COLOURS else 0.0
    moved = functional.grid_sample(
        images - paper if paper else images,
        grid, mode="bilinear", padding_mode="zeros", align_corners=False,
    )  # fmt: skip
    moved = moved + paper if paper else moved
    return moved if drawn.tints is None else _tinted(moved, drawn.tints)


def _tinted(images: Tensor, tints: Tensor) -> Tensor:
    """Change brightness, contrast and saturation, in this order, and stay within 0 and 1."""
    brightness, contrast, saturation = tints[:, :, None, None, None].unbind(1)
    images = images * brightness
    middle = images.mean((1, 2, 3), keepdim=True)
    images = middle + (images - middle) * contrast
    if images.shape[1] == COLOURS:
        shares = torch.tensor(LUMA, dtype=images.dtype, device=images.device).view(1, -1, 1, 1)
        grey = (images * shares).sum(1, keepdim=True)
        images = grey + (images - grey) * saturation
    return images.clamp(0, 1)


@lru_cache(maxsize=16)
def _bicubic(side: int, device: torch.device) -> Tensor:
    """Return the bicubic surface of each point of the elastic grid, [G G, S S]."""
    each = torch.eye(GRID_SIDE**2, device=device).view(1, -1, GRID_SIDE, GRID_SIDE)
    surfaces = functional.interpolate(each, (side, side), mode="bicubic", align_corners=True)
    return surfaces.view(GRID_SIDE**2, side**2)


def _grid(transforms: Tensor, side: int) -> Tensor:
    """Return torch's affine_grid up to rounding, many times faster, [B, S, S, 2]."""
    places = _centres(side, transforms.dtype, transforms.device)
    along_x, along_y, shift = transforms.reshape(-1, 3, 1, 1).unbind(1)  # each [2B, 1, 1]
    grid = along_x * places + along_y * places[:, None]  # [2B, S, S]
    return grid.add_(shift).view(-1, 2, side, side).permute(0, 2, 3, 1)


@lru_cache(maxsize=16)
def _centres(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the centres of the pixels along a side, [S]."""
    return torch.linspace(-1, 1, side, dtype=dtype, device=device) * (side - 1) / side
