"""Choose the device of trials and the number of workers. Imports no torch, for the driver."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Literal

from hpsearch.errors import InputError


def count_cuda_devices() -> int:
    """Return the number of CUDA devices this process may use, 0 without any."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    lines = listed.stdout.splitlines() if listed.returncode == 0 else []
    return sum(line.startswith(b"GPU ") for line in lines)  # names may hold "GPU " too


def choose_device(setting: Literal["auto", "cpu", "cuda"]) -> str:
    """Return "cpu" or "cuda".

    Raises:
        InputError: CUDA is asked for and there is none.
    """
    if setting == "cpu":
        return "cpu"
    if count_cuda_devices():
        return "cuda"
    if setting == "cuda":
        raise InputError("device: cuda: no CUDA device here; use auto or cpu")
    return "cpu"


def count_cores() -> int:
    """Return the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_workers(device: str) -> int:
    """Return one worker per CUDA device, or one per core on the CPU."""
    return max(1, count_cuda_devices()) if device == "cuda" else count_cores()


def device_names() -> list[str]:
    """Return the values that CUDA_VISIBLE_DEVICES may hold, one per device."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        return [name.strip() for name in visible.split(",") if name.strip()]
    return [str(number) for number in range(count_cuda_devices())]
