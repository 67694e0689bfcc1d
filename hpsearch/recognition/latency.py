"""How long a trained network takes to recognise one image, on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from hpsearch.network.siamese import SiameseNetwork
from hpsearch.training.build import trained_network
from hpsearch.training.config import TrialConfig

CLASSES = 20
"""Known images that the new one is compared with; their encodings are kept."""
WARM_UP, RUNS = 3, 31


def latency_of(
    job: Mapping[str, Any], config: TrialConfig, device: str
) -> Callable[[SiameseNetwork], dict[str, float]] | None:
    """Return what measures a job's network after its first epoch, None where nothing asks it.

    The network is measured as a model that `retrain` makes: with its averaging over views, without
    what only training needs.
    """
    if not job.get("latency"):
        return None

    def measure(network: SiameseNetwork) -> dict[str, float]:
        return measure_latency(trained_network(config, network.state_dict(), device))

    return measure


@torch.no_grad()
def measure_latency(network: SiameseNetwork) -> dict[str, float]:
    """Return the milliseconds to encode one image and compare it with 20, and their spread.

    Args:
        network: In eval mode, on its device.

    Returns:
        latency_ms, the median of `RUNS` runs, and latency_ms_spread, the distance of their
        quartiles.
    """
    size, device = network.shape.input_size, network.device
    image = torch.zeros(1, 1, size, size, device=device)
    known = network.encode(image).expand(CLASSES, *network.encode(image).shape[1:]).contiguous()
    seconds = []
    for _ in range(WARM_UP + RUNS):
        began = time.perf_counter()
        # Read back, so that a card has ended its work.
        network.score_matrix(network.encode(image), known).cpu()
        seconds.append(time.perf_counter() - began)
    low, middle, high = statistics.quantiles(seconds[WARM_UP:], n=4)
    return {"latency_ms": 1e3 * middle, "latency_ms_spread": 1e3 * (high - low)}
