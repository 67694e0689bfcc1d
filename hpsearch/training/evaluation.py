"""One-shot and verification accuracy of a network (Koch et al. 2015, sections 4.2 and 4.3).

Letters: M images, R runs, W ways, D units, P pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.data.tasks import OneShotTasks, score_tasks
from hpsearch.network.siamese import SiameseNetwork

DEGENERATE_SPREAD = 1e-6
"""Scores that differ by less, relative to their size, say nothing."""
IMAGES_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class TaskScores:
    """How a network did on one-shot tasks.

    Args:
        accuracy: Mean credit, 0 to 1.
        credit: Credit of each task, [R, W].
        degenerate: Scores do not depend on the images, or are not finite.
    """

    accuracy: float
    credit: NDArray[np.float64]
    degenerate: bool


@torch.no_grad()
def encode(network: SiameseNetwork, images: Tensor) -> Tensor:
    """Encode uint8 images [M, S, S]; return [M, D]."""
    parts = [
        network.encode(to_input(images[i : i + IMAGES_AT_ONCE]))
        for i in range(0, len(images), IMAGES_AT_ONCE)
    ]
    return torch.cat(parts)


def to_input(images: Tensor) -> Tensor:
    """Turn uint8 images [M, S, S] into ink within [0, 1], [M, 1, S, S]."""
    return images.unsqueeze(1).to(torch.float32).div_(255)


@torch.no_grad()
def run_scores(network: SiameseNetwork, encodings: Tensor, tasks: OneShotTasks) -> Tensor:
    """Return logits [R, W (query), W (support)] from the encodings of all images [M, D]."""
    device = encodings.device
    query = torch.as_tensor(tasks.query, device=device)
    support = torch.as_tensor(tasks.support, device=device)
    runs = [
        network.score_matrix(encodings[q], encodings[s]) for q, s in zip(query, support, strict=True)
    ]
    return torch.stack(runs)


def evaluate_tasks(network: SiameseNetwork, images: Tensor, tasks: OneShotTasks) -> TaskScores:
    """Score one-shot tasks whose rows point into uint8 images [M, S, S]."""
    scores = run_scores(network, encode(network, images), tasks).float().cpu().numpy()
    credit = score_tasks(scores, tasks)
    finite = np.isfinite(scores)
    spread = float(np.ptp(scores[finite])) if finite.any() else 0.0
    size = float(np.abs(scores[finite]).max()) if finite.any() else 0.0
    degenerate = not finite.all() or spread <= DEGENERATE_SPREAD * max(size, 1e-30)
    accuracy = math.fsum(credit.flat) / credit.size  # exactly 1 / W where every task earns that
    return TaskScores(accuracy, credit, degenerate)


def verification_accuracy(
    network: SiameseNetwork, encodings: Tensor, left: Tensor, right: Tensor, same: Tensor
) -> float:
    """Return the share of pairs told right at p = 0.5.

    Args:
        network: The network.
        encodings: [M, D].
        left: Rows of the first images, [P].
        right: Rows of the second images, [P].
        same: Whether they are the same character, bool [P].
    """
    with torch.no_grad():
        logits = network.score(encodings[left], encodings[right])
    return float(((logits > 0) == same).double().mean())
