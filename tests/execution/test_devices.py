"""Which CUDA devices there are, from a made nvidia-smi and what torch is made to say."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import InputError
from hpsearch.execution import devices
from hpsearch.execution.devices import choose_device, count_cuda_devices, find_devices

LAPTOP = "GPU 0: NVIDIA GeForce RTX 3060 Laptop GPU (UUID: GPU-1)"
OTHER = "GPU 1: NVIDIA H200 (UUID: GPU-2)"
PARTS = "  MIG 1g.5gb Device 0: (UUID: MIG-a)\n  MIG 1g.5gb Device 1: (UUID: MIG-b)"
Machine = Callable[..., None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Return what makes a machine: nvidia-smi's list, torch's build and its cards."""

    def make(
        listed: str | None,
        *,
        build: str | None,
        seen: int,
        visible: str | None = None,
        exits: int = 0,
    ) -> None:
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if listed is not None else "")
        program = tmp_path / "nvidia-smi"
        program.write_text(
            f"#!/bin/sh\necho x >> {tmp_path / 'asked'}\n"
            f'case "$1" in -L) echo "{listed}";; *) echo 580.1; echo 580.1;; esac\nexit {exits}\n'
        )
        program.chmod(0o755)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        monkeypatch.setattr(devices, "torch_build", lambda: build)
        told: dict[str, Any] = {"cuda": build, "cudnn": 91002, "cards": ["a card"] * seen}
        monkeypatch.setattr(devices, "ask_torch", lambda: told)
        devices.look_again()

    yield make
    devices.look_again()


@pytest.mark.parametrize(
    ("listed", "seen", "visible", "names"),
    [
        (LAPTOP, 1, None, ("0",)),  # names may hold "GPU " too
        (f"{LAPTOP}\n{OTHER}", 2, None, ("0", "1")),
        (f"{LAPTOP}\n{OTHER}", 1, "1", ("1",)),
        (f"{LAPTOP}\n{OTHER}", 2, "GPU-2, GPU-1", ("GPU-2", "GPU-1")),
        (f"{LAPTOP}\n{OTHER}", 1, "1,-1,0", ("1",)),  # as in CUDA
        (f"{LAPTOP}\n{PARTS}\n{OTHER}", 1, None, ("MIG-a", "MIG-b", "GPU-2")),
        (f"{LAPTOP}\n{PARTS}", 1, "MIG-b", ("MIG-b",)),
        (LAPTOP, 0, "", ()),
        (LAPTOP, 0, "99", ()),
        ("", 0, None, ()),
        (None, 0, None, ()),
    ],
)
def test_devices_by_name(
    machine: Machine, listed: str | None, seen: int, visible: str | None, names: tuple[str, ...]
) -> None:
    machine(listed, build="13.0", seen=seen, visible=visible)
    assert find_devices().names == names
    assert choose_device("auto") == ("cuda" if names else "cpu")


def test_a_torch_for_the_cpu_beside_a_card_says_what_to_install(machine: Machine) -> None:
    machine(LAPTOP, build=None, seen=0)
    assert choose_device("auto") == "cpu"
    with pytest.raises(InputError, match="built for the CPU; pip install torch --index-url"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("visible", "said"), [("99", "CUDA_VISIBLE_DEVICES names no device"), (None, "driver 580.1")]
)
def test_a_card_that_torch_cannot_use_is_explained(
    machine: Machine, visible: str | None, said: str
) -> None:
    machine(LAPTOP, build="13.0", seen=0, visible=visible)
    with pytest.raises(InputError, match=said):
        choose_device("cuda")


def test_an_exported_variable_makes_no_card(machine: Machine) -> None:
    machine(None, build=None, seen=0, visible="0")
    assert choose_device("auto") == "cpu"


def test_the_machine_is_asked_once(machine: Machine, tmp_path: Path) -> None:
    machine(LAPTOP, build="13.0", seen=1)
    for _ in range(3):
        assert count_cuda_devices() == 1
    assert (tmp_path / "asked").read_text().count("x") == 2  # the list, and the driver
    assert find_devices().driver == "580.1"


def test_mps_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="device: mps: not supported; use auto, cpu or cuda"):
        choose_device("mps")  # type: ignore[arg-type]


def test_the_build_of_this_torch_is_read_without_loading_it() -> None:
    import torch

    assert devices.torch_build() == (torch.version.cuda or torch.version.hip)
    assert os.environ.get("CUDA_VISIBLE_DEVICES") or devices.ask_torch()["cuda"] == (
        torch.version.cuda
    )
