"""Two control networks without knowledge of the characters: untrained, and shuffled labels.

The accuracy of an untrained network comes from the images alone. A network trained on shuffled
labels shows that no test data leak into training. A network that scores no better learnt nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from hpsearch.configfile import read_yaml
from hpsearch.data import Dataset
from hpsearch.data.resize import area_average
from hpsearch.data.sealed import TestSet
from hpsearch.intervals import wilson
from hpsearch.network.initialisation import initialise
from hpsearch.seeding import derive_seed, generator
from hpsearch.shipped_files import find_shipped
from hpsearch.training.build import empty_network, trained_network
from hpsearch.training.config import TrialConfig
from hpsearch.training.evaluation import TaskScores, evaluate_tasks
from hpsearch.training.loop import train
from hpsearch.training.trainingdata import TrainingData

STUDY = "quickstart"
"""The study whose reference configuration both networks use."""
EPOCHS = 4
SEED = 0
MEASURED = ("accuracy", "interval", "n_tasks", "verification_auc", "degenerate")
SHUFFLED = "network trained on shuffled labels"


def measure_controls(
    dataset: Dataset, test: TestSet, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, dict[str, Any]]:
    """Score an untrained network and one trained on shuffled labels on one-shot tasks.

    Args:
        dataset: Training data of the second network.
        test: The tasks and their images, [M, 105, 105].
        progress: Called after each epoch of the second network.

    Returns:
        `figures` of both, by key.
    """
    config = reference_config()
    data = TrainingData.from_dataset(dataset, config, study_seed=SEED)
    untrained = empty_network(config).eval()
    weights = torch.Generator().manual_seed(derive_seed(SEED, "weights"))
    initialise(untrained, config.init, weights)
    pictures = test.tasks.n_pictures
    of_untrained = _score(untrained, test, config)
    of_shuffled = _shuffled(config, data, test, progress)
    return {
        "untrained_network": figures("untrained network", of_untrained, None, pictures),
        "shuffled_labels": figures(SHUFFLED, of_shuffled, None, pictures),
    }


def reference_config() -> TrialConfig:
    """Return the configuration of both: the quickstart's reference with a few epochs."""
    settings = read_yaml(find_shipped("studies", STUDY))["trial"]
    return TrialConfig.from_values({**settings, "max_epochs": EPOCHS})


def _shuffled(
    config: TrialConfig,
    data: TrainingData,
    test: TestSet,
    progress: Callable[[str, int, int], None] | None,
) -> TaskScores:
    for epoch in train(config, shuffle_labels(data), SEED):
        last = epoch
        if progress is not None:
            progress(SHUFFLED, epoch.result.epoch, config.max_epochs)
    network = trained_network(config, last.checkpoint().weights())
    return _score(network, test, config)


def shuffle_labels(data: TrainingData) -> TrainingData:
    """Return the same images, with the labels permuted at random."""
    order = generator(SEED, "shuffled labels").permutation(len(data.images))
    return replace(data, images=data.images[torch.from_numpy(order)])


def _score(network: Any, test: TestSet, config: TrialConfig) -> TaskScores:
    images = area_average(np.asarray(test.characters.images), config.input_size)
    return evaluate_tasks(network, torch.from_numpy(images), test.tasks)


def figures(
    name: str, scores: TaskScores | None, published: float | None, pictures: int
) -> dict[str, Any]:
    """Return the figures of one method; None for each one that was not measured.

    Args:
        name: Its name, as people read it.
        scores: Of the tasks.
        published: The accuracy that was published.
        pictures: How many pictures the tasks ask for.
    """
    measured: dict[str, Any] = dict.fromkeys(MEASURED)
    if scores is not None:
        interval = list(wilson(scores.accuracy, pictures))
        values = (scores.accuracy, interval, scores.credit.size, scores.auc, scores.degenerate)
        measured = dict(zip(MEASURED, values, strict=True))
    return {**measured, "name": name, "published": published}
