"""What the bench compares: levels, work, drawn shapes, and the two towers' own distortion."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import convolution, trials
from benchmarks.convolution import (
    PAPER_COUNTS,
    PAPER_FILTERS,
    Shape,
    add_choices,
    paper_shapes,
    summarise_choices,
)
from benchmarks.fit_convolution import TABLE, fit, seconds
from benchmarks.step import Stopwatch, paper_config, profile_steps, work_per_image
from benchmarks.timing import interleaved_medians
from benchmarks.two_tower import Pairs, pixel_transform, train_two_towers
from hpsearch.data import Dataset
from hpsearch.data.pack import pack
from hpsearch.network.convolution_cost import COSTS
from hpsearch.sources import glyphs
from hpsearch.training.config import Distortion
from hpsearch.training.distortion import affine
from hpsearch.training.epoch import EpochResult
from hpsearch.training.trainingdata import TrainingData
from tests.support.trainings import tiny_config

CHOICES = Path("benchmarks/tables/convolution_choices.jsonl")


def result(epoch: int, error: float, diagnosis: str | None = None) -> EpochResult:
    return EpochResult(epoch, 0.5, error, 10.0 * epoch, 100 * epoch, 1, diagnosis)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return glyphs of four background alphabets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glyphs, "_ALPHABETS", {"background": 4, "validation": 2, "test": 1})
        contents = glyphs.draw_glyphs()
    return pack(contents, tmp_path_factory.mktemp("packed"))


def test_an_arm_ends_at_the_level_the_limit_or_a_diagnosis() -> None:
    errors = [0.9, 0.6, 0.25, 0.2]
    closed = []

    def epochs(diagnosed: int = 0) -> Iterator[EpochResult]:
        try:
            for epoch, error in enumerate(errors, start=1):
                yield result(epoch, error, "diverged" if epoch == diagnosed else None)
        finally:
            closed.append(True)

    def ended(*limits: float, diagnosed: int = 0) -> int:
        return len(list(trials.until(epochs(diagnosed), *limits)))

    assert ended(1000, 0.75) == 3
    assert ended(20, 0.75) == 2
    assert ended(5, 0.75) == 1  # something to show
    assert ended(1000, 1.0) == 4
    assert ended(1000, 1.0, diagnosed=2) == 2
    assert len(closed) == 5


def test_a_level_is_taken_at_the_first_epoch_that_reached_it() -> None:
    config = trials.reference("batch")
    curve = tuple(result(e, error) for e, error in enumerate((0.6, 0.5, 0.55, 0.3), start=1))
    arms = [trials.Arm("batch", config, curve), trials.Arm("softmax", config, curve[:1])]
    table = trials.by_level(arms, lambda r: r.seconds)
    assert list(table) == ["0.5", "0.6", "0.7", "0.75"]
    assert table["0.5"] == {"batch": 20.0, "softmax": None}
    assert table["0.7"] == {"batch": 40.0, "softmax": None}
    assert table["0.75"] == {"batch": None, "softmax": None}


def test_pairs_count_once_each() -> None:
    curve = (result(1, 0.5),)  # 10 images a second
    pairs = {n: trials.Arm(n, trials.reference(n), curve).pairs_per_s for n in trials.LIMITS_S}
    assert pairs == {
        "two_tower": 5,
        "independent": 5,
        "batch": 10 * 63 / 2,
        "softmax": 10 * 63 / 2,
    }


def test_arms_differ_in_their_pairs_only_and_the_softmax_in_its_rate() -> None:
    plain = {name: trials.reference(name).plain() for name in trials.LIMITS_S}
    assert plain["two_tower"] == plain["independent"]
    keys = [k for k, v in plain["batch"].items() if v != plain["independent"][k]]
    assert keys == ["pairs"]
    softmax = plain["softmax"]
    for name, layer in softmax["layers"].items():
        layer["learning_rate"] = plain["batch"]["layers"][name]["learning_rate"]
    assert [k for k, v in softmax.items() if v != plain["batch"][k]] == ["loss"]


def test_work_of_the_papers_network_counts_no_gradient_of_the_image() -> None:
    maps = (96**2 * 64 * 100, 42**2 * 128 * 64 * 49, 18**2 * 128 * 128 * 16, 36 * 256 * 128 * 16)
    forward = sum(maps) + 9216 * 4096
    assert work_per_image(paper_config()) == 2 * (3 * forward - maps[0])


def test_drawn_shapes_are_layers_of_the_papers_box() -> None:
    shapes = paper_shapes(200)
    assert shapes == paper_shapes(200)
    assert shapes != paper_shapes(200, seed=1)
    assert all(s.taps in PAPER_FILTERS and s.filters in PAPER_COUNTS for s in shapes)
    assert all(s.taps <= s.side for s in shapes)
    assert {s.side for s in shapes if s.first} == {35, 52, 105}
    assert 0.2 < sum(s.first for s in shapes) / len(shapes) < 0.7


def test_losses_of_choices_are_counted_and_the_worst_is_named() -> None:
    rows = [
        {"shape": name, "way": way, "times_faster": gain}
        for name, way, gain in (("a", "direct", 1.0), ("b", "fft", 0.95), ("c", "fft", 0.8))
    ]
    summary = summarise_choices(rows)
    assert (summary["shape"], summary["slower_share"]) == ("c", pytest.approx(1 / 3))
    assert summary["chosen"] == {"direct": 1, "fft": 2, "patches": 0}


def test_of_the_measured_shapes_few_lose_and_the_cost_model_still_chooses_so() -> None:
    rows = [json.loads(line) for line in CHOICES.read_text().splitlines()]
    shapes = paper_shapes(200)
    assert [(r["draw"], r["shape"]) for r in rows] == [(k, str(s)) for k, s in enumerate(shapes)]
    assert [row["way"] for row in rows] == [shape.way for shape in shapes]
    summary = summarise_choices(rows)
    assert summary["slower_share"] <= 0.05
    assert summary["shape"] == "32 x 144 > 96, 16 px, filter 15"  # as convolution.md names it


def test_choices_are_measured_once_each_whatever_was_measured_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def measure(shape: Shape) -> dict[str, Any]:
        measured.append(str(shape))
        return {"shape": str(shape), "way": "direct", "times_faster": 1.0}

    monkeypatch.setattr(convolution, "measure_choice", measure)
    path = tmp_path / "choices.jsonl"
    assert [row["draw"] for row in add_choices(path, 2, 4)] == [2, 3]
    rows = add_choices(path, 0, 5)
    assert [row["draw"] for row in rows] == [0, 1, 2, 3, 4]
    shapes = [str(shape) for shape in paper_shapes(5)]
    assert [row["shape"] for row in rows] == shapes
    assert sorted(measured) == sorted(shapes)


def test_functions_run_in_turn_and_the_first_round_is_not_timed() -> None:
    calls: list[str] = []
    clock = iter(range(100))
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}
    medians = interleaved_medians(functions, 3, lambda: float(next(clock)))
    assert "".join(calls) == "ab" * 4
    assert medians == {"a": 1.0, "b": 1.0}


def test_the_committed_costs_are_the_fit_to_the_committed_table() -> None:
    rows = [json.loads(line) for line in TABLE.read_text().splitlines()]
    fitted = fit(rows)
    assert fitted.keys() == COSTS.keys()
    for name, constants in COSTS.items():
        assert fitted[name] == pytest.approx(constants, rel=1e-3)
    assert len(rows) > 100
    assert seconds(rows[0], "direct") == min(rows[0]["contiguous"], rows[0]["channels_last"])


class Fixed(random.Random):
    """Draws what it is given: for each component whether it is drawn, and its value."""

    def __init__(self, values: list[float]) -> None:
        super().__init__(0)
        self.values = values

    def random(self) -> float:
        return 0.0

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self.values.pop(0)


def test_both_trainers_distort_alike() -> None:
    side, unit = 35, [0.9, 0.2, 0.7, 0.1, 0.8, 0.95, 0.3]
    distortion = Distortion()
    pixels = pixel_transform(distortion, side, Fixed(list(unit)))
    signed = [2 * u - 1 for u in unit]
    shift = 2 * distortion.shift_px / 105
    values = [
        math.radians(distortion.angle_deg) * signed[0], distortion.shear * signed[1],
        distortion.shear * signed[2], 1 + distortion.scale * signed[3],
        1 + distortion.scale * signed[4], shift * signed[5], shift * signed[6],
    ]  # fmt: skip
    shear, scale, shift = np.array(values[1:]).reshape(3, 2, 1)
    ours = affine(np.array(values[:1]), shear=shear, scale=scale, shift=shift)[0]
    for x, y in ((0, 0), (35, 0), (10, 30)):
        place = np.array([2 * x / side - 1, 2 * y / side - 1, 1])
        expected = (ours @ place + 1) * side / 2
        a, b, c, d, e, f = pixels
        assert (a * x + b * y + c, d * x + e * y + f) == pytest.approx(expected)


def test_two_towers_see_same_and_different_pairs_in_turn(dataset: Dataset) -> None:
    pairs = Pairs(dataset, tiny_config(distortion={"probability": 0}), seed=0)
    assert len(pairs) == 32
    still = random.Random(0)
    known = {
        pairs._to_tensor(png, still).numpy().tobytes(): number
        for number, row in enumerate(pairs._drawings)
        for png in row
    }
    for position in range(40):
        first, second, same = pairs[position]
        assert first.shape == (1, 20, 20)
        names = [known[image.numpy().tobytes()] for image in (first, second)]
        assert (names[0] == names[1]) == bool(same) == bool(position % 2)


def test_two_towers_learn(dataset: Dataset) -> None:
    config = tiny_config({"learning_rate": 0.05}, images_per_epoch=320)
    data = TrainingData.from_dataset(dataset, config, study_seed=0)
    epochs = train_two_towers(dataset, data, config, 0, workers=0)
    curve = [next(epochs) for _ in range(4)]
    assert [r.images for r in curve] == [320, 640, 960, 1280]
    assert curve[-1].loss < curve[0].loss
    assert curve[0].seconds < curve[1].seconds


def test_a_profile_accounts_for_all_of_a_step(dataset: Dataset) -> None:
    backward = torch.Tensor.backward
    profile = profile_steps(dataset, tiny_config(), 3)
    shares = [profile[name] for name in ("forward", "backward", "optimiser", "outside")]
    assert sum(shares) == pytest.approx(1)
    assert all(share > 0 for share in shares)
    assert torch.Tensor.backward is backward


def test_a_stopwatch_adds_up() -> None:
    watch = Stopwatch()
    double = watch.wrap("double", lambda x: 2 * x)
    assert (double(2), double(3)) == (4, 6)
    assert watch.seconds["double"] > 0
