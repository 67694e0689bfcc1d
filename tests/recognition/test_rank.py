"""Scores against a slow loop, means of several images, ties, and scores beyond the usual."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit

from hpsearch.errors import InputError
from hpsearch.recognition import rank as rank_module
from hpsearch.recognition.model import load_model
from hpsearch.recognition.rank import Candidate, Ranking
from hpsearch.recognition.support import Support, read_images, read_support
from tests.support.models import SIDE, ranked, slow_logit, write_model, write_random_model


def noise(count: int, seed: int = 0) -> np.ndarray:
    """Return random images, uint8 [count, 105, 105]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 15, 15), dtype=np.uint8)
    return coarse.repeat(7, axis=1).repeat(7, axis=2)


def classes(images: np.ndarray, *names: str) -> Support:
    """Return a support of one image per class."""
    return Support(names, images, np.arange(len(names)))


def test_scores_are_those_of_a_slow_loop(model: Path, support: Path, queries: list[Path]) -> None:
    held, asked = read_support(support), read_images(queries)
    ranking = ranked(load_model(model), asked, held)
    assert ranking.scores.shape == (3, 5)
    for query, image in enumerate(asked):
        means = {}
        for number, name in enumerate(held.names):
            members = held.images[held.class_of == number]
            means[name] = float(np.mean([slow_logit(image, member) for member in members]))
        candidates = ranking.candidates(query)
        assert [c.name for c in candidates] == sorted(means, key=lambda n: (-means[n], n))
        for candidate in candidates:
            assert candidate.score == pytest.approx(expit(means[candidate.name]), rel=1e-4)
    assert [ranking.candidates(query)[0].name for query in range(3)] == ["cross", "roof", "dash"]


def test_a_class_counts_by_its_mean_not_by_its_best(model: Path) -> None:
    query = noise(1)
    far, near = 255 - query[0], query[0].copy()
    near[:7, :7] = 255 - near[:7, :7]
    held = Support(("mixed", "near"), np.stack([query[0], far, near]), np.array([0, 0, 1]))
    loaded = load_model(model)
    assert ranked(loaded, query, held).candidates(0)[0].name == "near"
    alone = Support(("mixed", "near"), np.stack([query[0], near]), np.array([0, 1]))
    assert ranked(loaded, query, alone).candidates(0)[0].name == "mixed"


def test_equal_images_tie_exactly_wherever_they_stand(tmp_path: Path) -> None:
    loaded = load_model(write_random_model(tmp_path / "model"))
    images = noise(301)
    images[[5, 150, 300]] = images[77]
    names = [f"c{number:03}" for number in range(301)]
    names[300] = "c004b"
    ranking = ranked(loaded, noise(7, seed=1), classes(images, *names))
    for query in range(7):
        tied = [place for place in (5, 77, 150, 300)]
        assert len({ranking.scores[query, place] for place in tied}) == 1
        order = [c.name for c in ranking.candidates(query)]
        first = order.index("c004b")
        assert order[first : first + 4] == ["c004b", "c005", "c077", "c150"]


def test_an_image_is_scored_alike_alone_and_among_others(tmp_path: Path) -> None:
    loaded = load_model(write_random_model(tmp_path / "model"))
    images, asked = noise(40), noise(9, seed=1)
    names = [f"c{number:02}" for number in range(40)]
    together = ranked(loaded, asked, classes(images, *names)).scores
    alone = ranked(loaded, asked[4:5], classes(images[10:12], "a", "b")).scores
    np.testing.assert_allclose(alone[0], together[4, 10:12], rtol=1e-4)
    assert together.std() > 1e-3


def test_a_large_support_is_compared_in_parts(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, held = load_model(model), classes(noise(10), *"abcdefghij")
    whole = ranked(loaded, noise(3, seed=1), held)
    monkeypatch.setattr(rank_module, "SUPPORTS_AT_ONCE", 3)
    parts = ranked(loaded, noise(3, seed=1), held)
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-5)
    assert (parts.order == whole.order).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bias", [-2000.0, 2000.0])
def test_scores_stay_within_0_and_1_and_rank_beyond_them(tmp_path: Path, bias: float) -> None:
    """Every p is 0 or 1 here, the logits still tell the order."""
    loaded = load_model(write_model(tmp_path / "model", **{"output.bias": torch.tensor([bias])}))
    query = noise(1)
    held = classes(np.stack([255 - query[0], query[0]]), "a", "b")
    ranking = ranked(loaded, query, held)
    expected = float(bias > 0)
    assert ranking.candidates(0) == [Candidate("b", expected), Candidate("a", expected)]


def test_a_diverged_model_is_refused(tmp_path: Path) -> None:
    weights = torch.full((1, SIDE**2), float("nan"))
    loaded = load_model(write_model(tmp_path / "model", **{"output.weight": weights}))
    with pytest.raises(InputError, match="not finite"):
        ranked(loaded, noise(1), classes(noise(2), "a", "b"))


def test_candidates_are_cut_at_the_top() -> None:
    scores = np.array([[0.1, 0.9, 0.5]])
    ranking = Ranking(("a", "b", "c"), scores, np.array([[1, 2, 0]]))
    assert ranking.candidates(0, 2) == [("b", 0.9), ("c", 0.5)]
    assert len(ranking.candidates(0, 99)) == 3
    assert replace(ranking, order=ranking.order[:, ::-1]).candidates(0, 1) == [("a", 0.1)]
