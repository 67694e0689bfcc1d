"""Measure how fast this machine trains a configuration, by a few steps on grey images."""

from __future__ import annotations

import time

import torch

from hpsearch.network.initialisation import initialise
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.training.build import empty_network
from hpsearch.training.config import TrialConfig
from hpsearch.training.precision import allow_tf32

LIMIT_S = 4.0
"""Seconds after which no larger batch is timed."""
ENOUGH_S = 0.5
"""Seconds of one step that suffice for a measurement."""


def image_seconds(config: TrialConfig, device: str, threads: int) -> float:
    """Return the seconds of one image, forward and backward through the network.

    The batch grows until a step takes long enough, so a costly network is timed on few images.

    Args:
        config: The configuration.
        device: "cpu" or "cuda".
        threads: Threads of one trial on the CPU.
    """
    torch.set_num_threads(threads)
    allow_tf32(config, torch.device(device))
    network = empty_network(config, device)
    initialise(network, config.init, torch.Generator(device).manual_seed(0))
    began, images = time.perf_counter(), 2
    while True:
        _step(network, images, device)  # the first step of a size warms up
        seconds = min(_step(network, images, device) for _ in range(2))
        spent = time.perf_counter() - began
        if images >= config.images_per_step or seconds > ENOUGH_S or spent > LIMIT_S:
            return seconds / images
        images = min(4 * images, config.images_per_step)


def _step(network: SiameseNetwork, images: int, device: str) -> float:
    """Return the seconds of one step, without the time that other processes take of the cores."""
    batch = network.blank(images)
    began, worked = time.perf_counter(), time.process_time()
    network.encode(batch).square().mean().backward()  # type: ignore[no-untyped-call]
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter() - began
    alone = (time.process_time() - worked) / torch.get_num_threads()
    return min(time.perf_counter() - began, alone)
