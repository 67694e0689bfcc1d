"""Networks that train in milliseconds, and what two trainings are compared by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from hpsearch.training.checkpoint import Checkpoint
from hpsearch.training.config import TrialConfig
from hpsearch.training.epoch import EpochResult
from hpsearch.training.loop import Epoch

LAYERS = ("conv1", "conv2", "fc", "output")


def tiny_config(each: Mapping[str, Any] | None = None, **settings: Any) -> TrialConfig:
    """Return a configuration at 20 x 20: 4 steps an epoch, 5 epochs.

    Args:
        each: Settings of every layer.
        settings: Any setting of a trial; `layers` adds to the layers' settings.
    """
    layers: dict[str, dict[str, Any]] = {
        "conv1": {"filter_size": 5, "filter_count": 4},
        "conv2": {"filter_size": 3, "filter_count": 6, "pool": False},
        "fc": {"width": 12},
        "output": {},
    }
    for name, own in settings.pop("layers", {}).items():
        layers[name] |= own
    values = {
        "input_size": 20,
        "layers": {name: {**(each or {}), **layer} for name, layer in layers.items()},
        "init": "he",
        "batch_pairs": 8,
        "batch_characters": 8,
        "batch_drawings": 2,
        "images_per_epoch": 64,
        "max_epochs": 5,
        **settings,
    }
    return TrialConfig.from_values(values)


def timeless(curve: list[EpochResult]) -> list[EpochResult]:
    """Return a curve without its seconds."""
    return [replace(result, seconds=0.0) for result in curve]


def last_checkpoint(epochs: Iterator[Epoch]) -> Checkpoint:
    """Train to the end."""
    checkpoint = None
    for epoch in epochs:
        checkpoint = epoch.checkpoint()
    assert checkpoint is not None
    return checkpoint


def as_bytes(tensors: Mapping[str, Tensor]) -> dict[str, bytes]:
    """Return tensors' values bit for bit."""
    return {name: tensor.contiguous().numpy().tobytes() for name, tensor in tensors.items()}


def assert_same_training(one: Checkpoint, other: Checkpoint) -> None:
    """Compare everything but the time, bit for bit."""
    assert timeless(one.curve) == timeless(other.curve)
    assert as_bytes(one.tensors) == as_bytes(other.tensors)
    for key in one.state.keys() - {"seconds", "curve"}:
        assert one.state[key] == other.state[key], key
