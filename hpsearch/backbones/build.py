"""Build a backbone's network: what is trained on its features, or the whole of it."""

from __future__ import annotations

from torch import Tensor

from hpsearch.backbones import cached
from hpsearch.backbones.models import empty_backbone
from hpsearch.backbones.network import BackboneNetwork, channels_of
from hpsearch.backbones.settings import Backbone


def head(settings: Backbone, width: int) -> BackboneNetwork:
    """Return what is trained on the features of a backbone.

    Args:
        settings: The backbone.
        width: Directions of the whitening.
    """
    return BackboneNetwork(settings, cached.channels(settings), width)


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
    network.backbone = cached.shared_backbone(settings)  # also the cache's, so it is not copied
    return network
