"""The arithmetic of a network on a device. No other file sets it, for training or evaluation."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from hpsearch.training.config import TrialConfig


def arithmetic(config: TrialConfig, device: torch.device) -> AbstractContextManager[object]:
    """Return the context for encoding in training: bf16 if configured and supported in hardware.

    Weights, the comparison, the loss and every evaluation stay outside it; see `allow_tf32`.
    """
    if config.precision == "bf16" and has_bf16(device.type):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def has_bf16(device_type: str) -> bool:
    """Return whether a device multiplies bf16 in hardware."""
    if device_type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    if device_type == "cuda":  # older cards emulate bf16, slower than float32
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return False


def layout(config: TrialConfig, device: torch.device) -> torch.memory_format:
    """Return the order of a network's values in memory: channels last where it pays.

    A card's tensor cores, which round the factors of products, want channels last. In float32
    cuDNN has its transforms for large filters only with channels first.
    """
    first = device.type != "cpu" and config.precision == "float32"
    return torch.contiguous_format if first else torch.channels_last


def try_algorithms(config: TrialConfig, device: torch.device) -> None:
    """On CUDA, have cuDNN time its algorithms for each new shape, if all steps have one shape.

    Batches of characters differ in size, and each size would be timed. The setting holds for the
    process.
    """
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = config.pairs == "independent"


def allow_tf32(config: TrialConfig, device: torch.device) -> None:
    """On CUDA, round float32 products to TF32 unless the precision is float32.

    Called before training and before evaluation, so that weights score the same in both. Cards
    without TF32 ignore it. The setting holds for the process.
    """
    if device.type == "cuda":
        reduced = config.precision != "float32"
        torch.backends.cuda.matmul.allow_tf32 = reduced
        torch.backends.cudnn.allow_tf32 = reduced


def in_words(config: TrialConfig, device_type: str) -> str:
    """Return the arithmetic that a device really uses: float32, tf32 or bf16."""
    if config.precision == "bf16" and has_bf16(device_type):
        return "bf16"
    return "tf32" if device_type == "cuda" and config.precision != "float32" else "float32"
