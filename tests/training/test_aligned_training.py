"""Training with the aligned comparison, elastic distortion, and scores averaged over views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hpsearch.network.convolution import even_out
from hpsearch.network.initialisation import initialise
from hpsearch.training.build import AveragingNetwork, empty_network, trained_network
from hpsearch.training.config import Distortion, TrialConfig
from hpsearch.training.distortion import Drawn, distort, draw_distortion, draw_transforms
from hpsearch.training.evaluation import encode, pair_logits
from hpsearch.training.loop import step_loss, train
from hpsearch.training.optimiser import LayerwiseOptimiser
from hpsearch.training.trainingdata import TrainingData
from tests.support.trainings import last_checkpoint, timeless


def aligned_config(**settings: Any) -> TrialConfig:
    """Return a small configuration with everything the aligned study uses."""
    values: dict[str, Any] = {
        "input_size": 20,
        "comparison": "aligned",
        "layers": {
            "conv1": {"filter_size": 3, "filter_count": 4, "padding": "same"},
            "conv2": {"filter_size": 2, "filter_count": 6, "padding": "same", "residual": True},
            "projection": {"width": 5},
            "output": {"learning_rate": 0.05},
        },
        "pairs": "batch",
        "loss": "softmax",
        "batch_characters": 8,
        "batch_drawings": 2,
        "init": "he",
        "batch_norm": True,
        "optimiser": "adamw",
        "schedule": "cosine",
        "quarter_turns": True,
        "mirror_images": True,
        "distortion": {"elastic_px": 3.0},
        "images_per_epoch": 320,
        "max_epochs": 4,
        "weight_averaging": 0.9,
        **settings,
    }
    return TrialConfig.from_values(values)


def weights_of(config: TrialConfig, seed: int = 0) -> dict[str, Tensor]:
    network = empty_network(config)
    initialise(network, config.init, torch.Generator().manual_seed(seed), tau=4.0)
    return dict(network.state_dict())


def test_it_learns_and_resumes_bit_for_bit(dataset: Any) -> None:
    config = aligned_config()
    data = TrainingData.from_dataset(dataset, config, study_seed=0, objective="dense")
    epochs = list(train(config, data, 3))
    curve = [epoch.result for epoch in epochs]
    assert min(result.validation_error for result in curve) < 0.7  # chance is 0.95
    half = next(train(config, data, 3)).checkpoint()
    resumed = [epoch.result for epoch in train(config, data, 3, resume=half)]
    assert timeless(resumed) == timeless(curve[1:])


def test_scale_and_price_are_learned_and_stay_out_of_the_decay(dataset: Any) -> None:
    config = aligned_config(max_epochs=1)
    data = TrainingData.from_dataset(dataset, config, study_seed=0, objective="dense")
    weights = last_checkpoint(train(config, data, 1)).weights()
    assert float(weights["output.tau"]) != 15.0
    assert float(weights["output.raw_price"]) != 0.0
    optimiser = LayerwiseOptimiser(empty_network(config), config)
    decayed = {g["layer"] for g in optimiser._torch.param_groups if g["l2"] > 0}
    assert decayed == {"conv1", "conv2", "projection"}


def test_without_batch_norm_a_block_adds_its_input(dataset: Any) -> None:
    config = aligned_config(batch_norm=False)
    network = trained_network(config, weights_of(config))
    block = network.get_submodule("conv2")
    images = torch.rand(2, 1, 20, 20)
    with torch.no_grad():
        first = network.get_submodule("conv1")(images)
        first = torch.relu(torch.nn.functional.max_pool2d(first, 2))
        inner = even_out(torch.relu(block(even_out(first, 2))), 2)
        both = block.get_submodule("second")(inner) + block.get_submodule("shortcut")(first)
        expected = torch.relu(torch.nn.functional.max_pool2d(both, 2))
        torch.testing.assert_close(network.features(images), expected)


@pytest.mark.parametrize("pairs", ["independent", "batch"])
def test_a_step_stays_on_its_device(pairs: str) -> None:
    loss = "softmax" if pairs == "batch" else "pairwise"
    config = aligned_config(pairs=pairs, loss=loss)
    network = empty_network(config, "meta")
    rows = torch.empty((2, 8) if pairs == "batch" else (8, 2), dtype=torch.int64, device="meta")
    drawn = Drawn(torch.empty(16, 2, 3, device="meta"), torch.empty(16, 2, 4, 4, device="meta"))
    images = torch.empty(50, 20, 20, dtype=torch.uint8, device="meta")
    labels = torch.empty(8, dtype=torch.int64, device="meta")
    loss = step_loss(network, images, rows, labels, drawn, config)
    assert (loss.shape, loss.device.type) == ((), "meta")
    loss.backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(("setting", "n_views"), [("turns", 4), ("turns_and_mirrors", 8)])
def test_averaged_scores_are_the_mean_over_views(setting: str, n_views: int) -> None:
    plain = aligned_config()
    config = plain.with_parameters({"test_time_averaging": setting})
    weights = weights_of(plain)
    one, averaging = trained_network(plain, weights), trained_network(config, weights)
    assert isinstance(averaging, AveragingNetwork)
    images = torch.randint(0, 255, (6, 20, 20), generator=torch.Generator().manual_seed(1))
    images = images.to(torch.uint8)
    expected = []
    for number in range(n_views):
        seen = images.flip(2) if number >= 4 else images
        codes = encode(one, seen.rot90(number % 4, (1, 2)))
        with torch.no_grad():
            expected.append(one.score_matrix(codes[:4], codes[4:]))
    with torch.no_grad():
        codes = encode(averaging, images)
        found = averaging.score_matrix(codes[:4], codes[4:])
    mean = torch.stack(expected).mean(0)
    torch.testing.assert_close(found, mean)
    left, right = torch.tensor([0, 1, 2]), torch.tensor([4, 5, 4])
    torch.testing.assert_close(pair_logits(averaging, codes, left, right), mean[left, right - 4])


def test_averaging_also_serves_the_weighted_l1_distance() -> None:
    from tests.support.trainings import tiny_config

    config = tiny_config(test_time_averaging="turns")
    averaging = trained_network(config, weights_of(config))
    images = torch.rand(3, 1, 20, 20)
    with torch.no_grad():
        codes = averaging.encode(images)
        turned = averaging.encode(images.rot90(1, (2, 3)))
        torch.testing.assert_close(
            averaging.score_matrix(codes, codes), averaging.score_matrix(turned, turned)
        )
        torch.testing.assert_close(
            averaging.score(codes, codes.flip(0)),
            averaging.score_matrix(codes, codes.flip(0)).diagonal(),
        )


def test_elastic_shifts_are_drawn_after_the_affine_ones() -> None:
    bent = draw_distortion(500, Distortion(elastic_px=4.0), torch.Generator().manual_seed(3))
    straight = draw_transforms(500, Distortion(), torch.Generator().manual_seed(3))
    assert bent is not None
    assert bent.shifts is not None
    assert torch.equal(bent.transforms, straight)
    moved = bent.shifts.flatten(1).abs().sum(1) > 0
    assert 0.4 < float(moved.double().mean()) < 0.6
    pixels = bent.shifts[moved].std() * 105 / 2
    assert float(pixels) == pytest.approx(4.0, rel=0.05)


def test_equal_elastic_shifts_move_the_whole_image() -> None:
    image = torch.zeros(1, 1, 21, 21)
    image[0, 0, 10, 10] = 1.0
    still = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0]]])
    shifts = torch.zeros(1, 2, 4, 4)
    shifts[:, 0] = 2 * 3 / 21  # three pixels: the image spans 2 units
    moved = distort(image, Drawn(still, shifts))
    np.testing.assert_allclose(moved[0, 0, 10, 7], 1.0, atol=1e-4)
    assert float(moved.sum()) == pytest.approx(1.0, abs=1e-3)
