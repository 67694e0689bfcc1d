"""Search problems and histories that the tests of this folder share."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpsearch.configfile import read_yaml
from hpsearch.shipped_files import find_shipped
from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.study.config import StudyConfig
from hpsearch.training.config import TrialConfig
from hpsearch.trial import TrialRecord

SHIPPED = ("koch2015", "koch2015_35px", "quickstart")


def shipped_study(name: str) -> StudyConfig:
    """Return a shipped study."""
    path = find_shipped("studies", name)
    return StudyConfig.from_values(read_yaml(path), path)


def shipped_problem(name: str, limits: Limits | None = None) -> SearchProblem:
    """Return a shipped study's search problem, with its own limits unless given."""
    study = shipped_study(name)
    space = SearchSpace.from_yaml(study.space)
    return SearchProblem(space, study.trial, study.limits if limits is None else limits)


def base_config(
    sizes: list[int], pools: list[bool], input_size: int, **settings: Any
) -> TrialConfig:
    """Return a small network's configuration."""
    layers: dict[str, Any] = {
        f"conv{k}": {"filter_size": size, "filter_count": 16, "pool": pool}
        for k, (size, pool) in enumerate(zip(sizes, pools, strict=True), start=1)
    }
    layers["fc"] = {"width": 64}
    return TrialConfig.from_values({"input_size": input_size, "layers": layers, **settings})


def space_of(parameters: dict[str, Any]) -> SearchSpace:
    """Return a space with these parameters."""
    return SearchSpace.from_values({"name": "test", "parameters": parameters})


def random_params(problem: SearchProblem, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return configurations within the limits, drawn without `suggest`."""
    rng = np.random.default_rng(seed)
    found: list[dict[str, Any]] = []
    while len(found) < count:
        params = problem.cube.params(rng.random(len(problem.free)).tolist())
        if problem.over_limits(params) is None:
            found.append(params)
    return found


def mixed_history(problem: SearchProblem, count: int, seed: int = 0) -> list[TrialRecord]:
    """Return a history with every state in it; lower momentum of fc is better."""
    rng = np.random.default_rng(seed)
    history = []
    for number, params in enumerate(random_params(problem, count, seed + 1)):
        target = 0.2 + 0.5 * abs(float(params["fc.momentum"]) - 0.6) + 0.02 * rng.random()
        kind = number % 6
        epochs = 9 if kind in (0, 1) else 2
        values = {e: target + 0.3 / e for e in range(1, epochs + 1)}
        record = TrialRecord(number, "complete", params, values, min(values.values()))
        if kind in (2, 3):
            record = TrialRecord(number, "pruned", params, values, min(values.values()))
        elif kind == 4:
            bad = {1: 0.95, 2: float("nan")}
            record = TrialRecord(number, "pruned", params, bad, 0.95, False, "diverged")
        elif kind == 5:
            record = TrialRecord(number, "failed", params, {}, None, True, "out of memory: 9 GB")
        history.append(record)
    if count >= 4:
        last = history[-1]
        history[-1] = TrialRecord(last.number, "running", last.params)
        paused = history[-2]
        history[-2] = TrialRecord(paused.number, "paused", paused.params, {1: 0.7}, 0.7)
    return history
