"""The arithmetic in which a network encodes on a device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from hpsearch.training.config import TrialConfig


def arithmetic(config: TrialConfig, device: torch.device) -> AbstractContextManager[object]:
    """Return the context for encoding in training: bf16 if configured and supported in hardware.

    Weights, the comparison, the loss and every evaluation stay float32.
    """
    if config.precision == "bf16" and has_bf16(device.type):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def has_bf16(device_type: str) -> bool:
    """Return whether a device multiplies bf16 in hardware."""
    if device_type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return device_type == "cuda"


def allow_tf32(config: TrialConfig, device: torch.device) -> None:
    """On CUDA, allow TF32 for the remaining float32 operations if the precision is bf16."""
    if device.type == "cuda":
        reduced = config.precision == "bf16"
        torch.backends.cuda.matmul.allow_tf32 = reduced
        torch.backends.cudnn.allow_tf32 = reduced
