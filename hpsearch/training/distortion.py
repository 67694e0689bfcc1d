"""Random distortions of a batch, on the images' device: the paper's affine, and an elastic one.

Letters: B images, S side, G side of the elastic grid.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from hpsearch.training.config import Distortion

FULL_SIDE = 105
GRID_SIDE = 4
"""Points along a side of the elastic grid."""


class Drawn(NamedTuple):
    """The drawn distortion of each image, in units in which the image spans -1 to 1."""

    transforms: Tensor
    """[B, 2, 3], maps from output to input positions (torch's affine_grid)."""
    shifts: Tensor | None = None
    """[B, 2, G, G], further shifts of the input positions along x and y; None for none."""

    def to(self, device: torch.device) -> Drawn:
        """Return it on a device."""
        shifts = None if self.shifts is None else self.shifts.to(device, non_blocking=True)
        return Drawn(self.transforms.to(device, non_blocking=True), shifts)


def draw_distortion(
    count: int, distortion: Distortion, generator: torch.Generator
) -> Drawn | None:
    """Draw one distortion for each image, on the generator's device; None where none is set."""
    if distortion.probability == 0:
        return None
    transforms = draw_transforms(count, distortion, generator)
    if distortion.elastic_px == 0:
        return Drawn(transforms)
    device = generator.device
    shifts = torch.randn(count, 2, GRID_SIDE, GRID_SIDE, generator=generator, device=device)
    bent = torch.rand(count, 1, 1, 1, generator=generator, device=device) < distortion.probability
    return Drawn(transforms, shifts * bent * (2 * distortion.elastic_px / FULL_SIDE))


def draw_transforms(count: int, distortion: Distortion, generator: torch.Generator) -> Tensor:
    """Draw one transform for each image, on the generator's device.

    Returns:
        Shape [B, 2, 3]: maps from output to input positions, in units in which the image spans -1
        to 1 (torch's affine_grid).

    Reference:
        Koch et al. 2015, section 3.2: T = (theta, rho_x, rho_y, s_x, s_y, t_x, t_y).
    """
    device = generator.device
    uniform = torch.rand(7, count, generator=generator, device=device) * 2 - 1
    included = torch.rand(7, count, generator=generator, device=device) < distortion.probability
    u = uniform * included
    angle = u[0] * math.radians(distortion.angle_deg)
    return affine(
        angle,
        u[1] * distortion.shear,
        u[2] * distortion.shear,
        1 + u[3] * distortion.scale,
        1 + u[4] * distortion.scale,
        u[5] * (2 * distortion.shift_px / FULL_SIDE),
        u[6] * (2 * distortion.shift_px / FULL_SIDE),
    )


def affine(
    angle: Tensor,
    shear_x: Tensor,
    shear_y: Tensor,
    scale_x: Tensor,
    scale_y: Tensor,
    shift_x: Tensor,
    shift_y: Tensor,
) -> Tensor:
    """Return the inverse of rotation x shear x scale followed by the shift, shape [B, 2, 3].

    Args:
        angle: Radians, counter-clockwise where y points down the page, shape [B].
        shear_x: x grows by shear_x y, shape [B].
        shear_y: y grows by shear_y x, shape [B].
        scale_x: Factor along x, shape [B].
        scale_y: Factor along y, shape [B].
        shift_x: In half image sides, shape [B].
        shift_y: In half image sides, shape [B].
    """
    cos, sin = angle.cos(), angle.sin()
    a, b = (cos + sin * shear_y) * scale_x, (cos * shear_x + sin) * scale_y
    c, d = (-sin + cos * shear_y) * scale_x, (-sin * shear_x + cos) * scale_y
    det = a * d - b * c
    ia, ib, ic, id_ = d / det, -b / det, -c / det, a / det
    tx = -(ia * shift_x + ib * shift_y)
    ty = -(ic * shift_x + id_ * shift_y)
    return torch.stack([torch.stack([ia, ib, tx], -1), torch.stack([ic, id_, ty], -1)], 1)


def distort(images: Tensor, drawn: Drawn) -> Tensor:
    """Distort images [B, 1, S, S]; pixels from outside are paper (0).

    Reference:
        Simard, Steinkraus and Platt 2003, section 2: elastic distortions, here of a coarse grid.
    """
    side = images.shape[2]
    grid = _grid(drawn.transforms, side)
    if drawn.shifts is not None:
        smooth = drawn.shifts.flatten(2) @ _bicubic(side, images.device)  # [B, 2, S S]
        grid = grid + smooth.view(-1, 2, side, side).permute(0, 2, 3, 1)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )


@lru_cache(maxsize=16)
def _bicubic(side: int, device: torch.device) -> Tensor:
    """Return the bicubic surface of each point of the elastic grid, [G G, S S]."""
    each = torch.eye(GRID_SIDE**2, device=device).view(1, -1, GRID_SIDE, GRID_SIDE)
    surfaces = functional.interpolate(each, (side, side), mode="bicubic", align_corners=True)
    return surfaces.view(GRID_SIDE**2, side**2)


def _grid(transforms: Tensor, side: int) -> Tensor:
    """Return torch's affine_grid up to rounding, many times faster, [B, S, S, 2]."""
    places = torch.linspace(-1, 1, side, dtype=transforms.dtype, device=transforms.device)
    places = places * (side - 1) / side  # centres of the pixels
    along_x, along_y, shift = transforms.reshape(-1, 3, 1, 1).unbind(1)  # each [2B, 1, 1]
    grid = along_x * places + along_y * places[:, None]  # [2B, S, S]
    return grid.add_(shift).view(-1, 2, side, side).permute(0, 2, 3, 1)
