"""The validation figures of a trained network, each with its standard error."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from hpsearch.data import Dataset
from hpsearch.data.dense import dense_accuracy, dense_tasks
from hpsearch.data.tasks import (
    dense_drawers,
    fresh_drawers,
    split_drawers,
    verification_pairs,
)
from hpsearch.intervals import around, wilson
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.recognition.fresh import fresh_tasks
from hpsearch.scoring.noise import measure_noise
from hpsearch.scoring.unknown import measure_rejection
from hpsearch.scoring.verification import N_PAIRS, n_pictures, verify
from hpsearch.training.config import TrialConfig
from hpsearch.training.evaluation import (
    dense_scores,
    encode,
    score_encoded,
    verification_accuracy,
)
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
    characters, size = dataset.validation(config.input_size), dataset.size
    people, n_drawers = characters.people, characters.n_drawers
    images = torch.from_numpy(np.array(characters.images)).to(network.device)
    codes = encode(network, images)  # once for all figures
    noise = measure_noise(network, codes, characters, ways=size.ways, seed=study_seed)
    rows, tasks = objective_tasks(characters, size.one_shot(), "tasks_320", study_seed)
    paper = score_encoded(network, codes[torch.from_numpy(rows).to(codes.device)], tasks)
    eight = dense_drawers(n_drawers, study_seed, people=people)
    every = dense_tasks(characters, size, drawers=eight, seed=study_seed)
    dense = dense_accuracy(dense_scores(network, codes, every), every).accuracy
    others = fresh_tasks(characters, size, study_seed)
    fresh = dense_accuracy(dense_scores(network, codes, others), others).accuracy
    _, drawers = split_drawers(n_drawers, config.drawers, study_seed, people=people)
    verified = verify(network, codes, characters, drawers, study_seed)
    unused = fresh_drawers(n_drawers, study_seed, people=people)
    at_half = of_pairs = None
    if config.loss == "pairwise":  # the softmax fits no threshold on the scores
        pairs = verification_pairs(characters, N_PAIRS, drawers, study_seed)
        ends_and_same = (torch.from_numpy(part).to(codes.device) for part in pairs)
        at_half = verification_accuracy(network, codes, *ends_and_same)
        of_pairs = list(wilson(at_half, min(N_PAIRS, n_pictures(*pairs[:2]))))
    worth, of_dense = tasks.n_tasks, around(1 - dense, noise.dense) if noise else None
    if size.many:  # tasks that ask for the same picture are no further evidence
        worth = tasks.n_pictures
        of_dense = wilson(1 - dense, every.n_pictures)
    return {
        "tasks_320": {
            "error": 1 - paper.accuracy,
            "n_tasks": tasks.n_tasks,
            "interval": list(wilson(1 - paper.accuracy, worth)),
        },
        "dense": {"error": 1 - dense, "interval": None if of_dense is None else list(of_dense)},
        "fresh_error": 1 - fresh,
        "noise": asdict(noise) if noise else None,
        "verification_auc": paper.auc,
        "degenerate": paper.degenerate,
        "verification_accuracy": at_half,
        "verification_interval": of_pairs,
        **verified,
        "none_of_these": measure_rejection(network, codes, characters, unused, study_seed),
    }
