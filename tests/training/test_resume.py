"""Training that is stopped anywhere and goes on gives every bit of training that was not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
import torch

from hpsearch.network import convolution
from hpsearch.network.convolution_cost import Way
from hpsearch.training.checkpoint import Checkpoint, load, save
from hpsearch.training.loop import Interrupted, train
from hpsearch.training.trainingdata import TrainingData
from tests.support.trainings import assert_same_training, last_checkpoint, tiny_config

STEPS = 5 * 4

WAYS = {
    "independent": {"pairs": "independent"},
    "batch": {"pairs": "batch"},
    "koch": {"init": "koch", "layers": {"output": {"bias": True}}, "decay_biases": True},
}


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"each": {"learning_rate": 0.2}, **request.param}


def after(steps: int) -> Iterator[bool]:
    """Ask for an interruption after so many steps."""
    return iter(n >= steps for n in count())


def through_file(checkpoint: Checkpoint, folder: Path) -> Checkpoint:
    save(checkpoint, folder / "checkpoint")
    loaded = load(folder / "checkpoint")
    assert loaded is not None
    return loaded


def test_stopped_after_any_epoch(
    data: TrainingData, settings: dict[str, Any], tmp_path: Path
) -> None:
    config = tiny_config(**settings)
    whole = last_checkpoint(train(config, data, seed=1))
    for epochs in range(1, 5):
        first = list(islice(train(config, data, seed=1), epochs))
        resume = through_file(first[-1].checkpoint(), tmp_path)
        assert_same_training(last_checkpoint(train(config, data, seed=1, resume=resume)), whole)


def test_stopped_while_convolving_by_spectra_and_patches(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = set()

    def other_ways(images: int, channels: int, *_: int) -> Way:
        way: Way = "patches" if channels == 1 else "fft"
        used.add(way)
        return way

    monkeypatch.setattr(convolution, "choose_way", other_ways)
    config = tiny_config()
    whole = last_checkpoint(train(config, data, seed=1))
    with pytest.raises(Interrupted) as stop:
        list(train(config, data, seed=1, interrupt=after(7).__next__))
    resume = through_file(stop.value.checkpoint, tmp_path)
    assert_same_training(last_checkpoint(train(config, data, seed=1, resume=resume)), whole)
    assert used == {"patches", "fft"}


def test_interrupted_before_any_step(
    data: TrainingData, settings: dict[str, Any], tmp_path: Path
) -> None:
    config = tiny_config(**settings)
    whole = last_checkpoint(train(config, data, seed=1))
    for steps in range(STEPS):
        with pytest.raises(Interrupted) as stop:
            list(train(config, data, seed=1, interrupt=after(steps).__next__))
        resume = through_file(stop.value.checkpoint, tmp_path)
        assert (resume.state["epoch"], resume.state["step"]) == divmod(steps, 4)
        assert_same_training(last_checkpoint(train(config, data, seed=1, resume=resume)), whole)


def test_interrupted_again_and_again(data: TrainingData, tmp_path: Path) -> None:
    config = tiny_config()
    whole = last_checkpoint(train(config, data, seed=1))
    last: Checkpoint | None = None
    for _ in range(STEPS):
        try:
            for epoch in train(config, data, seed=1, resume=last, interrupt=after(1).__next__):
                last = epoch.checkpoint()
        except Interrupted as stop:
            last = through_file(stop.checkpoint, tmp_path)
    assert last is not None
    assert_same_training(last, whole)


def test_time_goes_on_from_the_checkpoint(data: TrainingData) -> None:
    config = tiny_config()
    first = next(train(config, data, seed=1)).checkpoint()
    first.state["seconds"] = 1000.0
    curve = last_checkpoint(train(config, data, seed=1, resume=first)).curve
    assert curve[1].seconds > 1000


def test_a_checkpoint_stays_as_it_was_when_training_goes_on(data: TrainingData) -> None:
    epochs = train(tiny_config(), data, seed=1)
    state = next(epochs).checkpoint()
    again = next(train(tiny_config(), data, seed=1)).checkpoint()
    next(epochs)
    assert_same_training(state, again)


def test_nothing_is_left_to_do_after_the_end(data: TrainingData) -> None:
    whole = last_checkpoint(train(tiny_config(), data, seed=1))
    assert whole.finished
    assert list(train(tiny_config(), data, seed=1, resume=whole)) == []


def test_a_diagnosed_training_does_not_go_on(data: TrainingData, tmp_path: Path) -> None:
    config = tiny_config({"learning_rate": 1e6, "l2": 1}, max_epochs=50)
    ended = through_file(last_checkpoint(train(config, data, seed=1)), tmp_path)
    assert ended.curve[-1].diagnosis is not None
    assert list(train(config, data, seed=1, resume=ended)) == []


@pytest.mark.parametrize(
    "other", [{"layers": {"fc": {"width": 13}}}, {"max_epochs": 6}, {"drawers": 11}], ids=str
)
def test_a_checkpoint_of_another_configuration_is_refused(
    data: TrainingData, other: dict[str, Any]
) -> None:
    first = next(train(tiny_config(), data, seed=1)).checkpoint()
    with pytest.raises(ValueError, match="belongs to another configuration"):
        next(train(tiny_config(**other), data, seed=1, resume=first))


CUDA_STATES = [bytes([5, 0, 0, 0, 0, 0, 0, 0, at, 0, 0, 0, 0, 0, 0, 0]) for at in (4, 8)]
"""What torch.cuda's generator with seed 5 returned from get_state after one and two draws."""


def test_a_checkpoint_with_a_cuda_generator_goes_on(data: TrainingData) -> None:
    config = tiny_config()
    (first,) = islice(train(config, data, seed=1), 1)

    def goes_on(state: bytes) -> Checkpoint:
        resume = first.checkpoint()
        resume.tensors["generator.distortion"] = torch.tensor(list(state), dtype=torch.uint8)
        return last_checkpoint(train(config, data, seed=1, resume=resume))

    one, again, other = map(goes_on, (CUDA_STATES[0], *CUDA_STATES))
    assert len(one.curve) == len(last_checkpoint(train(config, data, seed=1)).curve)
    assert_same_training(again, one)
    assert other.curve[-1].loss != one.curve[-1].loss
