"""The images of one trial, resident on its device: training drawers, validation tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hpsearch.data import open_packed
from hpsearch.data.dataset import Dataset
from hpsearch.data.tasks import OneShotTasks, split_drawers, validation_tasks
from hpsearch.training.config import TrialConfig
from hpsearch.training.pairs import Sampler


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What training needs of a data set.

    Args:
        images: uint8 [N, S, S], background images, ink = 255.
        sampler: Draws rows of `images`.
        validation: uint8 [M, S, S], the images that validation tasks show, each once.
        tasks: Their rows in `validation`.
    """

    images: Tensor
    sampler: Sampler
    validation: Tensor
    tasks: OneShotTasks

    @classmethod
    def load(
        cls, packed: Path, config: TrialConfig, *, study_seed: int, device: str = "cpu"
    ) -> TrainingData:
        """Load from a packed folder (see `from_dataset`)."""
        return cls.from_dataset(open_packed(packed), config, study_seed=study_seed, device=device)

    @classmethod
    def from_dataset(
        cls, dataset: Dataset, config: TrialConfig, *, study_seed: int, device: str = "cpu"
    ) -> TrainingData:
        """Load the study's training drawers and validation tasks."""
        background = dataset.background(config.input_size)
        index = background.index()
        training, _ = split_drawers(index.shape[1], config.drawers, study_seed)
        used = index[:, training]
        validation = dataset.validation(config.input_size)
        _, drawers = split_drawers(validation.n_drawers, config.drawers, study_seed)
        tasks = validation_tasks(validation, ways=dataset.ways, drawers=drawers, seed=study_seed)
        kept, tasks = _only_shown(tasks)
        return cls(
            images=torch.from_numpy(np.array(background.images)).to(device),
            sampler=Sampler(used, background.alphabet_of),
            validation=torch.from_numpy(np.array(validation.images[kept])).to(device),
            tasks=tasks,
        )


def _only_shown(tasks: OneShotTasks) -> tuple[np.ndarray, OneShotTasks]:
    kept, place = np.unique(np.stack([tasks.query, tasks.support]), return_inverse=True)
    query, support = place.reshape(2, *tasks.query.shape)
    return kept, OneShotTasks(query, support, tasks.target, tasks.alphabet)
