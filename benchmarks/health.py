"""Records how random configurations fare to the end, with every diagnosis switched off.

    python -m benchmarks.health --data PACKED --trials 40 --family paper

appends to benchmarks/tables/health.jsonl; the tests hold the diagnosis against it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hpsearch.configfile import read_yaml
from hpsearch.shipped_files import find_shipped
from hpsearch.sources.find import find_dataset
from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.study.config import StudyConfig
from hpsearch.training.config import TrialConfig
from hpsearch.training.loop import train
from hpsearch.training.trainingdata import TrainingData

TABLE = Path(__file__).parent / "tables" / "health.jsonl"
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "paper": ("koch2015_35px", {"batch_pairs": 16, "max_epochs": 20, "images_per_epoch": 1500}),
    "kinder": (
        "quickstart",
        {"max_epochs": 12, "images_per_epoch": 1500, "batch_characters": 8},
    ),
    "papers_weights": (
        "quickstart",
        {"max_epochs": 30, "images_per_epoch": 1500, "batch_characters": 8, "init": "koch"},
    ),
}
"""The paper's box; the kinder one; the kinder one with the paper's initial weights."""
MULTIPLY_ADDS = 1e6
"""Limit of the networks recorded, for one CPU core."""


def configurations(family: str, count: int, seed: int) -> Iterator[TrialConfig]:
    """Draw configurations of a shipped study's box, with every diagnosis off."""
    name, settings = FAMILIES[family]
    path = find_shipped("studies", name)
    study = StudyConfig.from_values(read_yaml(path), path)
    base = study.trial.with_parameters({"stop_untrainable": False, **settings})
    space, limits = SearchSpace.from_yaml(study.space), Limits(multiply_adds=MULTIPLY_ADDS)
    problem = SearchProblem(space, base, limits)
    rng = np.random.default_rng(seed)
    while count:
        params = problem.cube.params(rng.random(len(problem.free)).tolist())
        if problem.over_limits(params) is None:
            count -= 1
            yield base.with_parameters(dict(params))


def main() -> None:
    """Train and append one line a configuration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--family", choices=sorted(FAMILIES), required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    dataset = find_dataset("omniglot", given.data)
    TABLE.parent.mkdir(exist_ok=True)
    data: TrainingData | None = None
    for number, config in enumerate(configurations(given.family, given.trials, given.seed)):
        data = data or TrainingData.from_dataset(dataset, config, study_seed=0)
        vitals, errors, seconds = [], [], 0.0
        for epoch in train(config, data, given.seed * 1000 + number):
            errors.append(round(epoch.result.validation_error, 5))
            seconds = epoch.result.seconds
            if epoch.result.diagnosis is None and epoch.vitals is not None:
                vitals.append([float(f"{v:.4g}") for v in epoch.vitals.to_json().values()])
        line = {
            "family": given.family,
            "seed": given.seed,
            "number": number,
            "steps": config.steps_per_epoch,
            "epochs": config.max_epochs,
            "errors": errors,
            "vitals": vitals,
        }
        with TABLE.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{number}: error {min(errors):.3f}, {seconds:.0f} s", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
