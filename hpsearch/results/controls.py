"""Two networks that have learnt nothing of the characters, scored beside pixels.

What an untrained network earns comes from the images alone; one trained on shuffled labels shows
that nothing of a test leaks into training. A network that tells less than these knows nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.configfile import read_yaml
from hpsearch.results.intervals import wilson
from hpsearch.seeding import derive_seed, generator
from hpsearch.shipped_files import find_shipped

if TYPE_CHECKING:
    from hpsearch.data import Dataset
    from hpsearch.data.sealed import TestSet
    from hpsearch.training.config import TrialConfig
    from hpsearch.training.evaluation import TaskScores
    from hpsearch.training.trainingdata import TrainingData

STUDY = "quickstart"
"""The study whose reference configuration both networks have."""
EPOCHS = 4
SEED = 0
MEASURED = ("accuracy", "interval", "n_tasks", "verification_auc", "degenerate")
SHUFFLED = "network trained on shuffled labels"


def measure_controls(
    dataset: Dataset, test: TestSet, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, dict[str, Any]]:
    """Score an untrained network and one trained on shuffled labels on one-shot tasks.

    Args:
        dataset: What the second one is trained on.
        test: The tasks and their images, [M, 105, 105].
        progress: Told after each epoch of the second one.

    Returns:
        By key what `figures` says.
    """
    import torch

    from hpsearch.network.initialisation import initialise
    from hpsearch.network.siamese import SiameseNetwork
    from hpsearch.training.trainingdata import TrainingData

    config = reference_config()
    data = TrainingData.from_dataset(dataset, config, study_seed=SEED)
    untrained = SiameseNetwork(config.shape(), output_bias=config.layers.output.bias).eval()
    weights = torch.Generator().manual_seed(derive_seed(SEED, "weights"))
    initialise(untrained, config.init, weights)
    return {
        "untrained_network": figures("untrained network", _score(untrained, test, config), None),
        "shuffled_labels": figures(SHUFFLED, _shuffled(config, data, test, progress), None),
    }


def reference_config() -> TrialConfig:
    """Return what both networks are: the quickstart's reference, a few epochs long."""
    from hpsearch.training.config import TrialConfig

    settings = read_yaml(find_shipped("studies", STUDY))["trial"]
    return TrialConfig.from_values({**settings, "max_epochs": EPOCHS})


def _shuffled(
    config: TrialConfig,
    data: TrainingData,
    test: TestSet,
    progress: Callable[[str, int, int], None] | None,
) -> TaskScores:
    from hpsearch.training.fresh import build_network
    from hpsearch.training.loop import train

    for epoch in train(config, shuffle_labels(data), SEED):
        last = epoch
        if progress is not None:
            progress(SHUFFLED, epoch.result.epoch, config.max_epochs)
    network = build_network(config, last.checkpoint().weights())
    return _score(network, test, config)


def shuffle_labels(data: TrainingData) -> TrainingData:
    """Return the same images, each under the label of another one chosen at random."""
    import torch

    order = generator(SEED, "shuffled labels").permutation(len(data.images))
    return replace(data, images=data.images[torch.from_numpy(order)])


def _score(network: Any, test: TestSet, config: TrialConfig) -> TaskScores:
    import torch

    from hpsearch.data.resize import area_average
    from hpsearch.training.evaluation import evaluate_tasks

    images = area_average(np.asarray(test.characters.images), config.input_size)
    return evaluate_tasks(network, torch.from_numpy(images), test.tasks)


def figures(name: str, scores: TaskScores | None, published: float | None) -> dict[str, Any]:
    """Return what `hpsearch baselines` says of one method; None where it was not measured."""
    measured: dict[str, Any] = dict.fromkeys(MEASURED)
    if scores is not None:
        interval = list(wilson(scores.accuracy, scores.credit.size))
        values = (scores.accuracy, interval, scores.credit.size, scores.auc, scores.degenerate)
        measured = dict(zip(MEASURED, values, strict=True))
    return {**measured, "name": name, "published": published}
