"""Build the network of a configuration, untrained or trained."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from hpsearch.backbones.build import fresh_tail, head, trained_on_backbone
from hpsearch.errors import InputError, shortened
from hpsearch.network.averaging import AveragingNetwork
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.network.views import views
from hpsearch.shipped_files import SHIPPED_MODEL
from hpsearch.training.config import TrialConfig
from hpsearch.training.precision import allow_tf32


def empty_network(config: TrialConfig, device: str = "cpu") -> SiameseNetwork:
    """Return the network of a configuration, its parameters uninitialised.

    With a backbone, what is trained on its features.
    """
    if config.backbone is not None:
        return head(config.backbone, config.layers.width).to(device)
    return SiameseNetwork(
        config.shape(), **_settings(config), convolution=config.convolution, device=device
    )


def trained_network(
    config: TrialConfig,
    weights: dict[str, Tensor],
    device: str = "cpu",
    *,
    convolution: Literal["auto", "direct"] = "direct",
) -> SiameseNetwork:
    """Return a trained network in eval mode, averaging over views as configured.

    Weights without those of the backbone get them from its package or file.
    """
    allow_tf32(config, torch.device(device))
    if config.backbone is not None:
        whole = trained_on_backbone(config.backbone, config.layers.width, weights)
        return whole.eval().to(device)
    settings, wanted = _settings(config), config.test_time_averaging
    network = SiameseNetwork(config.shape(), **settings, convolution=convolution)
    if wanted != "none":
        seen = views(quarter_turns=True, mirror_images=wanted == "turns_and_mirrors")
        network = AveragingNetwork(config.shape(), **settings, convolution=convolution, views=seen)
    network.load_state_dict(weights)
    if network.aligned and device == "cpu":  # padded convolutions take half the time
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().to(device)


def load_start(network: SiameseNetwork, config: TrialConfig) -> None:
    """Give an initialised network the weights that its configuration starts from.

    Raises:
        InputError: The shipped weights are missing, or belong to other layers.
    """
    tail = fresh_tail(config.backbone) if config.backbone is not None else None
    if tail is not None:
        network.get_submodule("projection.tail").load_state_dict(tail.state_dict())
    if config.start == "untrained":
        return
    from safetensors.torch import load_file

    path = SHIPPED_MODEL / "weights.safetensors"
    try:
        network.load_state_dict(load_file(path))
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"trial.start: shipped: the layers are not those of the shipped model "
            f"({shortened(error, 120)}); take them from studies/own.yaml, or set start: untrained"
        ) from error


def _settings(config: TrialConfig) -> dict[str, Any]:
    output = config.layers.output
    return {"output_bias": bool(output.bias), "reach": output.reach or 0}
