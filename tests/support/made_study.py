"""A study folder made through the database, and a configuration that trains in milliseconds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from safetensors.torch import save_file

from hpsearch.configfile import dump_yaml
from hpsearch.data import Dataset
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.paths import StudyFolder
from hpsearch.seeding import trial_seed
from hpsearch.storage.database import StudyRecord
from hpsearch.study.config import StudyConfig
from hpsearch.training.config import TrialConfig
from hpsearch.trial import State, TrialRecord

from .trainings import tiny_config

STUDY_SEED = 11
SEEDS = [trial_seed(STUDY_SEED, number) for number in range(5)]
"""Of the trials, by number."""

PARAMETERS: dict[str, BaseDistribution] = {
    "conv1.learning_rate": FloatDistribution(1e-4, 1.0, log=True),
    "fc.width": IntDistribution(4, 64),
}

SPACE = """\
name: tiny
parameters:
  conv1.learning_rate: {type: float, low: 1e-4, high: 1, log: true}
  fc.width: {type: int, low: 4, high: 64}
"""


def tiny(each: dict[str, Any] | None = None, **settings: Any) -> TrialConfig:
    """Return a configuration of 4 steps an epoch, 4 epochs; `each` goes to all layers."""
    sizes = {"fc": {"width": 16}, "output": {"bias": True}}
    values = {"batch_pairs": 16, "images_per_epoch": 128, "max_epochs": 4, **settings}
    return tiny_config({"learning_rate": 0.05, **(each or {})}, layers=sizes, **values)


@dataclass(frozen=True)
class Ended:
    """How one trial of the study went."""

    state: State
    values: tuple[float, ...] = ()
    cause: str | None = None


TRIALS = (
    Ended("complete", (0.6, 0.3, 0.4)),
    Ended("complete", (0.5, 0.25)),
    Ended("pruned", (0.2,)),
    Ended("failed", (), "out of memory"),
    Ended("running"),
)
"""Trial 1 is the best: the pruned one was lower but never completed."""


def write_study(root: Path, dataset: Dataset, trials: tuple[Ended, ...] = TRIALS) -> StudyFolder:
    """Write a study's folder as a search leaves it."""
    folder = StudyFolder(root)
    root.mkdir(parents=True)
    config = StudyConfig(
        name="tiny", space="tiny", trial=tiny(), seed=STUDY_SEED, dataset="glyphs"
    )
    folder.study_file.write_text(config.to_yaml())
    folder.space_file.write_text(SPACE)
    described = {
        "kind": dataset.kind,
        "fingerprint": dataset.fingerprint,
        "packed": str(dataset.folder),
        "source": None,
        "n_tasks": dataset.size.runs * dataset.ways,
    }
    folder.dataset.write_text(json.dumps(described))
    record = StudyRecord(folder, config.name)
    for number, ended in enumerate(trials):
        params = {"conv1.learning_rate": 0.01 * (number + 1), "fc.width": 8 + number}
        running = TrialRecord(number, "running", params)
        attributes = {"origin": "sampler", "seed": SEEDS[number]}
        record.add(running, PARAMETERS, attributes)
        for epoch, value in enumerate(ended.values, start=1):
            record.report(number, epoch, value)
        if ended.state != "running":
            value = min(ended.values, default=None)
            values = dict(enumerate(ended.values, start=1))
            told = TrialRecord(number, ended.state, params, values, value, cause=ended.cause)
            record.end(told, {"cause": ended.cause} if ended.cause else {})
        place = folder.trial(number).config
        place.parent.mkdir(parents=True)
        place.write_text(dump_yaml(tiny().with_parameters(params).plain()))
    record.close()
    return folder


def write_best(path: Path, data: Dataset, trial: TrialConfig, **changes: Any) -> Path:
    """Write a best.yaml of a configuration that no study found."""
    values = {
        "format": 1,
        "dataset": {"kind": data.kind, "fingerprint": data.fingerprint},
        "seed": 3,
        "study_seed": STUDY_SEED,
        "config": trial.plain(),
        **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump_yaml(values))
    return path


def openings(folder: Path) -> list[dict[str, Any]]:
    """Return the openings of the sealed tasks that a folder's log holds."""
    path = folder / "openings.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write_model(folder: Path, dataset: Dataset, *, alpha: float | None = None) -> Path:
    """Write a model of random weights; `alpha` replaces those of the output layer."""
    config = tiny()
    network = SiameseNetwork(config.shape(), output_bias=True)
    rng = torch.Generator().manual_seed(1)
    weights = {n: torch.randn(t.shape, generator=rng) for n, t in network.state_dict().items()}
    if alpha is not None:
        weights["output.weight"] = torch.full_like(weights["output.weight"], alpha)
    folder.mkdir(parents=True)
    save_file(weights, folder / "weights.safetensors")
    described = {
        "dataset": {"kind": dataset.kind, "fingerprint": dataset.fingerprint},
        "config": config.plain(),
    }
    (folder / "config.yaml").write_text(dump_yaml(described))
    return folder


def certificate_of(
    trial: int, rows: list[dict[str, Any]] | None = None, **changes: Any
) -> dict[str, Any]:
    """Return a whole certificate of a trial; each of `rows` says how a candidate differs."""
    optimism = {
        "trial": trial, "search_error": 0.27, "measured": 0.04, "interval": [0.02, 0.06],
        "luck": 0.035, "noise": 0.03, "trials": 40,
    }  # fmt: skip
    row = {
        "trial": trial, "search_error": 0.27, "errors": [0.3, 0.31], "mean": 0.31, "error": 0.305,
        "interval": [0.29, 0.32], "probability_best": 0.81, "behind_best": 0.0,
        "behind_best_se": 0.0, "broke_down": 0,
    }  # fmt: skip
    held = {
        "format": 1, "trial": trial, "error": 0.305, "interval": [0.29, 0.32],
        "interval_one_training": [0.28, 0.33], "interval_other_alphabets": None,
        "sd_of_trainings": 0.01, "probability_best": 0.81, "search_error": 0.27,
        "optimism": optimism, "seeds": 3, "objective": "tasks_320", "compared": [trial],
    }  # fmt: skip
    return {**held, **changes, "candidates": [{**row, **one} for one in rows or [{}]]}
