"""The validation figures of a trained network, each with its standard error."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from hpsearch.data import Characters, Dataset
from hpsearch.data.dense import DenseTasks, dense_accuracy, dense_tasks
from hpsearch.data.tasks import dense_drawers, split_drawers, verification_pairs
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.recognition.calibration import Calibration
from hpsearch.results.intervals import around, wilson
from hpsearch.results.noise import images_of, measure_noise
from hpsearch.results.unknown import suggest_threshold
from hpsearch.results.verification import N_PAIRS, verify
from hpsearch.training.config import TrialConfig
from hpsearch.training.evaluation import (
    dense_scores,
    encode,
    evaluate_tasks,
    verification_accuracy,
)
from hpsearch.training.fresh import fresh_tasks
from hpsearch.training.selection import objective_tasks


def validation_figures(
    network: SiameseNetwork, config: TrialConfig, dataset: Dataset, study_seed: int
) -> dict[str, Any]:
    """Return errors on the paper's tasks, all tasks and fresh tasks; noise; verification.

    Args:
        network: A trained network, on the device to score on.
        config: Its configuration.
        dataset: The data it was trained on.
        study_seed: Seed of the drawers and the tasks.
    """
    characters, ways = dataset.validation(config.input_size), dataset.ways
    noise = measure_noise(network, characters, ways=ways, seed=study_seed)
    rows, tasks = objective_tasks(characters, ways, "tasks_320", study_seed)
    paper = evaluate_tasks(network, images_of(network, characters, rows), tasks)
    drawers = dense_drawers(characters.n_drawers, study_seed, people=characters.people)
    every = dense_tasks(characters, ways=ways, drawers=drawers, seed=study_seed)
    dense, _ = _dense(network, characters, every)
    fresh, logits = _dense(network, characters, fresh_tasks(characters, ways, study_seed))
    _, drawers = split_drawers(
        characters.n_drawers, config.drawers, study_seed, people=characters.people
    )
    verified = verify(network, characters, drawers, study_seed)
    calibration = Calibration.of(verified)
    threshold = suggest_threshold([calibration.logits(m) for m in logits], ways, study_seed)
    return {
        "tasks_320": {
            "error": 1 - paper.accuracy,
            "n_tasks": tasks.n_tasks,
            "interval": list(wilson(1 - paper.accuracy, tasks.n_tasks)),
        },
        "dense": {
            "error": 1 - dense,
            "interval": list(around(1 - dense, noise.dense)) if noise else None,
        },
        "fresh_error": 1 - fresh,
        "noise": asdict(noise) if noise else None,
        "verification_auc": paper.auc,
        "degenerate": paper.degenerate,
        "verification_accuracy": _verification(network, characters, config, study_seed),
        **verified,
        "unknown_below": asdict(threshold) if threshold else None,
    }


def _dense(
    network: SiameseNetwork, characters: Characters, tasks: DenseTasks
) -> tuple[float, list[Any]]:
    """Return the dense accuracy, and the logits of each pair of drawers."""
    rows = tasks.rows
    with torch.no_grad():
        codes = encode(network, images_of(network, characters, rows))
    logits = dense_scores(network, codes, tasks.renumbered(rows))
    return dense_accuracy(logits, tasks).accuracy, list(logits)


def _verification(
    network: SiameseNetwork, characters: Characters, config: TrialConfig, study_seed: int
) -> float | None:
    """Return the accuracy on the validation drawers' pairs; None if scores only rank."""
    if config.loss == "softmax":
        return None  # its training fits no threshold on the scores
    people = characters.people
    _, drawers = split_drawers(characters.n_drawers, config.drawers, study_seed, people=people)
    left, right, same = verification_pairs(characters, N_PAIRS, drawers, study_seed)
    rows, place = np.unique(np.concatenate([left, right]), return_inverse=True)
    with torch.no_grad():
        codes = encode(network, images_of(network, characters, rows))
    first, second = torch.from_numpy(place[:N_PAIRS]), torch.from_numpy(place[N_PAIRS:])
    device = codes.device
    return verification_accuracy(
        network, codes, first.to(device), second.to(device), torch.from_numpy(same).to(device)
    )
