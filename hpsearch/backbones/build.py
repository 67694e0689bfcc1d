"""Build a backbone's network: what is trained on its features, or the whole of it."""

from __future__ import annotations

import copy
from typing import cast

from torch import Tensor

from hpsearch.backbones import cached
from hpsearch.backbones.models import LiteMaps, Tail, empty_backbone
from hpsearch.backbones.network import BackboneNetwork, channels_of
from hpsearch.backbones.settings import Backbone
from hpsearch.backbones.whitening import Whitening


def head(settings: Backbone, width: int) -> BackboneNetwork:
    """Return what is trained on the features of a backbone.

    Args:
        settings: The backbone.
        width: Directions of the whitening.
    """
    channels = cached.channels(settings)
    return BackboneNetwork(settings, channels, width, tail=fresh_tail(settings))


def fresh_tail(settings: Backbone) -> Tail | None:
    """Return a copy of the part of a backbone that is trained, None where it is frozen."""
    backbone = cached.shared_backbone(settings) if settings.trained else None
    if not isinstance(backbone, LiteMaps):
        return None
    return copy.deepcopy(backbone.tail).requires_grad_()


def trained_on_backbone(
    settings: Backbone, width: int, weights: dict[str, Tensor]
) -> BackboneNetwork:
    """Return a backbone and what was trained on its features.

    Args:
        settings: The backbone.
        width: Directions of the whitening.
        weights: Of the whole; or without those of the backbone, which its package or file has.
    """
    if any(name.startswith("backbone.") for name in weights):
        empty = empty_backbone(settings)
        network = BackboneNetwork(settings, channels_of(empty), width, empty)
        network.load_state_dict(weights)
        return network
    network = head(settings, width)
    network.load_state_dict(weights)
    shared = cached.shared_backbone(settings)  # also the cache's, so it is copied only to change
    tail, projection = network.tail, cast(Whitening, network.projection)
    if tail is None or not isinstance(shared, LiteMaps):
        network.backbone = shared
        return network
    own = copy.deepcopy(shared)
    own.tail.load_state_dict(tail.state_dict())
    network.backbone, projection.tail = own, None
    return network
