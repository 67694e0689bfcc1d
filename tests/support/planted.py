"""A planted problem of two objectives: what a network can reach follows from its multiply-adds."""

from __future__ import annotations

import math
from functools import lru_cache

from hpsearch.execution import Job
from hpsearch.seeding import generator
from hpsearch.training.config import TrialConfig
from hpsearch.training.epoch import EpochResult
from tests.support.fake_executor import FakeExecutor

NOISE = 0.005
"""Standard deviation of one epoch's error."""
BEST_RATE = 0.03


@lru_cache(maxsize=4096)
def _costs_of(plain: str) -> tuple[float, float]:
    import json

    config = TrialConfig.from_values(json.loads(plain), "planted")
    rate = config.layers.convolutions["conv1"].learning_rate
    return float(config.shape().multiply_adds), float(rate or 0.0)


def costs_of(job: Job) -> tuple[float, float]:
    """Return the multiply-adds of a job's network, and its first learning rate."""
    import json

    return _costs_of(json.dumps(job.config, sort_keys=True))


def reachable(multiply_adds: float) -> float:
    """Return the error of a network at the best learning rate, without noise: the true front."""
    return 0.75 - 0.15 * math.log10(multiply_adds / 1e5)


def truth(multiply_adds: float, rate: float) -> float:
    """Return the error of a whole training without noise."""
    return min(0.95, reachable(multiply_adds) + 0.05 * abs(math.log10(rate / BEST_RATE)))


class PlantedExecutor(FakeExecutor):
    """Trains nothing; errors fall to the planted front, latency grows with multiply-adds."""

    def _result(self, job: Job, epoch: int) -> EpochResult:
        cost, rate = costs_of(job)
        noise = generator(job.seed, "planted").normal(0, NOISE, job.config["max_epochs"])
        left = 0.6 * (1 - math.log(epoch) / math.log(job.config["max_epochs"]))
        error = truth(cost, rate) * (1 - left) + 0.95 * left + noise[epoch - 1]
        latency = {"latency_ms": 1e-6 * cost} if epoch == 1 else {}
        return EpochResult(
            epoch, error, float(min(1.0, max(0.0, error))), float(epoch), 100 * epoch,
            1000 * epoch, metrics=latency,
        )  # fmt: skip
