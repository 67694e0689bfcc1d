"""A backbone whose maps are whitened and compared. Knows no data.

Letters: B pictures, S side, M maps, C channels, G places along a side, P places of a code,
D numbers of a place, K directions, F all averages of a picture.
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hpsearch.backbones.models import LiteMaps, Maps, Tail
from hpsearch.backbones.settings import GRIDS, LARGEST, MULTIPLE, TOP_MAPS, Backbone
from hpsearch.backbones.whitening import Whitening, fit
from hpsearch.network.geometry import NetworkShape
from hpsearch.network.siamese import Alignment, SiameseNetwork

Rows = NDArray[np.int64]
AT_ONCE = 256
"""Pictures whose codes are computed at once."""


class BackboneNetwork(SiameseNetwork):
    """Twin backbones with tied, given weights; the whitening and the comparison are learned.

    What is encoded are pictures, or their features: the averages of the backbone's maps, which
    `averages` gives. Training and validation work on features alone.

    Args:
        settings: The backbone's settings.
        channels: Channels of the backbone's last maps, the last one first.
        width: Directions of the whitening.
        backbone: The backbone; None encodes features only.
        tail: Its last stage and head where they are trained. Features are then what these are
            given, as `given_to_tail` says.
    """

    def __init__(
        self,
        settings: Backbone,
        channels: tuple[int, ...],
        width: int,
        backbone: Maps | None = None,
        tail: Tail | None = None,
    ) -> None:
        nn.Module.__init__(self)
        self.settings, self.channels = settings, channels
        self.aligned, self.convolution, self.reach = True, "direct", settings.reach
        inputs = sum(channels[k] for k in settings.chosen)
        if settings.match == "whole":
            inputs *= sum(grid**2 for grid in settings.grids)
        self.shape = NetworkShape(settings.places, (), width, comparison="aligned", inputs=inputs)
        self.projection = Whitening(inputs, width, settings.places**2, tail)
        self.output = Alignment("cpu")
        self.backbone = backbone

    def blank(self, count: int) -> Tensor:
        """Return features that are all alike, to time a step on; [count, F]."""
        each = sum(grid**2 for grid in range(1, GRIDS + 1))
        size = sum(self.channels) * each
        if self.tail is not None:
            size = self.channels[2] * self._side**2 + self.channels[3] * each
        return torch.full((count, size), 0.5, device=self.device)

    @property
    def tail(self) -> Tail | None:
        """The part of the backbone that is trained."""
        return cast(Whitening, self.projection).tail  # type: ignore[return-value]

    @property
    def _side(self) -> int:
        """Side of the map that the tail is given."""
        return self.settings.size // MULTIPLE

    def features(self, images: Tensor) -> Tensor:
        """Return the averages of the maps, [B, F].

        Args:
            images: Pictures within [0, 1], [B, 3, S, S] or [B, 1, S, S]; or features, [B, F].
        """
        if images.ndim == 2:
            return images if self.tail is None else self._through(images, self.tail)
        if self.backbone is None:
            raise ValueError("this network encodes features only")
        pictures = images.expand(-1, 3, -1, -1)
        return averages(self.backbone, pictures, self.settings.size)

    def _through(self, given: Tensor, tail: Tail) -> Tensor:
        """Return the averages of the maps, [B, F], of what the tail is given."""
        size = self.channels[2] * self._side**2
        third = given[:, :size].view(-1, self.channels[2], self._side, self._side)
        return torch.cat([pooled(one) for one in (*tail(third), third)] + [given[:, size:]], 1)

    def code(self, features: Tensor) -> Tensor:
        """Return what is compared, [B, P, D], each with Euclidean norm 1 as a whole."""
        codes = cast(Whitening, self.projection)(self.chosen(features))
        return functional.normalize(codes.flatten(1), dim=1).view_as(codes)

    def chosen(self, features: Tensor) -> Tensor:
        """Return the configured maps and grids of features [B, F], [B, P, D].

        Each map has the norm 1 on each grid, so that none outweighs the others.
        """
        maps: dict[tuple[int, int], Tensor] = {}
        start = 0
        for number, channels in enumerate(self.channels):
            for grid in range(1, GRIDS + 1):
                size = channels * grid**2
                maps[number, grid] = features[:, start : start + size].view(-1, channels, grid**2)
                start += size
        settings = self.settings
        parts = []
        for number in settings.chosen:
            for grid in settings.grids:
                part = maps[number, grid]
                flat = functional.normalize(part.flatten(1), dim=1)
                place = (
                    flat[:, None]
                    if settings.match == "whole"
                    else flat.view_as(part).transpose(1, 2)  # ONNX knows no .mT
                )
                parts.append(place)
        return torch.cat(parts, dim=2)


@torch.no_grad()
def whiten(network: BackboneNetwork, features: Tensor, known: tuple[Rows, Rows]) -> None:
    """Whiten by the pictures to train on.

    Args:
        network: Its whitening is set.
        features: Of all pictures, [N, F].
        known: Rows of `features`, and the class of each.
    """
    rows, classes = (torch.from_numpy(part).to(features.device) for part in known)
    settings = network.settings
    fit(
        cast(Whitening, network.projection),
        torch.cat(
            [
                network.chosen(network.features(features[some].float()))
                for some in torch.split(rows, AT_ONCE)
            ]
        ),
        classes,
        centring=settings.centring,
        shrinkage=settings.shrinkage,
    )


def averages(backbone: Maps, pictures: Tensor, size: int) -> Tensor:
    """Return the averages of a backbone's last maps over grids of 1, 2 and 3 places, [B, F].

    Args:
        backbone: The backbone.
        pictures: Red, green and blue within [0, 1], [B, 3, S, S].
        size: Side that the backbone is shown, pixels.
    """
    return torch.cat([pooled(one) for one in backbone(_resized(pictures, size))], dim=1)


def given_to_tail(backbone: LiteMaps, pictures: Tensor, size: int) -> Tensor:
    """Return what a backbone's last stage is given, and the averages of the map before it, [B, F].

    Args:
        backbone: The backbone.
        pictures: Red, green and blue within [0, 1], [B, 3, S, S].
        size: Side that the backbone is shown, pixels.
    """
    third, fourth = backbone.lower(backbone.normalised(_resized(pictures, size)))
    return torch.cat([third.flatten(1), pooled(fourth)], dim=1)


def pooled(one: Tensor) -> Tensor:
    """Return the averages of a map [B, C, T, T] over grids of 1, 2 and 3 places."""
    parts = []
    for grid in range(1, GRIDS + 1):
        pool = _pooling(one.shape[-1], grid).to(one)
        parts.append((pool @ one @ pool.T).flatten(1))
    return torch.cat(parts, dim=1)


def _resized(pictures: Tensor, size: int) -> Tensor:
    resize = _resizing(pictures.shape[-1], size).to(pictures)
    shown = resize @ pictures @ resize.T
    if shown.device.type == "cpu":
        shown = shown.contiguous(memory_format=torch.channels_last)
    return shown


@lru_cache(maxsize=16)
@torch.inference_mode(mode=False)
def _resizing(side: int, size: int) -> Tensor:
    """Return the weights that bring a side to a size, [size, side]: bilinear, or area averages."""
    if size < side:
        return _pooling(side, size)
    eye = torch.eye(side)[None]
    wide: Tensor = functional.interpolate(eye, size, mode="linear", align_corners=False)
    return wide[0].T.contiguous()


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def _pooling(side: int, places: int) -> Tensor:
    """Return the share of each old pixel in each new one, [places, side]; rows sum to 1."""
    new = torch.arange(places)[:, None] * side
    old = torch.arange(side)[None] * places
    overlap = torch.minimum(new + side, old + places) - torch.maximum(new, old)
    return overlap.clamp(min=0).float() / side


def channels_of(backbone: Maps) -> tuple[int, ...]:
    """Return the channels of a backbone's last maps, the last one first."""
    shown = torch.zeros(1, 3, LARGEST, LARGEST)
    with torch.no_grad():
        return tuple(int(one.shape[1]) for one in backbone(shown))[:TOP_MAPS]
