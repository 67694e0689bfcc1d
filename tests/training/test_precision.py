"""The arithmetic that a precision sets: the same in training and in evaluation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import hpsearch
from hpsearch.study.config import StudyConfig
from hpsearch.training import precision as precision_module
from hpsearch.training.build import empty_network, trained_network
from hpsearch.training.config import TrialConfig
from hpsearch.training.loop import _Run, train
from hpsearch.training.precision import (
    allow_tf32,
    arithmetic,
    has_bf16,
    in_words,
    layout,
    try_algorithms,
)
from hpsearch.training.trainingdata import TrainingData
from tests.support.trainings import tiny_config
from tests.training.test_modern import modern

BACKENDS = (torch.backends.cuda.matmul, torch.backends.cudnn)
SETS = re.compile(r"\.(allow_tf32|fp32_precision) *=[^=]|set_float32_matmul_precision\(")
STUDIES = Path(hpsearch.__file__).parent.parent / "studies"
ROUNDS = [("float32", False), ("tf32", True), ("bf16", True)]


@pytest.fixture
def flags() -> Iterator[Callable[[], list[bool]]]:
    """Return what reads torch's two switches; they are put back in the end."""
    before = [backend.allow_tf32 for backend in BACKENDS]
    yield lambda: [backend.allow_tf32 for backend in BACKENDS]
    for backend, value in zip(BACKENDS, before, strict=True):
        backend.allow_tf32 = value


def start_training(config: TrialConfig) -> None:
    allow_tf32(config, torch.device("cuda"))


def evaluate(config: TrialConfig) -> None:
    weights = empty_network(config).state_dict()
    network = trained_network(config, weights, "cpu")
    assert not network.training
    with pytest.MonkeyPatch.context() as patch:  # there may be no card to move it to
        patch.setattr(torch.nn.Module, "to", lambda self, *_, **__: self)
        trained_network(config, weights, "cuda")


@pytest.mark.parametrize("use", [start_training, evaluate])
@pytest.mark.parametrize(("precision", "reduced"), ROUNDS)
def test_training_and_evaluation_round_alike(
    flags: Callable[[], list[bool]],
    use: Callable[[TrialConfig], None],
    precision: str,
    reduced: bool,
) -> None:
    for backend in BACKENDS:
        backend.allow_tf32 = not reduced
    config = tiny_config(precision=precision)
    allow_tf32(config, torch.device("cpu"))
    assert flags() == [not reduced] * 2
    use(config)
    assert flags() == [reduced] * 2


def test_the_arithmetic_is_set_in_one_file() -> None:
    folder = Path(hpsearch.__file__).parent
    found = [path for path in folder.rglob("*.py") if SETS.search(path.read_text())]
    assert [path.name for path in found] == [Path(precision_module.__file__).name]


@pytest.mark.parametrize("emulated_only", [False, True])
def test_bf16_is_used_on_cards_that_have_it(
    monkeypatch: pytest.MonkeyPatch, emulated_only: bool
) -> None:
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: including_emulation or not emulated_only,
    )
    config = tiny_config(precision="bf16")
    assert has_bf16("cuda") is not emulated_only
    assert in_words(config, "cuda") == ("tf32" if emulated_only else "bf16")
    context = arithmetic(config, torch.device("cuda"))
    assert isinstance(context, torch.autocast) is not emulated_only
    assert in_words(tiny_config(precision="tf32"), "cuda") == "tf32"
    assert in_words(tiny_config(precision="tf32"), "cpu") == "float32"


@pytest.mark.parametrize(("precision", "channels_last"), ROUNDS)
def test_on_a_card_channels_are_last_where_products_are_rounded(
    data: TrainingData, precision: str, channels_last: bool
) -> None:
    config = tiny_config(precision=precision, weight_averaging=0.9)
    last, first = torch.channels_last, torch.contiguous_format
    assert layout(config, torch.device("cuda")) is (last if channels_last else first)
    assert layout(config, torch.device("cpu")) is last
    run = _Run(config, replace(data, images=data.images.to("meta")), 0)
    for network in (run.network, run.averaged):
        weight = network.get_submodule("conv2").weight
        assert weight.is_contiguous(memory_format=last) is channels_last


@pytest.mark.parametrize("pairs", ["independent", "batch"])
def test_a_card_tries_algorithms_where_all_steps_have_one_shape(
    monkeypatch: pytest.MonkeyPatch, pairs: str
) -> None:
    config = tiny_config(pairs=pairs)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    try_algorithms(tiny_config(), torch.device("cpu"))
    assert not torch.backends.cudnn.benchmark
    try_algorithms(config, torch.device("cuda"))
    assert torch.backends.cudnn.benchmark is (pairs == "independent")


def test_the_paper_trains_in_float32() -> None:
    assert StudyConfig.from_yaml(STUDIES / "koch2015.yaml").trial.precision == "float32"


def test_tf32_is_float32_to_the_bit_on_the_cpu(data: TrainingData) -> None:
    curves = [
        [epoch.result.loss for epoch in train(tiny_config(precision=precision), data, 0)]
        for precision in ("float32", "tf32")
    ]
    assert curves[0] == curves[1]


@pytest.mark.skipif(not has_bf16("cpu"), reason="this processor does not multiply bf16")
def test_bf16_trains_almost_as_float32_does(data: TrainingData) -> None:
    curves = []
    for precision in ("float32", "bf16"):
        config = modern(precision=precision, quarter_turns=False)
        curves.append([e.result.loss for e in train(config, data, 0)])
    assert curves[0] != curves[1]
    np.testing.assert_allclose(curves[0], curves[1], rtol=0.05)
