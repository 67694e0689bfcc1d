"""Checkpoints: bit for bit, and never lost to damage or to a full disk."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpsearch.errors import EnvironmentFailure
from hpsearch.training.checkpoint import Checkpoint, load, read, save
from hpsearch.training.checkpoint_file import MAGIC, previous
from hpsearch.training.epoch import EpochResult
from tests.support.trainings import as_bytes


def checkpoint(epoch: int = 1) -> Checkpoint:
    """Return a small state with every kind of value that a training has."""
    source = torch.Generator().manual_seed(epoch)
    weight = torch.randn(4, 3, 2, 2, generator=source)
    tensors = {
        "weights.conv1.weight": weight.to(memory_format=torch.channels_last),
        "weights.fc.bias": torch.tensor([math.nan, math.inf, -0.0, 1e-42]),
        "best.conv1.weight": weight + 1,
        "loss_sum": torch.tensor(math.pi * epoch, dtype=torch.float64),
        "generator.distortion": source.get_state()[:40],
    }
    results = [
        EpochResult(1, 0.1 + 0.2, 1 / 3, 1e-9, 64, 10**17),
        EpochResult(2, math.nan, 0.95, 2.5, 128, 2 * 10**17, "diverged: loss nan"),
    ]
    state = {
        "epoch": epoch,
        "finished": False,
        "pairs": np.random.default_rng(epoch).bit_generator.state,
        "curve": [result.to_json() for result in results],
    }
    return Checkpoint(tensors, state)


def assert_equal(found: Checkpoint | None, expected: Checkpoint) -> None:
    assert found is not None
    assert as_bytes(found.tensors) == as_bytes(expected.tensors)
    for name, tensor in expected.tensors.items():
        assert (found.tensors[name].dtype, found.tensors[name].shape) == (
            tensor.dtype,
            tensor.shape,
        )
    assert found.state == expected.state


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trial" / "checkpoint"


@pytest.fixture
def two(path: Path) -> Path:
    """Save epochs 1 and 2."""
    save(checkpoint(1), path)
    save(checkpoint(2), path)
    return path


def test_what_is_saved_is_loaded_bit_for_bit(path: Path) -> None:
    save(checkpoint(), path)
    assert_equal(load(path), checkpoint())


def test_weights_and_best_weights_by_parameter_name(path: Path) -> None:
    save(checkpoint(), path)
    found = load(path)
    assert found is not None
    assert found.weights().keys() == {"conv1.weight", "fc.bias"}
    assert found.best_weights().keys() == {"conv1.weight"}
    torch.testing.assert_close(
        found.best_weights()["conv1.weight"], found.weights()["conv1.weight"] + 1
    )


def test_the_curve_comes_back_also_where_the_loss_is_not_finite(path: Path) -> None:
    save(checkpoint(), path)
    found = load(path)
    assert found is not None
    assert found.curve[0] == checkpoint().curve[0]
    assert found.curve[0].loss == 0.1 + 0.2
    assert math.isnan(found.curve[1].loss)
    assert found.curve[1].diagnosis == "diverged: loss nan"


def test_the_last_but_one_is_kept(two: Path) -> None:
    assert_equal(load(two), checkpoint(2))
    assert_equal(read(previous(two)), checkpoint(1))
    assert sorted(two.parent.iterdir()) == [two, previous(two)]


def test_no_file_is_no_checkpoint(path: Path) -> None:
    assert load(path) is None


def test_a_missing_file_goes_back_to_the_one_before(two: Path) -> None:
    two.unlink()
    assert_equal(load(two), checkpoint(1))


def test_a_changed_byte_anywhere_is_noticed(path: Path) -> None:
    save(checkpoint(), path)
    content = path.read_bytes()
    for position in [*range(200), *range(200, len(content), 7), len(content) - 1]:
        changed = bytearray(content)
        changed[position] ^= 1 << (position % 8)
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"not a checkpoint|checksum"):
            read(path)


def test_a_file_cut_off_anywhere_is_noticed(path: Path) -> None:
    save(checkpoint(), path)
    content = path.read_bytes()
    for length in [*range(100), *range(100, len(content), 11), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"not a checkpoint|checksum"):
            read(path)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "changed": lambda content: content[:-3] + b"?" + content[-2:],
    "cut off": lambda content: content[: len(content) // 2],
    "longer": lambda content: content + b"\0",
    "wrong magic": lambda content: content.replace(MAGIC, b"hpsearch checkpoint !\n"),
    "magic only": lambda content: MAGIC,
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_goes_back_to_the_one_before(
    two: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    two.write_bytes(damage(two.read_bytes()))
    assert_equal(load(two), checkpoint(1))
    assert f"{two}: damaged" in caplog.text
    previous(two).write_bytes(damage(previous(two).read_bytes()))
    assert load(two) is None


def test_a_folder_in_its_place_goes_back_to_the_one_before(two: Path) -> None:
    two.unlink()
    two.mkdir()
    assert_equal(load(two), checkpoint(1))


class Fault:
    """Fails the N-th operation on the disk, once (SQLite's way of testing)."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int) -> None:
        self.left, self.fired = at, False
        for owner, name in (
            (os, "fsync"),
            (os, "fdopen"),
            (os, "open"),
            (Path, "replace"),
            (Path, "mkdir"),
        ):
            patch.setattr(owner, name, self._failing(getattr(owner, name)))

    def _failing(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                self.fired = True
                raise OSError(errno.ENOSPC, "No space left on device")
            return operation(*args, **kwargs)

        return run


def saving_fails(state: Checkpoint, path: Path) -> bool:
    try:
        save(state, path)
    except EnvironmentFailure as error:
        return "cannot be written (No space left on device" in str(error)
    return False


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_failed_write_loses_nothing(tmp_path: Path, before: int) -> None:
    for at in range(1, 50):
        path = tmp_path / str(at) / "checkpoint"
        for epoch in range(1, before + 1):
            save(checkpoint(epoch), path)
        with pytest.MonkeyPatch.context() as patch:
            fault = Fault(patch, at)
            failed = saving_fails(checkpoint(9), path)
        assert failed == fault.fired
        found = load(path)
        if not failed:
            assert_equal(found, checkpoint(9))
            assert at > 5
            return
        epochs = None if found is None else found.state["epoch"]
        assert epochs in ({None, 9} if before == 0 else {before, 9})
        files = {p.name for p in path.parent.glob("*")}
        assert files <= {"checkpoint", "checkpoint.previous"}
        save(checkpoint(10), path)
        assert_equal(load(path), checkpoint(10))
    pytest.fail("no write succeeded")


def test_a_failed_write_over_a_damaged_file_keeps_the_good_one_before(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.write_bytes(b"damaged")
    with monkeypatch.context() as patch:
        Fault(patch, 1)
        with pytest.raises(EnvironmentFailure):
            save(checkpoint(3), two)
    assert_equal(load(two), checkpoint(1))
