"""What recognition of own images reaches without training.

Scored on the study's validation tasks: pixels, the modified Hausdorff distance, and the two
networks that training may start from, the shipped one and an untrained one.

Letters: M images, S side, R runs, W ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hpsearch.confirm.gain import STARTS, Start
from hpsearch.data import Characters, Dataset
from hpsearch.data.few_shot import draw_tasks
from hpsearch.data.tasks import OneShotTasks
from hpsearch.intervals import wilson
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.results.baselines import cosine_scores, hausdorff_scores
from hpsearch.seeding import trial_seed
from hpsearch.study.config import StudyConfig
from hpsearch.training.build import trained_network
from hpsearch.training.config import NOTHING
from hpsearch.training.evaluation import encode, run_scores, task_scores
from hpsearch.training.loop import train
from hpsearch.training.trainingdata import TrainingData

Score = Callable[[OneShotTasks], NDArray[np.floating]]
"""Returns scores [R, W (query), W (support)]."""


@dataclass(frozen=True)
class Figure:
    """The accuracy of one method.

    Args:
        name: Its name, as people read it.
        start: The start that it is, None for what is no network.
        accuracy: On the validation tasks, 0 to 1.
        interval: Its Wilson 95 % interval; tasks that ask for the same picture count as one.
        n_tasks: Number of the tasks.
        n_pictures: Number of pictures that they ask for.
    """

    name: str
    start: Start | None
    accuracy: float
    interval: Sequence[float]
    n_tasks: int
    n_pictures: int


@dataclass(frozen=True)
class Starts:
    """What needs no training: its accuracies, and the encoder of the lowest objective."""

    figures: tuple[Figure, ...]
    encoder: Start


def measure_starts(dataset: Dataset, study: StudyConfig) -> Starts:
    """Score the training-free methods and both encoders on the study's validation tasks.

    The tasks show the validation images at the network's size, with the study's ways and shots;
    the score of a candidate is the mean over its support images. The encoder is chosen by the
    study's objective, with the seed of trial 0. No view is averaged.
    """
    characters = dataset.validation(study.siamese.input_size)
    images = np.array(characters.images)
    shots = _tasks(dataset, characters)
    figures = [
        _figure("pixels", None, lambda tasks: cosine_scores(images, tasks), shots),
        _figure("Hausdorff distance", None, lambda tasks: hausdorff_scores(images, tasks), shots),
    ]
    errors: dict[Start, float] = {}
    data = TrainingData.from_dataset(
        dataset, study.siamese, study_seed=study.seed, objective=study.objective
    )
    for start, name in STARTS.items():
        config = study.siamese.with_parameters({"start": start, "train_from": NOTHING})
        epoch = next(train(config, data, trial_seed(study.seed, 0)))
        errors[start] = epoch.result.validation_error
        plain = config.with_parameters({"test_time_averaging": "none"})
        network = trained_network(plain, epoch.checkpoint().weights())
        figures.append(_figure(name, start, _of_network(network, images), shots))
    return Starts(tuple(figures), min(errors, key=lambda start: errors[start]))


def _tasks(dataset: Dataset, characters: Characters) -> list[OneShotTasks]:
    """Return the tasks with each of their support images in turn."""
    size = dataset.size
    runs = draw_tasks(
        characters,
        ways=size.ways,
        shots=size.shots,
        n_tasks=size.runs * size.ways,  # so every run asks for all of its classes
        within="group",
    ).runs
    query, support, target = (
        np.stack([getattr(run, name) for run in runs]) for name in ("query", "support", "target")
    )
    alphabet = tuple(run.groups[0] for run in runs)
    return [
        OneShotTasks(query, support[:, :, shot], target, alphabet) for shot in range(size.shots)
    ]


def _of_network(network: SiameseNetwork, images: NDArray[np.uint8]) -> Score:
    codes = encode(network, torch.from_numpy(images))
    return lambda tasks: run_scores(network, codes, tasks).double().numpy()


def _figure(name: str, start: Start | None, score: Score, shots: Sequence[OneShotTasks]) -> Figure:
    tasks = shots[0]
    scores = np.mean([score(one) for one in shots], axis=0)
    accuracy = task_scores(scores, tasks).accuracy
    pictures = len(np.unique(tasks.query))
    return Figure(name, start, accuracy, wilson(accuracy, pictures), tasks.n_tasks, pictures)
