"""Convolution (stride 1) and max-pooling by the cheapest way. Knows no data.

The batch is processed a few images at a time, so the maps before pooling never exist for the whole
batch. With fft the filters are processed in groups whose spectra have a bounded size.
Letters: B images, C channels in, D filters, S side of the map in, K filter side, T side of the map
out (S - K + 1), H side after pooling, F frequencies.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hpsearch.network.convolution_cost import Way, choose_way, filters_at_once
from hpsearch.network.spectrum import inverse, transform

MAP_VALUES = 1 << 21
"""Values of the maps before pooling that are computed at once, so that they fit the cache."""
FEW_VALUES = 1 << 22
"""Up to this many values before pooling torch's own convolution runs on the whole batch."""
SPECTRUM_VALUES = 1 << 25
"""Values of the spectra that are computed at once."""
RESTING_VALUES = 1 << 25
"""Filters' spectra with more values are not kept for the backward pass but computed again."""


def convolve(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    pool: bool,
    padded: bool = False,
    way: Way | None = None,
) -> Tensor:
    """Return the cross-correlation plus bias, then max-pooled 2 x 2 if `pool`.

    Args:
        images: [B, C, S, S].
        weight: [D, C, K, K].
        bias: [D].
        pool: Take the maximum of each 2 x 2; an odd last row and column are left out.
        padded: Surround the images with zeros so that T is S; of an even filter the larger half
            lies to the right and below.
        way: How to compute it; None asks the cost model.

    Returns:
        [B, D, T, T], or [B, D, H, H] after pooling; equal to torch's conv2d and max_pool2d up to
        rounding, gradients too.
    """
    count, channels, side, _ = images.shape
    taps = weight.shape[2]
    side += taps - 1 if padded else 0
    way = way or choose_way(count, channels, len(weight), side, taps)
    if torch.is_autocast_enabled("cpu"):  # spectra need full precision
        dtype = torch.get_autocast_dtype("cpu")
        images, weight, way = images.to(dtype), weight.to(dtype), "direct"
    out = side - taps + 1
    around = (taps - 1) // 2 if padded else 0
    images = even_out(images, taps) if padded else images
    if way == "direct" and (not pool or count * len(weight) * out**2 <= FEW_VALUES):
        maps = functional.conv2d(images, weight, bias, padding=around)
        return functional.max_pool2d(maps, 2) if pool else maps
    images = functional.pad(images, 4 * [around]) if around else images
    group = filters_at_once(channels, len(weight), side) if way == "fft" else len(weight)
    if group < len(weight):
        groups = [
            convolve(
                images, weight[rows], None if bias is None else bias[rows], pool=pool, way=way
            )
            for rows in _parts(len(weight), group)
        ]
        return torch.cat(groups, dim=1)
    training = torch.is_grad_enabled()
    result: Tensor = ByParts.apply(images, weight, bias, way, pool, training)  # type: ignore[no-untyped-call]
    return result


def even_out(images: Tensor, taps: int) -> Tensor:
    """Add a row and a column of zeros for an even filter, so that equal padding keeps the size."""
    return images if taps % 2 else functional.pad(images, (0, 1, 0, 1))


class ByParts(torch.autograd.Function):
    """Convolution and pooling, a part of the batch at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        way: Way,
        pool: bool,
        training: bool,
    ) -> Tensor:
        """Return [B, D, T, T] or [B, D, H, H]; save tensors for the gradients."""
        filters, out = len(weight), images.shape[2] - weight.shape[2] + 1
        solver = WAYS[way](weight, images.shape[2])
        ctx.step = solver.images_at_once(len(images), pool=pool)
        parts = _parts(len(images), ctx.step)
        result, kept = _empty_maps(images, filters, out // 2 if pool else out), []
        for rows in parts:
            maps, own = solver.maps(images[rows])
            if pool:
                maps, places = functional.max_pool2d(maps, 2, return_indices=True)
                own.append(places)
            maps = maps.view(-1, filters, *result.shape[2:])
            if bias is not None:
                maps += bias.detach()[:, None, None]
            if len(parts) == 1:
                result = maps
            else:
                result[rows] = maps
            if training:
                kept += own
        solver.rest()
        ctx.save_for_backward(images, weight, *kept)
        ctx.solver, ctx.pool, ctx.out = solver, pool, out
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of images and weight."""
        images, weight, *kept = ctx.saved_tensors
        parts = _parts(len(images), ctx.step)
        each = len(kept) // len(parts)
        back = torch.empty_like(images) if ctx.needs_input_grad[0] else None
        for number, rows in enumerate(parts):
            own = kept[number * each : (number + 1) * each]
            errors = ctx.solver.arrange(grads[0][rows])
            if ctx.pool:
                errors = _unpool(errors, own[-1], ctx.out)
            part = None if back is None else back[rows]
            ctx.solver.add_gradients(images[rows], weight, errors, own, part)
        toward_bias = grads[0].sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return back, ctx.solver.weight_gradient(), toward_bias, None, None, None


def _unpool(errors: Tensor, places: Tensor, side: int) -> Tensor:
    """Return the gradient [N, D, side, side] of max-pooling from errors [N, D, H, H]."""
    sizes_only = errors.new_empty(len(errors), side, side, errors.shape[1]).permute(0, 3, 1, 2)
    unpooled: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
        errors, sizes_only, [2, 2], [2, 2], [0, 0], [1, 1], False, places
    )
    return unpooled


def _empty_maps(images: Tensor, filters: int, side: int) -> Tensor:
    """Return an uninitialised [B, D, side, side], channels last."""
    return images.new_empty(len(images), side, side, filters).permute(0, 3, 1, 2)


def _parts(count: int, step: int) -> list[slice]:
    return [slice(first, first + step) for first in range(0, count, step)]


class Spectral:
    """Correlation as products of spectra over all frequencies.

    The transform has S points. The first T rows and columns of the circular correlation are the
    valid correlation, and both gradients fit into S points.
    """

    def __init__(self, weight: Tensor, side: int) -> None:
        self._side, self._taps, self._weight = side, weight.shape[2], weight.detach()
        self._spectra: Tensor | None = None
        self._total: Tensor | None = None

    @property
    def _filters(self) -> Tensor:
        """The filters' spectra, [F, 2, C, D]."""
        if self._spectra is None:
            self._spectra = _to_spectrum(self._weight.permute(2, 3, 1, 0), self._side)
        return self._spectra

    def rest(self) -> None:
        """Free large spectra of filters until they are needed again."""
        if self._filters.numel() > RESTING_VALUES:
            self._spectra = None

    def images_at_once(self, images: int, *, pool: bool) -> int:
        """Return how many images a part holds."""
        del images, pool
        frequencies, _, channels, filters = self._filters.shape
        return max(1, SPECTRUM_VALUES // (frequencies * 2 * (channels + filters)))

    def maps(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the maps of images [B, C, S, S] as [1, B D, T, T], and tensors to save."""
        spectrum = _to_spectrum(images.permute(2, 3, 0, 1), self._side)  # [F, 2, B, C]
        product = _product(spectrum, self._filters, conjugate=True)  # [F, 2, B, D]
        maps = _from_spectrum(product, self._side, self._side - self._taps + 1)  # [T, T, B, D]
        return _as_one_image(maps), [spectrum]

    def arrange(self, errors: Tensor) -> Tensor:
        """Return errors [B, D, T, T] as `maps` lays them out."""
        return _as_one_image(errors.permute(2, 3, 0, 1))

    def add_gradients(
        self,
        images: Tensor,
        weight: Tensor,
        errors: Tensor,
        kept: list[Tensor],
        back: Tensor | None,
    ) -> None:
        """Add to the gradient of the weight, and write that of the images into `back`."""
        del weight
        out = errors.shape[2]
        rows = errors[0].permute(1, 2, 0).reshape(out, out, len(images), -1)  # [T, T, B, D]
        error = _to_spectrum(rows, self._side)  # [F, 2, B, D]
        spectrum = kept[0].transpose(2, 3)
        self._total = _product(spectrum, error, conjugate=True, onto=self._total)
        if back is not None:
            product = _product(error, self._filters.transpose(2, 3), conjugate=False)
            back.permute(2, 3, 0, 1).copy_(_from_spectrum(product, self._side, self._side))

    def weight_gradient(self) -> Tensor | None:
        """Return the gradient of the weight over all parts."""
        if self._total is None:
            return None
        total, self._total = self._total, None
        return _from_spectrum(total, self._side, self._taps).permute(3, 2, 0, 1)


def _as_one_image(x: Tensor) -> Tensor:
    """Return [H, W, P, Q] as one image of P Q channels, [1, P Q, H, W], channels last."""
    return x.reshape(1, *x.shape[:2], -1).permute(0, 3, 1, 2)


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


class Direct:
    """Torch's own convolution."""

    def __init__(self, weight: Tensor, side: int) -> None:
        self._weight = self._filters(weight.detach())
        self._out = side - weight.shape[2] + 1
        self._total: Tensor | None = None

    def images_at_once(self, images: int, *, pool: bool) -> int:
        """Return how many images a part holds; all without pooling, as the result is as large."""
        return max(1, MAP_VALUES // (len(self._weight) * self._out**2)) if pool else images

    def maps(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the maps [B, D, T, T] of images [B, C, S, S], and tensors to save."""
        maps = functional.conv2d(self._operand(images), self._weight)
        return maps.contiguous(memory_format=torch.channels_last), []

    def arrange(self, errors: Tensor) -> Tensor:
        """Return errors [B, D, T, T] as `maps` lays them out."""
        return errors.contiguous(memory_format=torch.channels_last)

    def add_gradients(
        self,
        images: Tensor,
        weight: Tensor,
        errors: Tensor,
        kept: list[Tensor],
        back: Tensor | None,
    ) -> None:
        """Add to the gradient of the weight, and write that of the images into `back`."""
        del kept
        operand = self._operand(images)
        mask = [back is not None and operand is images, True, False]
        toward_images, gradient, _ = torch.ops.aten.convolution_backward(
            errors, operand, self._filters(weight), None,
            [1, 1], [0, 0], [1, 1], False, [0, 0], 1, mask,
        )  # fmt: skip
        self._total = gradient if self._total is None else self._total.add_(gradient)
        if back is not None:
            if toward_images is None:
                toward_images = functional.conv_transpose2d(errors, weight)
            back.copy_(toward_images)

    def weight_gradient(self) -> Tensor | None:
        """Return the gradient of the weight over all parts."""
        total, self._total = self._total, None
        return total

    def rest(self) -> None:
        """Do nothing: no large tensors are held."""

    def _operand(self, images: Tensor) -> Tensor:
        return images

    def _filters(self, weight: Tensor) -> Tensor:
        return weight


class Patches(Direct):
    """Correlation of one channel, computed on K channels: the image shifted by 0 to K - 1 columns.

    A single channel leaves most of a vector unit idle. Only one direction is unfolded: K copies of
    the image instead of K squared. torch's own convolution does the rest.
    """

    def weight_gradient(self) -> Tensor | None:
        """Return the gradient of the weight over all parts."""
        total = super().weight_gradient()
        return None if total is None else total.permute(0, 3, 2, 1)

    def _operand(self, images: Tensor) -> Tensor:
        """Return [B, K, S, T]: channel k is the image moved k to the left."""
        side = images.shape[2]
        shape = (len(images), self._weight.shape[1], side, self._out)
        view = images.contiguous().as_strided(shape, (side * side, 1, side, 1))
        return view.contiguous(memory_format=torch.channels_last)

    def _filters(self, weight: Tensor) -> Tensor:
        """Return weight [D, 1, K, K] with its columns as channels, [D, K, K, 1]."""
        return weight.permute(0, 3, 2, 1).contiguous()


WAYS: dict[Way, type[Direct] | type[Spectral]] = {
    "direct": Direct,
    "fft": Spectral,
    "patches": Patches,
}
