"""A whole training step: its rate against the matrix product's, and where its time goes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch

from hpsearch.configfile import read_yaml
from hpsearch.data.dataset import Dataset
from hpsearch.shipped_files import find_shipped
from hpsearch.training.config import TrialConfig
from hpsearch.training.loop import _Run
from hpsearch.training.trainingdata import TrainingData


def study_config(name: str) -> TrialConfig:
    """Return the trial of a shipped study."""
    path = find_shipped("studies", name)
    return TrialConfig.from_values(read_yaml(path)["trial"], str(path))


def paper_config(convolution: str = "auto") -> TrialConfig:
    """Return the paper's best network at 105 x 105 (Figure 3), 128 pairs a step."""
    return TrialConfig.from_values(
        {
            "input_size": 105,
            "layers": {
                "conv1": {"filter_size": 10, "filter_count": 64},
                "conv2": {"filter_size": 7, "filter_count": 128},
                "conv3": {"filter_size": 4, "filter_count": 128},
                "conv4": {"filter_size": 4, "filter_count": 256, "pool": False},
                "fc": {"width": 4096},
            },
            "convolution": convolution,
        }
    )


def work_per_image(config: TrialConfig) -> int:
    """Return the floating-point operations of training on one image.

    Nominal multiply-adds x 2, forward and two gradients, less the gradient of the first layer's
    image, which nobody needs. A convolution by spectra counts like any other, and so do the
    products of feature maps.
    """
    shape = config.shape()
    first, (after, _) = shape.convolutions[0], shape.map_sizes()[0]
    toward_image = after**2 * first.filter_count * first.filter_size**2
    total = 2 * (3 * shape.multiply_adds - toward_image)
    if config.comparison == "aligned" and config.loss == "softmax":
        pairs = math.comb(config.batch_drawings, 2) * config.batch_characters**2
        compared = pairs * shape.places**2 * shape.width
        total += 6 * compared // config.images_per_step
    return total


class Stopwatch:
    """Adds up the seconds spent in wrapped functions."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and adds its time to a name."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.perf_counter() - began
                self.seconds[name] = self.seconds.get(name, 0.0) + spent

        return timed


def profile_steps(
    dataset: Dataset, config: TrialConfig, steps: int, seed: int = 0
) -> dict[str, float]:
    """Train some steps and say where the time went.

    Returns:
        `images_per_s`; and shares of the time in `forward`, `backward`, `optimiser` and
        `outside`, which is the rest: sampling, distortion and loss.
    """
    run = _Run(config, TrainingData.from_dataset(dataset, config, study_seed=seed), seed)
    run.train_step()
    watch, backward = Stopwatch(), torch.Tensor.backward
    for name in ("encode", "score", "score_matrix"):
        setattr(run.network, name, watch.wrap("forward", getattr(run.network, name)))
    run.optimiser.step = watch.wrap("optimiser", run.optimiser.step)  # type: ignore[method-assign]
    images, began = run.images, time.perf_counter()
    try:
        torch.Tensor.backward = watch.wrap("backward", backward)  # type: ignore[method-assign]
        for _ in range(steps):
            run.train_step()
    finally:
        torch.Tensor.backward = backward  # type: ignore[method-assign]
    total = time.perf_counter() - began
    shares = {name: seconds / total for name, seconds in watch.seconds.items()}
    return {
        "images_per_s": (run.images - images) / total,
        **shares,
        "outside": 1 - sum(shares.values()),
    }
