"""Detect training that cannot succeed, from measurements after each epoch.

Letters: B probe images, F features that enter the fully connected layer, D its units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
LOOKS, LONG_LOOKS, LONGEST_LOOKS = 3, 5, 10
"""Epochs in a row for which a sign must hold. Saturation needs more: L2 may end it. A loss above
chance needs most: the noise of a few steps explains it too."""
ALL = 0.98
NEAR_CHANCE = 0.01
"""A loss within this share of the loss of guessing counts as equal to it."""
ABOVE_CHANCE, FAR_ABOVE_CHANCE = 1.005, 20.0
"""Multiples of the loss of guessing; the paper's initial weights start at 1.001."""
ROUNDING = 1e-7
"""A smaller spread of the encoding is rounding to float32."""
GROWING = 1.1
"""A spread that grows by a larger factor within `LOOKS` epochs may still become useful."""
NOTHING = 1e-3
"""A layer with a smaller relative change over the whole training counts as unmoved."""


@dataclass(frozen=True)
class Vitals:
    """Measurements of a network's health after an epoch.

    Args:
        loss: Mean training loss over the loss of guessing; 1 is chance.
        saturated: Share of the sigmoid units' inputs beyond 4 or -4; 0 without such units.
        silent: Share of the last convolution's filters that are 0 on every probe image.
        spread: Standard deviation of a unit of the encoding over the probe images, averaged over
            the units.
        moved: Largest relative change of a layer's parameters in the epoch's last step.
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
    """Return the rows of at most 64 images out of `count`, evenly spread."""
    return torch.linspace(0, count - 1, min(count, PROBE_IMAGES)).round().long()


@torch.no_grad()
def measure(network: SiameseNetwork, images: Tensor, loss: float, moved: float) -> Vitals:
    """Measure a network on the probe images.

    Args:
        network: In eval mode.
        images: The probe images, uint8 [B, S, S], or a backbone's features, [B, F].
        loss: Mean training loss of the epoch over the loss of guessing.
        moved: Largest relative change of a layer in the epoch's last step.
    """
    features = network.features(to_input(images))
    codes = network.code(features).float().flatten(1)  # [B, D]
    responses = features.flatten(2) if features.ndim > 2 else features[:, :, None]
    silent = (responses == 0).all(dim=2).all(dim=0).double().mean()
    saturated = 0.0
    if not network.aligned:
        inputs = network.fc(features.flatten(1))  # [B, D]
        saturated = float((inputs.abs() > BEYOND).double().mean())
    return Vitals(
        loss=loss,
        saturated=saturated,
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
    """Return the largest relative change of a layer; infinity if a change is not finite."""
    moves = [
        float((after[name] - values).norm() / values.norm().clamp(min=1e-30))
        for name, values in before.items()
    ]
    return max(moves) if all(math.isfinite(m) for m in moves) else math.inf


def chance_loss(config: TrialConfig) -> float:
    """Return the loss of guessing, nats."""
    return math.log(config.batch_characters if config.loss == "softmax" else 2)


def diagnose(vitals: Sequence[Vitals], config: TrialConfig) -> str | None:
    """Return why training cannot succeed, None while it can.

    A sign must hold for several epochs in a row. With the paper's initial weights a network stays
    at the loss of guessing for many epochs, with most units saturated, and learns later. It never
    has all units saturated, equal encodings of different images, or layers that do not move.

    Args:
        vitals: Measurements of every epoch so far.
        config: The trained configuration.
    """
    for look in (_diverged, _dead, _saturated, _worse_than_guessing):
        cause = look(vitals)
        if cause:
            return cause
    return _stuck(vitals, config)


def _held(
    vitals: Sequence[Vitals], looks: int, sign: Callable[[Vitals], bool]
) -> Sequence[Vitals]:
    """Return the last epochs if a sign holds in all of them, otherwise nothing."""
    last = vitals[-looks:]
    return last if len(last) == looks and all(map(sign, last)) else ()


def _diverged(vitals: Sequence[Vitals]) -> str | None:
    """Detect a finite loss far above guessing that does not fall."""
    last = _held(vitals, LOOKS, lambda v: v.loss > FAR_ABOVE_CHANCE)
    if not last or last[-1].loss < 0.5 * last[0].loss:
        return None
    loss = last[-1].loss
    return f"diverged: the loss is {loss:.3g} times that of guessing{_since(vitals, LOOKS)}"


def _dead(vitals: Sequence[Vitals]) -> str | None:
    """Detect equal encodings of different images, up to rounding: no gradient separates them."""
    last = _held(vitals, LOOKS, lambda v: v.spread < ROUNDING)
    if not last or last[-1].spread > GROWING * last[0].spread:
        return None
    end = vitals[-1]
    if end.saturated >= ALL:
        return (
            f"saturated: {end.saturated:.0%} of the sigmoid units' inputs lie beyond 4 and the "
            f"encoding does not depend on the image{_since(vitals, LOOKS)}"
        )
    filters = f", {end.silent:.0%} of the last filters give 0" if end.silent else ""
    return f"dead: the encoding does not depend on the image{filters}{_since(vitals, LOOKS)}"


def _saturated(vitals: Sequence[Vitals]) -> str | None:
    """Detect that all units are saturated and the loss stays at guessing."""
    at_chance = _held(
        vitals, LONG_LOOKS, lambda v: v.saturated >= ALL and abs(v.loss - 1) < NEAR_CHANCE
    )
    if not at_chance:
        return None
    return (
        f"saturated: {vitals[-1].saturated:.0%} of the sigmoid units' inputs lie beyond 4 and the "
        f"loss is that of guessing{_since(vitals, LONG_LOOKS)}"
    )


def _worse_than_guessing(vitals: Sequence[Vitals]) -> str | None:
    """Detect a mean loss above guessing in every epoch, as a far too high learning rate gives."""
    if not _held(vitals, LONGEST_LOOKS, lambda v: v.loss > ABOVE_CHANCE):
        return None
    return (
        f"diverged: the loss stays above that of guessing, at {vitals[-1].loss:.3g} times it"
        f"{_since(vitals, LONGEST_LOOKS)}"
    )


def _stuck(vitals: Sequence[Vitals], config: TrialConfig) -> str | None:
    """Detect that even at the fastest rate seen no layer would change by 0.1 % in all."""
    pace = max(v.moved for v in vitals)
    if len(vitals) < LOOKS or pace * config.steps_per_epoch * config.max_epochs > NOTHING:
        return None
    return (
        f"stuck: no step moves a layer by more than {pace:.1g} of its size{_since(vitals, LOOKS)}"
    )


def _since(vitals: Sequence[Vitals], looks: int) -> str:
    return f" (epochs {len(vitals) - looks + 1} to {len(vitals)})"
