"""What recognition of own images reaches without training.

Scored on the study's validation tasks: pixels, the modified Hausdorff distance, and the two
networks that training may start from, the shipped one and an untrained one.

Letters: M images, S side, R runs, W ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from hpsearch.backbones.cached import features_of
from hpsearch.backbones.settings import Backbone
from hpsearch.confirm.gain import STARTS, Start
from hpsearch.data import Characters, Dataset
from hpsearch.data.few_shot import draw_tasks
from hpsearch.data.resize import COLOUR_SIDE, area_average
from hpsearch.data.tasks import OneShotTasks
from hpsearch.intervals import wilson
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.pictures.folder import convert_pixels
from hpsearch.recognition.model import SHIPPED, load_model
from hpsearch.scoring.baselines import cosine_scores, hausdorff_scores
from hpsearch.seeding import trial_seed
from hpsearch.study.config import StudyConfig
from hpsearch.training.build import empty_network, trained_network
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
    """Score the training-free methods and the encoders on the study's validation tasks.

    The tasks show the validation images at the network's size, with the study's ways and shots;
    the score of a candidate is the mean over its support images. The encoder is chosen by the
    study's objective, with the seed of trial 0. No view is averaged.
    """
    if study.siamese.backbone is not None:
        return _with_backbone(dataset, study, study.siamese.backbone)
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
        if start == "backbone":
            continue
        config = study.siamese.with_parameters({"start": start, "train_from": NOTHING})
        epoch = next(train(config, data, trial_seed(study.seed, 0)))
        errors[start] = epoch.result.validation_error
        plain = config.with_parameters({"test_time_averaging": "none"})
        network = trained_network(plain, epoch.checkpoint().weights())
        figures.append(_figure(name, start, _of_network(network, images), shots))
    return Starts(tuple(figures), min(errors, key=lambda start: errors[start]))


def _with_backbone(dataset: Dataset, study: StudyConfig, settings: Backbone) -> Starts:
    """Score what knows no backbone, the backbone as it is, and the backbone whitened."""
    characters = dataset.validation(COLOUR_SIDE)
    images = np.array(characters.images)
    shots = _tasks(dataset, characters)
    figures = [_figure("pixels", None, lambda tasks: cosine_scores(images, tasks), shots)]
    shipped = load_model(SHIPPED)
    name = "the shipped model, without a backbone, on grey ink"
    drawn = _as_ink(images, shipped.config.input_size)
    figures.append(_figure(name, None, _of_network(shipped.network, drawn), shots))
    whitened = study.siamese.with_parameters({"train_from": NOTHING})
    plain = whitened.with_parameters(
        {"backbone.maps": "1", "backbone.grid": 1, "backbone.shrinkage": 1.0,
         "backbone.centring": False}
    )  # fmt: skip
    for config, start, name in (
        (plain, None, f"{settings.name} as it is: the cosine of its last map's mean"),
        (whitened, "backbone", STARTS["backbone"]),
    ):
        data = TrainingData.from_dataset(
            dataset, config, study_seed=study.seed, objective=study.objective
        )
        epoch = next(train(config, data, trial_seed(study.seed, 0)))
        network = empty_network(config).eval()
        network.load_state_dict(epoch.checkpoint().weights())
        features = features_of(dataset, "validation", settings)
        scores = _of_network(network, np.asarray(features))
        figures.append(_figure(name, cast("Start | None", start), scores, shots))
    return Starts(tuple(figures), "backbone")


def _as_ink(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return colour pictures [M, 3, S, S] as drawings on paper, for the shipped model."""
    grey = (convert_pixels(image.transpose(1, 2, 0)) for image in images)
    return area_average(np.stack(list(grey)), size)


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


def _of_network(network: SiameseNetwork, images: NDArray[Any]) -> Score:
    codes = encode(network, torch.from_numpy(np.array(images)))
    return lambda tasks: run_scores(network, codes, tasks).double().numpy()


def _figure(name: str, start: Start | None, score: Score, shots: Sequence[OneShotTasks]) -> Figure:
    tasks = shots[0]
    scores = np.mean([score(one) for one in shots], axis=0)
    accuracy = task_scores(scores, tasks).accuracy
    pictures = tasks.n_pictures
    return Figure(name, start, accuracy, wilson(accuracy, pictures), tasks.n_tasks, pictures)
