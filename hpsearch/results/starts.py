"""What one-shot recognition of own images reaches without training.

Scored on the study's validation tasks: pixels, the modified Hausdorff distance, and the two
networks that training may start from, the shipped one and an untrained one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from hpsearch.data import Dataset
from hpsearch.data.tasks import OneShotTasks
from hpsearch.intervals import wilson
from hpsearch.results.baselines import cosine_scores, hausdorff_scores
from hpsearch.seeding import trial_seed
from hpsearch.study.config import StudyConfig
from hpsearch.training.build import trained_network
from hpsearch.training.config import NOTHING
from hpsearch.training.evaluation import evaluate_tasks, task_scores
from hpsearch.training.loop import train
from hpsearch.training.selection import objective_tasks
from hpsearch.training.trainingdata import TrainingData

Start = Literal["shipped", "untrained"]
NAMES: dict[Start, str] = {"shipped": "shipped model as it is", "untrained": "untrained network"}


@dataclass(frozen=True)
class Figure:
    """The accuracy of one method.

    Args:
        name: Its name, as people read it.
        start: The start that it is, None for what is no network.
        accuracy: On the validation tasks, 0 to 1.
        interval: Its Wilson 95 % interval.
        n_tasks: Number of the tasks.
    """

    name: str
    start: Start | None
    accuracy: float
    interval: Sequence[float]
    n_tasks: int


@dataclass(frozen=True)
class Starts:
    """What needs no training: its accuracies, and the encoder of the lowest objective."""

    figures: tuple[Figure, ...]
    encoder: Start


def measure_starts(dataset: Dataset, study: StudyConfig) -> Starts:
    """Score the training-free methods and both encoders on the study's validation tasks.

    The tasks are one-shot tasks of the validation images at the network's size; the encoder is
    chosen by the study's objective, with the seed of trial 0. No view is averaged.
    """
    characters = dataset.validation(study.siamese.input_size)
    rows, tasks = objective_tasks(characters, dataset.ways, "tasks_320", study.seed)
    assert isinstance(tasks, OneShotTasks)
    images = np.array(characters.images[rows])
    scores = {
        "pixels": cosine_scores(images, tasks),
        "Hausdorff distance": hausdorff_scores(images, tasks),
    }
    figures = [_figure(n, None, task_scores(s, tasks).accuracy, tasks) for n, s in scores.items()]
    errors: dict[Start, float] = {}
    data = TrainingData.from_dataset(
        dataset, study.siamese, study_seed=study.seed, objective=study.objective
    )
    for start, name in NAMES.items():
        config = study.siamese.with_parameters({"start": start, "train_from": NOTHING})
        epoch = next(train(config, data, trial_seed(study.seed, 0)))
        errors[start] = epoch.result.validation_error
        plain = config.with_parameters({"test_time_averaging": "none"})
        network = trained_network(plain, epoch.checkpoint().weights())
        accuracy = evaluate_tasks(network, torch.from_numpy(images), tasks).accuracy
        figures.append(_figure(name, start, accuracy, tasks))
    return Starts(tuple(figures), min(errors, key=lambda start: errors[start]))


def _figure(name: str, start: Start | None, accuracy: float, tasks: OneShotTasks) -> Figure:
    return Figure(name, start, accuracy, wilson(accuracy, tasks.n_tasks), tasks.n_tasks)
