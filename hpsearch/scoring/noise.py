"""Standard errors of both validation measures, by redrawing drawers, tasks and alphabets.

One network scores all drawings of the validation characters once; redraws reuse these scores.
Letters: A alphabets, N characters of one alphabet, D drawers, R redraws, W ways.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.data import Characters
from hpsearch.data.dense import expected_credits
from hpsearch.data.tasks import DENSE_DRAWERS, FEW_DRAWERS, VALIDATION_DRAWERS
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.seeding import generator

REDRAWS = 1000
RUNS = 16
"""Runs of the paper's 320 tasks."""


@dataclass(frozen=True)
class Noise:
    """Standard errors of a network's one-shot accuracy on validation, as shares.

    `tasks_320` is the paper's measure, `dense` the expectation over all tasks of eight drawers.
    `_alphabets` includes the choice of alphabets besides drawers and tasks.
    """

    redraws: int
    tasks_320: float
    dense: float
    tasks_320_alphabets: float
    dense_alphabets: float


def measure_noise(
    network: SiameseNetwork,
    codes: Tensor,
    characters: Characters,
    *,
    ways: int,
    seed: int,
    redraws: int = REDRAWS,
) -> Noise | None:
    """Redraw drawers, tasks and alphabets and return the standard errors of both measures.

    Args:
        network: The trained network.
        codes: Its encodings of all validation images.
        characters: The validation characters.
        ways: Number of candidates per task.
        seed: Seed of the redraws.
        redraws: Number of redraws, at least 2.

    Returns:
        None if there are too few drawers to redraw four (own images).
    """
    index = characters.index()
    if index.shape[1] < FEW_DRAWERS or not characters.people or (index < 0).any():
        return None
    scores = [
        _all_scores(network, codes, index[characters.of_alphabet(number)])
        for number in range(len(characters.alphabets))
    ]
    return noise_of_scores(scores, ways=ways, seed=seed, redraws=redraws)


def noise_of_scores(
    scores: Sequence[NDArray[np.floating]], *, ways: int, seed: int, redraws: int
) -> Noise:
    """Return the noise from the scores of all drawings of each alphabet, [N, D, N, D].

    The 16 runs use some alphabets once more than others; which ones is fixed like the alphabets.
    """
    rng = generator(seed, "noise")
    n_alphabets, n_drawers = len(scores), scores[0].shape[1]
    drawers = rng.permuted(np.tile(np.arange(n_drawers), (redraws, 1)), axis=1)[:, :DENSE_DRAWERS]
    dense = np.empty((redraws, n_alphabets))
    weights = _weights(n_alphabets)  # [A, runs of one alphabet]
    tasks = np.empty((redraws, *weights.shape))
    for alphabet, of_alphabet in enumerate(scores):
        credits = expected_credits(of_alphabet.transpose(1, 3, 0, 2), ways)  # [D, D, N]
        by_pair = credits.mean(axis=-1)  # [D, D], without a drawer and itself
        np.fill_diagonal(by_pair, np.nan)
        dense[:, alphabet] = np.nanmean(
            by_pair[drawers[:, :, None], drawers[:, None]], axis=(1, 2)
        )
        for run in range(weights.shape[1]):
            tasks[:, alphabet, run] = _run_accuracies(of_alphabet, drawers, ways, rng)
    fixed_tasks = (tasks * weights).sum(axis=(1, 2))
    fixed_dense = dense.mean(axis=1)
    # A new alphabet comes with its own drawers and tasks, so each place takes another redraw.
    place = rng.integers(n_alphabets, size=(redraws, n_alphabets))
    drawn = rng.integers(redraws, size=(redraws, n_alphabets))
    new_tasks = (tasks[drawn, place] * weights).sum(axis=(1, 2))
    new_dense = dense[drawn, place].mean(axis=1)
    spread = [float(v.std(ddof=1)) for v in (fixed_tasks, fixed_dense, new_tasks, new_dense)]
    return Noise(redraws, *spread)


def _weights(n_alphabets: int) -> NDArray[np.float64]:
    """Return each run's share of the tasks, [A, runs of one alphabet]; 0 if there is no run."""
    weights = np.zeros((n_alphabets, math.ceil(RUNS / n_alphabets)))
    for run in range(RUNS):
        weights[run % n_alphabets, run // n_alphabets] = 1 / RUNS
    return weights


def _run_accuracies(
    scores: NDArray[np.floating], drawers: NDArray[np.int64], ways: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the accuracy of one run of W tasks in each redraw, [R], from one alphabet's scores.

    Each run draws W characters and an ordered pair of the first four of the redraw's drawers.
    """
    redraws, n = len(drawers), len(scores)
    chosen = rng.permuted(np.tile(np.arange(n), (redraws, 1)), axis=1)[:, :ways]
    two = rng.permuted(np.tile(np.arange(VALIDATION_DRAWERS), (redraws, 1)), axis=1)[:, :2]
    first, second = np.take_along_axis(drawers, two, axis=1).T[:, :, None, None]
    runs = scores[chosen[:, :, None], first, chosen[:, None], second]  # [R, W, W]
    return np.asarray(expected_credits(runs, ways).mean(axis=1))


def _all_scores(
    network: SiameseNetwork, codes: Tensor, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the scores of all drawings of one alphabet, [N, D, N, D], from rows [N, D]."""
    own = codes[torch.from_numpy(rows.flatten()).to(codes.device)]
    with torch.no_grad():
        scores = network.score_matrix(own, own).float().cpu().numpy()
    return np.asarray(scores.reshape(*rows.shape, *rows.shape), np.float32)
