"""Whether training can still lead anywhere: vital signs after each epoch, and what they mean.

Letters: B probe images, F features that enter the fully connected layer, D its units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from hpsearch.network.siamese import SiameseNetwork
from hpsearch.training.config import TrialConfig
from hpsearch.training.evaluation import to_input

PROBE_IMAGES = 64
BEYOND = 4.0
"""A sigmoid unit whose input lies beyond it is saturated: its slope is below 0.018."""


@dataclass(frozen=True)
class Vitals:
    """What an epoch leaves to see of a network's health.

    Args:
        loss: Mean training loss over that of guessing; 1 is chance.
        saturated: Share of the fully connected layer's inputs beyond 4 or -4.
        silent: Share of the last convolution's filters that give 0 on every probe image.
        spread: How much the encoding depends on the image: the standard deviation of a unit
            over the probe images, averaged over the units.
        moved: Largest change of a layer's parameters in the epoch's last step, as a share of
            their size.
    """

    loss: float
    saturated: float
    silent: float
    spread: float
    moved: float

    def to_json(self) -> dict[str, float]:
        """Return what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Vitals:
        """Read what `to_json` wrote."""
        return cls(**values)


def probe_rows(count: int) -> Tensor:
    """Return the rows of at most 64 of so many images, evenly spread."""
    return torch.linspace(0, count - 1, min(count, PROBE_IMAGES)).round().long()


@torch.no_grad()
def measure(
    network: SiameseNetwork, images: Tensor, loss: float, moved: float
) -> Vitals:
    """Look at a network on the probe images.

    Args:
        network: In eval mode.
        images: The probe images, uint8 [B, S, S].
        loss: Mean training loss of the epoch over that of guessing.
        moved: Largest relative change of a layer in the epoch's last step.
    """
    seen: dict[str, Tensor] = {}

    def keep(_: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen["features"], seen["input"] = inputs[0], output  # [B, F], [B, D]

    handle = network.fc.register_forward_hook(keep)
    try:
        codes = network.encode(to_input(images)).float()  # [B, D]
    finally:
        handle.remove()
    filters = network.shape.convolutions[-1].filter_count if network.shape.convolutions else 1
    responses = seen["features"].reshape(len(images), filters, -1)
    silent = (responses == 0).all(dim=2).all(dim=0).double().mean()
    return Vitals(
        loss=loss,
        saturated=float((seen["input"].abs() > BEYOND).double().mean()),
        silent=float(silent),
        spread=float(codes.double().std(dim=0).mean()),
        moved=moved,
    )


def layer_values(network: SiameseNetwork) -> dict[str, Tensor]:
    """Return a copy of every layer's parameters, flattened."""
    parts: dict[str, list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        parts.setdefault(name.split(".")[0], []).append(parameter.detach().reshape(-1))
    return {name: torch.cat(values) for name, values in parts.items()}


def largest_move(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> float:
    """Return the largest relative change of a layer; infinite where it cannot be told."""
    moves = [
        float((after[name] - values).norm() / values.norm().clamp(min=1e-30))
        for name, values in before.items()
    ]
    return max(moves) if all(math.isfinite(m) for m in moves) else math.inf


def chance_loss(config: TrialConfig) -> float:
    """Return the loss of a network that tells nothing apart, nats."""
    return math.log(config.batch_characters if config.loss == "softmax" else 2)


def diagnose(vitals: Sequence[Vitals], config: TrialConfig) -> str | None:
    return None
