"""Convolution (stride 1, no padding) by the cheapest way for its shape. Knows no data.

Letters: B images, C channels in, D filters, S side of the map in, K filter side, T side of the map
out (S - K + 1), F frequencies.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hpsearch.network.convolution_cost import TILE, Way
from hpsearch.network.spectrum import inverse, transform

CHUNK_VALUES = 1 << 25
"""Values of the images' spectra made at once."""
PATCH_VALUES = 1 << 18
"""Values of the patches made at once, so that they stay in a core's cache."""


def convolve(images: Tensor, weight: Tensor, bias: Tensor | None, way: Way) -> Tensor:
    """Return the valid cross-correlation, as torch's conv2d does.

    Args:
        images: [B, C, S, S].
        weight: [D, C, K, K].
        bias: [D].
        way: direct is torch's own. fft multiplies spectra. patches is one matrix product of
            patches, for a single channel.

    Returns:
        [B, D, T, T].
    """
    if way == "direct":
        return functional.conv2d(images, weight, bias)
    function = Spectral if way == "fft" else Patches
    maps: Tensor = function.apply(images, weight)  # type: ignore[no-untyped-call]
    return maps if bias is None else maps + bias[:, None, None]


class Spectral(torch.autograd.Function):
    """Correlation as products of spectra over all frequencies.

    The transform has S points: of a correlation that wraps around, the first T rows and columns
    are those of the valid one, and both gradients fit into S without wrapping.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        """Return [B, D, T, T]; the spectra are kept for the gradients."""
        side, taps = images.shape[2], weight.shape[2]
        out = side - taps + 1
        filters = _to_spectrum(weight.permute(2, 3, 1, 0), side)  # [F, 2, C, D]
        maps = _empty_maps(len(images), weight.shape[0], out, images)
        ctx.step = max(1, CHUNK_VALUES // (len(filters) * 2 * sum(weight.shape[:2])))
        spectra = []
        for first in range(0, len(images), ctx.step):
            rows = slice(first, first + ctx.step)
            spectrum = _to_spectrum(images[rows].permute(2, 3, 0, 1), side)  # [F, 2, B, C]
            product = _product(spectrum, filters, conjugate=True)  # [F, 2, B, D]
            maps[rows] = _from_spectrum(product, side, out).permute(2, 3, 0, 1)
            spectra.append(spectrum)
        ctx.save_for_backward(filters, *spectra)
        ctx.side, ctx.taps = side, taps
        return maps

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the gradients of images and weight."""
        filters, *spectra = ctx.saved_tensors
        errors, side, channels = grads[0], ctx.side, filters.shape[2]
        total = torch.zeros_like(filters)
        gradient = None
        if ctx.needs_input_grad[0]:
            gradient = _empty_maps(len(errors), channels, side, errors)
        for number, spectrum in enumerate(spectra):
            rows = slice(number * ctx.step, (number + 1) * ctx.step)
            error = _to_spectrum(errors[rows].permute(2, 3, 0, 1), side)  # [F, 2, B, D]
            _product(spectrum.transpose(2, 3), error, conjugate=True, onto=total)
            if gradient is not None:
                back = _product(error, filters.transpose(2, 3), conjugate=False)  # [F, 2, B, C]
                gradient[rows] = _from_spectrum(back, side, side).permute(2, 3, 0, 1)
        weights = _from_spectrum(total, side, ctx.taps)  # [K, K, C, D]
        return gradient, weights.permute(3, 2, 0, 1)


def _to_spectrum(x: Tensor, side: int) -> Tensor:
    """Transform [H, W, P, Q] to [F, 2, P, Q]."""
    height, width, *rest = x.shape
    return transform(x.reshape(height, width, -1), side).view(-1, 2, *rest)


def _from_spectrum(spectrum: Tensor, side: int, kept: int) -> Tensor:
    """Transform [F, 2, P, Q] back to its first rows and columns [kept, kept, P, Q]."""
    rest = spectrum.shape[2:]
    return inverse(spectrum.flatten(2), side, kept, kept).view(kept, kept, *rest)


def _product(a: Tensor, b: Tensor, *, conjugate: bool, onto: Tensor | None = None) -> Tensor:
    """Return a [F, 2, P, Q] times b [F, 2, Q, R], or its conjugate, added to `onto`."""
    fresh = onto is None
    result = a.new_empty(len(a), 2, a.shape[2], b.shape[3]) if onto is None else onto
    sign = 1 if conjugate else -1
    real, imaginary = result[:, 0], result[:, 1]
    real.baddbmm_(a[:, 0], b[:, 0], beta=0 if fresh else 1)
    real.baddbmm_(a[:, 1], b[:, 1], alpha=sign)
    imaginary.baddbmm_(a[:, 1], b[:, 0], beta=0 if fresh else 1)
    imaginary.baddbmm_(a[:, 0], b[:, 1], alpha=-sign)
    return result


def _empty_maps(images: int, channels: int, side: int, like: Tensor) -> Tensor:
    shape = (images, channels, side, side)
    return torch.empty(
        shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )


class Patches(torch.autograd.Function):
    """Correlation of one channel as one matrix product of patches.

    Each patch serves TILE neighbouring outputs of a row: it holds K x (K + TILE - 1) values, so
    fewer are copied than with one patch an output, for little more arithmetic.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        """Return [B, D, T, T] from images [B, 1, S, S] and weight [D, 1, K, K]."""
        taps, filters = weight.shape[2], weight.shape[0]
        out = images.shape[2] - taps + 1
        patches = _patches(images[:, 0], taps)  # [B, T, tiles, K, K + TILE - 1]
        tiled = weight.new_zeros(taps, taps + TILE - 1, TILE, filters)
        for shift in range(TILE):
            tiled[:, shift : shift + taps, shift] = weight[:, 0].permute(1, 2, 0)
        matrix = tiled.view(-1, TILE * filters)
        maps = _empty_maps(len(images), filters, out, weight)
        for rows in _chunks(patches):
            tiles = patches[rows].reshape(-1, len(matrix)) @ matrix
            maps[rows] = tiles.view(-1, out, patches.shape[2] * TILE, filters)[:, :, :out].permute(
                0, 3, 1, 2
            )
        ctx.save_for_backward(images, weight)
        return maps

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the gradients of images and weight."""
        images, weight = ctx.saved_tensors
        taps, filters = weight.shape[2], weight.shape[0]
        errors = grads[0].permute(0, 2, 3, 1)  # [B, T, T, D]
        patches = _patches(images[:, 0], taps)
        width = patches.shape[2] * TILE
        total = weight.new_zeros(taps * (taps + TILE - 1), TILE * filters)
        for rows in _chunks(patches):
            error = functional.pad(errors[rows], (0, 0, 0, width - errors.shape[2]))
            total.addmm_(
                patches[rows].reshape(-1, len(total)).T, error.reshape(-1, TILE * filters)
            )
        shifts = total.view(taps, taps + TILE - 1, TILE, filters)
        gradient = torch.stack([shifts[:, s : s + taps, s] for s in range(TILE)]).sum(0)
        back = None
        if ctx.needs_input_grad[0]:
            back = functional.conv_transpose2d(grads[0], weight)
        return back, gradient.permute(2, 0, 1)[:, None]


def _patches(images: Tensor, taps: int) -> Tensor:
    """View images [B, S, S] as patches [B, T, tiles, K, K + TILE - 1], the last tile padded."""
    count, side, _ = images.shape
    out = side - taps + 1
    tiles = -(-out // TILE)
    padded = functional.pad(images, (0, tiles * TILE - out)).contiguous()
    per_image, per_row, _ = padded.stride()
    shape = (count, out, tiles, taps, taps + TILE - 1)
    return padded.as_strided(shape, (per_image, per_row, TILE, per_row, 1))


def _chunks(patches: Tensor) -> list[slice]:
    step = max(1, PATCH_VALUES // patches[0].numel())
    return [slice(i, i + step) for i in range(0, len(patches), step)]
