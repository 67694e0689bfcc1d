"""A problem made for tests: four parameters no trial's configuration knows, a known optimum."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.table import RecordedTrial, Table
from hpsearch.space.space import SearchSpace
from hpsearch.trial import Value

SPACE = SearchSpace.from_values(
    {
        "name": "made",
        "parameters": {
            "rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
            "share": {"type": "float", "low": 0.0, "high": 1.0},
            "units": {"type": "int", "low": 1, "high": 9},
            "kind": {"type": "categorical", "choices": ["plain", "fancy"]},
        },
    }
)
EPOCHS = 6
NOISE = 0.01


def floor(params: dict[str, Value]) -> float:
    """The error a whole trial ends near: best at rate 0.01, share 0.5, fancy."""
    rate = (math.log10(float(params["rate"])) + 2) / 2
    share = float(params["share"]) - 0.5
    return 0.2 + 0.15 * rate**2 + 0.4 * share**2 + 0.1 * (params["kind"] == "plain")


def diverges(params: dict[str, Value]) -> bool:
    return float(params["rate"]) > 0.3


def made_trial(number: int, params: dict[str, Value], seed: int) -> RecordedTrial:
    noise = np.random.default_rng(seed).normal(0, NOISE, EPOCHS)
    errors = [floor(params) + 0.5 * math.exp(-e / 2) + noise[e - 1] for e in range(1, EPOCHS + 1)]
    last = 2 if diverges(params) else EPOCHS
    pace = 1.0 + 0.1 * int(params["units"])
    return RecordedTrial(
        number,
        params,
        tuple(float(e) for e in errors[:last]),
        tuple(pace * e for e in range(1, last + 1)),
        "diverged" if diverges(params) else "complete",
    )


def made_params(rng: np.random.Generator) -> dict[str, Value]:
    return {
        "rate": float(10 ** rng.uniform(-4, 0)),
        "share": float(rng.uniform()),
        "units": int(rng.integers(1, 10)),
        "kind": str(rng.choice(["plain", "fancy"])),
    }


def made_table(count: int = 80) -> Table:
    """A table whose last eighth repeats earlier configurations under another seed."""
    rng = np.random.default_rng(5)
    once = count - count // 8
    params = [made_params(rng) for _ in range(once)]
    params += params[: count - once]
    return Table(tuple(made_trial(n, p, 100 + n) for n, p in enumerate(params)))
