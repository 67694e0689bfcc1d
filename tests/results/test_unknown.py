"""The suggested threshold, against trying every score on every query."""

from __future__ import annotations

import numpy as np
import pytest

from hpsearch.results.unknown import best_scores, suggest_threshold


def made(separation: float, seed: int = 0, n: int = 24) -> list[np.ndarray]:
    """Return logits of four pairs of drawers; the right ones are higher."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, n)) + separation * np.eye(n) for _ in range(4)]


@pytest.mark.parametrize("separation", [0.0, 2.0, 5.0])
def test_no_other_score_tells_known_from_unknown_better(separation: float) -> None:
    logits = made(separation)
    found = suggest_threshold(logits, 20, 7)
    assert found is not None
    rng = np.random.default_rng(7)
    both = [best_scores(matrix, 20, rng) for matrix in logits]
    known = 1 / (1 + np.exp(-np.concatenate([one for one, _ in both])))
    unknown = 1 / (1 + np.exp(-np.concatenate([other for _, other in both])))
    assert found.known_kept == pytest.approx(np.mean(known >= found.score))
    assert found.unknown_rejected == pytest.approx(np.mean(unknown < found.score))
    balanced = found.known_kept + found.unknown_rejected
    for score in np.linspace(0, 1, 2001):
        assert np.mean(known >= score) + np.mean(unknown < score) <= balanced + 1e-12
    assert (found.n_queries, found.ways) == (96, 20)


def test_a_query_is_asked_with_and_without_its_own_character() -> None:
    matrix = np.zeros((30, 30))
    matrix[np.arange(30), np.arange(30)] = 9.0
    matrix[:, 0] += 1.0
    known, unknown = best_scores(matrix, 30, np.random.default_rng(0))
    assert (known >= 9).all()
    assert unknown[0] == 0.0
    assert (unknown[1:] == 1.0).all()


def test_scores_that_are_not_finite_suggest_nothing() -> None:
    logits = made(1.0)
    logits[2][3, 3] = np.nan
    logits[2][3] = np.nan
    assert suggest_threshold(logits, 20, 0) is None
