"""Everything of a step stays on its device: on "meta" a stray tensor of the CPU raises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hpsearch.data.tasks import OneShotTasks
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.training.build import empty_network
from hpsearch.training.config import Distortion, TrialConfig
from hpsearch.training.distortion import Drawn, distort, draw_transforms
from hpsearch.training.evaluation import encode, run_scores, verification_accuracy
from hpsearch.training.loop import _Run, step_loss
from hpsearch.training.optimiser import LayerwiseOptimiser
from hpsearch.training.trainingdata import TrainingData
from tests.support.trainings import tiny_config


def meta_network(config: TrialConfig) -> SiameseNetwork:
    return empty_network(config, "meta")


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(*shape, dtype=dtype, device="meta")


@pytest.mark.parametrize("l2_gradient", ["inside", "as_printed"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("pairs", ["independent", "batch"])
def test_a_step_stays_on_its_device(pairs: str, precision: str, l2_gradient: str) -> None:
    layers = {"output": {"bias": True}}
    config = tiny_config(pairs=pairs, precision=precision, l2_gradient=l2_gradient, layers=layers)
    network = meta_network(config)
    optimiser = LayerwiseOptimiser(network, config)
    rows = meta(8, 2, dtype=torch.int64) if pairs == "independent" else meta(16).long()
    loss = step_loss(
        network,
        meta(50, 20, 20, dtype=torch.uint8),
        rows,
        meta(8 if pairs == "independent" else 16).long(),
        Drawn(meta(16, 2, 3)),
        config,
    )
    assert (loss.shape, loss.device.type) == ((), "meta")
    loss.backward()
    assert all(p.grad is not None for p in network.parameters())
    optimiser.step()
    assert {v.device.type for v in optimiser.state().values()} == {"meta"}


@pytest.mark.parametrize("stray", ["images", "labels", "transforms"])
def test_a_stray_tensor_in_a_step_raises(stray: str) -> None:
    config = tiny_config()
    given = {
        "images": meta(50, 20, 20).to(torch.uint8),
        "rows": meta(8, 2).long(),
        "labels": meta(8).long(),
        "transforms": meta(16, 2, 3),
    }
    given[stray] = torch.zeros_like(given[stray], device="cpu")
    given["distortion"] = Drawn(given.pop("transforms"))
    with pytest.raises((RuntimeError, NotImplementedError)):
        step_loss(meta_network(config), config=config, **given)


def test_drawing_and_applying_take_as_many_operations_for_any_number_of_images() -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):
        n = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            self.n += 1
            return func(*args, **(kwargs or {}))

    counts = []
    for images in (1, 64):
        source = torch.Generator().manual_seed(0)
        with Count() as count:
            transforms = draw_transforms(images, Distortion(), source)
            distort(torch.zeros(images, 1, 20, 20), Drawn(transforms))
        counts.append(count.n)
    assert counts[0] == counts[1]


def test_encoding_and_scores_stay_on_their_device() -> None:
    network = meta_network(tiny_config(layers={"output": {"bias": True}}))
    codes = encode(network, meta(300, 20, 20, dtype=torch.uint8))
    assert (codes.shape, codes.device.type) == ((300, 12), "meta")
    rows = np.arange(10).reshape(2, 5)
    scores = run_scores(network, codes, OneShotTasks(rows, rows, rows % 5, ("A", "B")))
    assert (scores.shape, scores.device.type) == ((2, 5, 5), "meta")


def test_verification_stays_on_its_device_until_its_one_number() -> None:
    network, rows = meta_network(tiny_config()), meta(7).long()
    with pytest.raises(RuntimeError, match=r"item\(\)|meta"):
        verification_accuracy(network, meta(9, 12), rows, rows, meta(7).bool())


@pytest.mark.parametrize("settings", [{}, {"batch_norm": True, "weight_averaging": 0.9}], ids=str)
def test_weights_and_distortions_are_drawn_on_the_cpu(
    data: TrainingData, settings: dict[str, Any]
) -> None:
    config = tiny_config(pairs="batch", **settings)
    runs = [_Run(config, data, 3), _Run(config, replace(data, images=data.images.to("meta")), 3)]
    assert {tensor.device.type for tensor in runs[1].network.state_dict().values()} == {"meta"}
    for _ in range(2):
        for run in runs:
            run.train_step()
    here, elsewhere = (run.distortion.get_state() for run in runs)
    assert torch.equal(here, elsewhere)
    assert runs[1].loss_sum.device.type == "meta"
