"""Build the network of a configuration, and average its scores over views of the images.

Letters: M images, V views, A and B images compared.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from hpsearch.errors import InputError, shortened
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.network.views import View, views
from hpsearch.shipped_files import SHIPPED_MODEL
from hpsearch.training.config import TrialConfig
from hpsearch.training.precision import allow_tf32


class AveragingNetwork(SiameseNetwork):
    """A network whose score is the mean over views of both images, each pair seen alike.

    Its encodings have one more dimension: [M, V, ...].
    """

    def __init__(self, *arguments: Any, views: tuple[View, ...], **settings: Any) -> None:
        """Take what `SiameseNetwork` takes, and the views."""
        super().__init__(*arguments, **settings)
        self.views = views

    def encode(self, images: Tensor) -> Tensor:
        """Return the encodings of every view, [M, V, ...]."""
        encode = super().encode
        return torch.stack([encode(view.of(images)) for view in self.views], dim=1)

    def score(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the mean over views of the logits of "same", [...] for [..., V, D]."""
        score = super().score
        place = -3 if self.aligned else -2  # before the code's own dimensions
        pairs = zip(first.unbind(place), second.unbind(place), strict=True)
        return torch.stack([score(one, two) for one, two in pairs]).mean(0)

    def score_matrix(self, queries: Tensor, supports: Tensor) -> Tensor:
        """Return the mean over views of the logits [A, B] of all pairs."""
        compare = super().score_matrix
        own, others = queries.unbind(1), supports.unbind(1)
        pairs = zip(own, own if queries is supports else others, strict=True)
        return torch.stack([compare(q, s) for q, s in pairs]).mean(0)


def empty_network(config: TrialConfig, device: str = "cpu") -> SiameseNetwork:
    """Return the network of a configuration, its parameters uninitialised."""
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
    """Return a trained network in eval mode, averaging over views as configured."""
    allow_tf32(config, torch.device(device))
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
