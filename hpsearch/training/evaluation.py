"""One-shot and verification accuracy of a network (Koch et al. 2015, sections 4.2 and 4.3).

Letters: M images, R runs, W ways, D units, P pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.data.dense import DenseTasks, expected_credits, mean_credit
from hpsearch.data.tasks import OneShotTasks, score_tasks
from hpsearch.network.siamese import SiameseNetwork

DEGENERATE_SPREAD = 1e-6
"""Scores with a smaller relative difference count as equal."""
CHANCE_AUC = 0.05
"""A verification AUC within this distance of 0.5 counts as guessing."""
IMAGES_AT_ONCE = 128
PAIRS_AT_ONCE = 500


@dataclass(frozen=True, eq=False)
class TaskScores:
    """The scores of a network on one-shot tasks.

    Args:
        accuracy: Mean credit, 0 to 1.
        credit: Credit of each task, [R, W]; in dense validation the expected credit of each query,
            one pair of drawers after the other.
        per_alphabet: Mean credit of each alphabet's tasks.
        auc: Verification AUC: the probability that a query scores higher with its own character
            than with another character of its tasks; ties count half. 0.5 is guessing.
        degenerate: Whether scores do not depend on the images, are not finite, or have a
            verification AUC within 0.05 of 0.5.
    """

    accuracy: float
    credit: NDArray[np.float64]
    per_alphabet: dict[str, float]
    auc: float
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
    """Turn uint8 images [M, S, S] into ink within [0, 1], [M, 1, S, S].

    Colour pictures stay [M, 3, S, S], and the features of a backbone [M, F].
    """
    if images.is_floating_point():
        return images.float()
    return (images if images.ndim == 4 else images.unsqueeze(1)).to(torch.float32).div_(255)


@torch.no_grad()
def run_scores(network: SiameseNetwork, encodings: Tensor, tasks: OneShotTasks) -> Tensor:
    """Return logits [R, W (query), W (support)] from the encodings of all images [M, D]."""
    device = encodings.device
    query = torch.as_tensor(tasks.query, device=device)
    support = torch.as_tensor(tasks.support, device=device)
    runs = [
        network.score_matrix(encodings[q], encodings[s])
        for q, s in zip(query, support, strict=True)
    ]
    return torch.stack(runs)


def evaluate_tasks(
    network: SiameseNetwork, images: Tensor, tasks: OneShotTasks | DenseTasks
) -> TaskScores:
    """Score tasks whose rows point into uint8 images [M, S, S]; each image is encoded once."""
    return score_encoded(network, encode(network, images), tasks)


def score_encoded(
    network: SiameseNetwork, encodings: Tensor, tasks: OneShotTasks | DenseTasks
) -> TaskScores:
    """Score tasks whose rows point into the encodings of M images."""
    if isinstance(tasks, DenseTasks):
        matrices = dense_scores(network, encodings, tasks)
        credits = [expected_credits(matrix, tasks.ways) for matrix in matrices]
        dense = mean_credit(credits, tasks)
        scores = np.concatenate([matrix.ravel() for matrix in matrices])
        same = np.concatenate([np.eye(len(matrix), dtype=bool).ravel() for matrix in matrices])
        auc = pair_auc(scores, same)
        return TaskScores(
            dense.accuracy,
            np.concatenate(credits),
            dense.per_alphabet,
            auc,
            _degenerate(scores, auc),
        )
    scores = run_scores(network, encodings, tasks).float().cpu().numpy()
    return task_scores(scores, tasks)


def task_scores(scores: NDArray[np.floating], tasks: OneShotTasks) -> TaskScores:
    """Summarise scores [R, W, W] of one-shot tasks."""
    credit = score_tasks(scores, tasks)
    by_alphabet: dict[str, list[float]] = {}
    for name, run in zip(tasks.alphabet, credit, strict=True):
        by_alphabet.setdefault(name, []).extend(run.tolist())
    per_alphabet = {name: math.fsum(c) / len(c) for name, c in by_alphabet.items()}
    accuracy = math.fsum(credit.flat) / credit.size  # exactly 1 / W where every task earns that
    same = tasks.target[:, :, None] == np.arange(tasks.ways)
    auc = pair_auc(scores, same)
    return TaskScores(accuracy, credit, per_alphabet, auc, _degenerate(scores, auc))


@torch.no_grad()
def dense_scores(
    network: SiameseNetwork, encodings: Tensor, tasks: DenseTasks
) -> list[NDArray[np.float32]]:
    """Return logits [N (query), N (support)] of each pair of drawers: means over the shots.

    All rows go to the device at once, and an alphabet's logits come back at once.
    """
    sides = [rows.ravel() for pair in tasks.pairs for rows in (pair.query, pair.support)]
    there = torch.from_numpy(np.concatenate(sides)).to(encodings.device)
    rows = iter(torch.split(there, [len(side) for side in sides]))
    found: list[NDArray[np.float32]] = []
    for _, group in groupby(tasks.pairs, lambda pair: pair.alphabet):
        known: dict[tuple[bytes, bytes], Tensor] = {}
        matrices: list[Tensor] = []
        for pair in group:
            query, support = encodings[next(rows)], encodings[next(rows)]
            key = (pair.query.tobytes(), pair.support.tobytes())
            turned = known.get(key[::-1]) if network.aligned else None  # costly, and symmetric
            if turned is None:
                logits = network.score_matrix(query, support).float()  # [N, N * K]
                known[key] = logits.view(len(query), *pair.support.shape).mean(2)
            else:
                known[key] = turned.T
            matrices.append(known[key])
        together = torch.cat([matrix.flatten() for matrix in matrices]).cpu().numpy()
        parts = np.split(together, np.cumsum([matrix.numel() for matrix in matrices])[:-1])
        found += [p.reshape(m.shape) for p, m in zip(parts, matrices, strict=True)]
    return found


def pair_auc(scores: NDArray[np.floating], same: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve of same against different pairs.

    Args:
        scores: Higher is more alike; any shape. Non-finite scores rank last and tie.
        same: Whether the two images show the same character, same shape as `scores`.

    Returns:
        0 to 1; 0.5 if either kind of pair is missing.

    Reference:
        Hanley and McNeil (1982): the Mann-Whitney statistic over the product of both counts.
    """
    n_same = int(same.sum())
    n_different = same.size - n_same
    if not n_same or not n_different:
        return 0.5
    ranked = np.where(np.isfinite(scores), scores, -np.inf).ravel()
    _, place, counts = np.unique(ranked, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2  # ties share their mean rank, from 1 on
    total = float(rank[place][same.ravel()].sum())
    return (total - n_same * (n_same + 1) / 2) / (n_same * n_different)


def _degenerate(scores: NDArray[np.floating], auc: float) -> bool:
    """Return whether scores do not depend on the images, or are not all finite."""
    finite = scores[np.isfinite(scores)]
    if finite.size < scores.size or not finite.size or abs(auc - 0.5) <= CHANCE_AUC:
        return True
    return bool(np.ptp(finite) <= DEGENERATE_SPREAD * max(float(np.abs(finite).max()), 1e-30))


@torch.no_grad()
def pair_logits(network: SiameseNetwork, encodings: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Return the logits [P] of "same" of pairs.

    Args:
        network: The network.
        encodings: Of M images.
        left: Rows of the first images, [P].
        right: Rows of the second images, [P].
    """
    pairs = zip(*(torch.split(rows, PAIRS_AT_ONCE) for rows in (left, right)), strict=True)
    return torch.cat([network.score(encodings[one], encodings[two]) for one, two in pairs])


def verification_accuracy(
    network: SiameseNetwork, encodings: Tensor, left: Tensor, right: Tensor, same: Tensor
) -> float:
    """Return the share of pairs classified correctly at p = 0.5; see `pair_logits`."""
    logits = pair_logits(network, encodings, left, right)
    return float(((logits > 0) == same).double().mean())
