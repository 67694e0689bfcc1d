"""Score a trained network on fresh tasks: drawings that its study never validates on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from hpsearch.data.dense import DenseTasks, dense_tasks
from hpsearch.data.tasks import fresh_drawers
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.training.evaluation import TaskScores, evaluate_tasks

if TYPE_CHECKING:
    from hpsearch.data.dataset import Characters, Dataset
    from hpsearch.data.task_size import TaskSize
    from hpsearch.training.config import TrialConfig


def fresh_tasks(characters: Characters, size: TaskSize, study_seed: int) -> DenseTasks:
    """Return all tasks of the drawers that a study does not validate on.

    With fewer than 16 drawers, or without known drawers, a study validates on all of them. Then
    only the pairings of drawings are fresh.
    """
    drawers = fresh_drawers(characters.n_drawers, study_seed, people=characters.people)
    return dense_tasks(characters, size, drawers=drawers, seed=study_seed + 1)


def fresh_scores(
    network: SiameseNetwork, config: TrialConfig, dataset: Dataset, study_seed: int
) -> TaskScores:
    """Return the dense accuracy on validation characters as drawn by the other drawers.

    Args:
        network: On the device to score on.
        config: Its configuration.
        dataset: The study's.
        study_seed: Selects the drawers that the study validates on.
    """
    characters = dataset.validation(config.input_size)
    tasks = fresh_tasks(characters, dataset.size, study_seed)
    rows = tasks.rows
    images = torch.from_numpy(np.array(characters.images[rows])).to(network.device)
    return evaluate_tasks(network, images, tasks.renumbered(rows))
