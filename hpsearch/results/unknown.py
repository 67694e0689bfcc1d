"""Suggests the score below which a query is called unknown, from validation.

Letters: N characters of an alphabet, W ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Threshold:
    """A score p and its effect on validation tasks.

    Args:
        score: A query whose best score is lower is unknown, 0 to 1.
        known_kept: Share kept of the queries whose class is among the candidates.
        unknown_rejected: Share called unknown of the queries whose class is not among them.
        n_queries: Number of queries of each kind.
        ways: Number of candidates; the more there are, the higher unknown queries score.
    """

    score: float
    known_kept: float
    unknown_rejected: float
    n_queries: int
    ways: int


def suggest_threshold(
    logits: Sequence[NDArray[np.floating]], ways: int, seed: int
) -> Threshold | None:
    """Return the score with the highest balanced accuracy on known and unknown queries.

    Every query is compared twice: with W candidates that include its own character, and with W
    others (or all others if there are fewer).

    Args:
        logits: [N (query), N (support)] of each pair of drawers, right ones on the diagonal.
        ways: W.
        seed: Seed of the candidates.

    Returns:
        None if scores are not finite.

    Reference:
        Youden (1950), "Index for rating diagnostic tests".
    """
    rng = np.random.default_rng(seed)
    known, unknown = [], []
    for matrix in logits:
        with_own, without = best_scores(np.asarray(matrix, np.float64), ways, rng)
        known.append(with_own)
        unknown.append(without)
    own, other = np.concatenate(known), np.concatenate(unknown)
    if not (np.isfinite(own).all() and np.isfinite(other).all()):
        return None
    values = np.unique(np.concatenate([own, other]))
    kept = 1 - np.searchsorted(np.sort(own), values, side="left") / len(own)
    rejected = np.searchsorted(np.sort(other), values, side="left") / len(other)
    place = int(np.argmax(kept + rejected))
    below = values[max(0, place - 1)]
    middle = (values[place] + below) / 2  # between two scores, so that rounding changes nothing
    score = float(np.exp(-np.logaddexp(0, -middle)))
    return Threshold(score, float(kept[place]), float(rejected[place]), len(own), ways)


def best_scores(matrix: Array, ways: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return each query's best logit with its own character among W candidates, and without."""
    n = len(matrix)
    known, unknown = np.empty(n), np.empty(n)
    for query in range(n):
        others = rng.permutation(np.delete(np.arange(n), query))
        known[query] = max(matrix[query, query], matrix[query, others[: ways - 1]].max())
        unknown[query] = matrix[query, others[:ways]].max()
    return known, unknown
