"""Choose the device of trials and the number of workers. Imports no torch, for the driver.

nvidia-smi says which cards there are, torch which of them it can use. Each is asked once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hpsearch.errors import InputError
from hpsearch.interpreter import python_command
from hpsearch.wording import count

SMI_S = 10.0
"""Longest wait for nvidia-smi."""
TORCH_S = 60.0
"""Longest wait for torch, which a cold disk loads slowly."""
INSTALL = "pip install torch --index-url https://download.pytorch.org/whl/cu130"


@dataclass(frozen=True)
class Devices:
    """The CUDA devices of this machine.

    Args:
        names: What CUDA_VISIBLE_DEVICES may hold, one for each device that torch can use.
        driver: Version of NVIDIA's driver, None without one.
        torch: What torch says of itself: `cuda`, `cudnn`, the `cards` by name and their `memory`
            in bytes.
        advice: Why torch can use none of the cards that are there, and what to do; None if it can,
            or if there are none.
    """

    names: tuple[str, ...] = ()
    driver: str | None = None
    torch: dict[str, Any] = field(default_factory=dict)
    advice: str | None = None


@cache
def find_devices() -> Devices:
    """Return this machine's CUDA devices; they are looked for once."""
    listed = _smi("-L").splitlines()
    cards = sum(line.startswith("GPU ") for line in listed)  # names may hold "GPU " too
    driver = find_driver() if cards else None
    build = torch_build()
    if build is None:
        return Devices(driver=driver, advice=_built_for_cpu() if cards else None)
    if not cards and not Path("/dev/nvidiactl").exists() and not Path("/dev/kfd").exists():
        return Devices(torch={"cuda": build})
    told = ask_torch()
    seen, visible = len(told.get("cards", ())), visible_devices()
    if not seen:
        hidden = visible is not None
        return Devices(driver=driver, torch=told, advice=_unusable(build, driver, hidden, cards))
    names = visible[:seen] if visible else _mig_names(listed) or _numbers(seen)
    return Devices(tuple(names), driver, told)


@cache
def find_driver() -> str | None:
    """Return the version of NVIDIA's driver, None where nvidia-smi does not say."""
    told = _smi("--query-gpu=driver_version", "--format=csv,noheader")
    return next(iter(told.split()), None)


def look_again() -> None:
    """Forget the devices found."""
    find_devices.cache_clear()
    find_driver.cache_clear()


def in_words() -> str:
    """Return the devices, the driver and what torch is built for, in one line."""
    found = find_devices()
    told = found.torch
    cards = ", ".join(dict.fromkeys(told.get("cards", ())))
    parts = [count(len(found.names), "CUDA device") + (f" ({cards})" if cards else "")]
    if found.driver:
        parts.append(f"driver {found.driver}")
    if told.get("cuda"):
        parts.append(f"torch for CUDA {told['cuda']}, cuDNN {told.get('cudnn') or 'none'}")
    elif torch_build() is None:
        parts.append("torch for the CPU")
    parts.append(count(count_cores(), "core"))
    return ", ".join(parts) + (f"; {found.advice}" if found.advice else "")


def visible_devices() -> list[str] | None:
    """Return the devices that CUDA_VISIBLE_DEVICES names, None where it is not set.

    As in CUDA, a name that is empty or -1 hides itself and all that follow.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return None
    names: list[str] = []
    for name in given.split(","):
        if name.strip() in ("", "-1"):
            break
        names.append(name.strip())
    return names


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def _mig_names(listed: list[str]) -> list[str]:
    """Return a name for each part of each card where one is divided (MIG), else nothing.

    Without CUDA_VISIBLE_DEVICES torch sees only the first part.
    """
    names: list[str] = []
    parts: list[str] = []
    for line in reversed(listed):
        if part := re.search(r"\(UUID: (MIG-[^)]+)\)", line):
            parts.append(part[1])
        elif card := re.match(r"GPU \d+: .*\(UUID: (GPU-[^)]+)\)", line):
            names += parts or [card[1]]
            parts = []
    return names[::-1] if any(name.startswith("MIG-") for name in names) else []


def _smi(*arguments: str) -> str:
    """Return what nvidia-smi prints; empty where it is missing, fails or hangs."""
    program = shutil.which("nvidia-smi")
    return _printed([program, *arguments], SMI_S) if program else ""


def _printed(command: list[str], limit_s: float) -> str:
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit_s, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""


def torch_build() -> str | None:
    """Return the CUDA or ROCm version that torch is built for, None for the CPU only."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return None
    try:
        text = (Path(found.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    built = re.search(r"^(?:cuda|hip)\b[^=\n]*= *['\"]([^'\"]+)", text, re.MULTILINE)
    return built[1] if built else None


def ask_torch() -> dict[str, Any]:
    """Return what torch says about itself and its cards; nothing where it fails."""
    lines = _printed(python_command("hpsearch.execution.ask_torch"), TORCH_S).splitlines()
    try:
        told = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _built_for_cpu() -> str:
    return f"there is an NVIDIA card, but this torch is built for the CPU; {INSTALL}"


def _unusable(build: str, driver: str | None, hidden: bool, cards: int) -> str | None:
    if hidden:
        return "CUDA_VISIBLE_DEVICES names no device that torch can use; correct or unset it"
    if not cards:
        return None
    return (
        f"there is an NVIDIA card, but torch for CUDA {build} cannot use it with driver {driver}; "
        "install a newer driver, or torch for an older CUDA"
    )


def count_cuda_devices() -> int:
    """Return the number of CUDA devices that trials may use, 0 without any."""
    return len(device_names())


def choose_device(setting: str) -> str:
    """Return "cpu" or "cuda".

    Raises:
        InputError: CUDA is asked for and there is none, or the setting is no device.
    """
    if setting not in ("auto", "cpu", "cuda"):
        raise InputError(f"device: {setting}: not supported; use auto, cpu or cuda")
    if setting == "cpu":
        return "cpu"
    if count_cuda_devices():
        return "cuda"
    if setting == "cuda":
        if advice := find_devices().advice:
            raise InputError(f"device: cuda: {advice}")
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


def device_names() -> tuple[str, ...]:
    """Return the values that CUDA_VISIBLE_DEVICES may hold, one per device."""
    return find_devices().names
