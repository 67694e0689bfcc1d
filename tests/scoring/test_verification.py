"""The calibrated probability that two images show the same character."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpsearch.intervals import wilson
from hpsearch.recognition.calibration import UNCALIBRATED, Calibration
from hpsearch.scoring import verification
from hpsearch.scoring.verification import Pairs, calibration_error, fit


def drawn_pairs(slope: float, bias: float, count: int = 20_000) -> Pairs:
    """Return scores whose true probability is sigmoid(slope x score + bias)."""
    rng = np.random.default_rng(5)
    logits = rng.normal(2.0, 3.0, count)
    return Pairs(logits, rng.random(count) < Calibration(slope, bias).probability(logits))


@pytest.mark.parametrize(("slope", "bias"), [(1.0, 0.0), (0.4, -2.0), (30.0, 5.0), (1e-3, 0.3)])
def test_the_fit_finds_the_probabilities_behind_the_pairs(slope: float, bias: float) -> None:
    pairs = drawn_pairs(slope, bias)
    found = fit(pairs)
    true = Calibration(slope, bias).probability(pairs.logits)
    assert np.abs(found.probability(pairs.logits) - true).mean() < 0.01


def test_scores_that_rank_the_wrong_way_keep_their_meaning() -> None:
    pairs = drawn_pairs(1.0, 0.0)
    assert fit(Pairs(-pairs.logits, pairs.same)) == UNCALIBRATED


def test_the_error_is_zero_for_true_probabilities_and_large_for_sure_ones() -> None:
    pairs = drawn_pairs(0.5, 0.0)
    true = Calibration(0.5, 0.0).probability(pairs.logits)
    assert calibration_error(true, pairs.same) < 0.02
    sure = (true > 0.5).astype(float)
    assert calibration_error(sure, pairs.same) > 0.1


def test_each_half_is_judged_by_the_other_halfs_fit(
    dataset: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    characters = dataset.validation(20)
    monkeypatch.setattr(verification, "N_PAIRS", 400)
    seen: list[set[str]] = []

    def scores(network: Any, codes: Any, left: Any, right: Any) -> Any:
        one, two = (characters.character[rows] for rows in (left, right))
        seen.append({characters.names[c] for c in (*one.tolist(), *two.tolist())})
        shift = 0.0 if len(seen) == 1 else 10.0  # the halves need different biases
        noise = np.random.default_rng(len(seen)).normal(0, 1.0, len(left))
        return np.where(one == two, 1.0, -1.0) + noise + shift

    monkeypatch.setattr(verification, "pair_scores", scores)
    found = verification.verify(None, None, characters, range(4), 0)  # type: ignore[arg-type]
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == set(characters.names)
    assert found["calibrated_accuracy"] < 0.6  # a fit on the same half would give 0.84
    assert found["calibration"]["slope"] > 0
    low, high = found["calibrated_interval"]
    assert low < found["calibrated_accuracy"] < high


def test_more_pairs_of_the_same_pictures_are_no_further_evidence(
    dataset: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    characters = dataset.validation(20)
    monkeypatch.setattr(
        verification, "pair_scores", lambda network, codes, left, right: (left - right) % 7 - 3.0
    )
    found = verification.verify(None, None, characters, range(2), 0)  # type: ignore[arg-type]
    pictures = int((characters.drawer < 2).sum())
    assert found["calibrated_interval"] == list(wilson(found["calibrated_accuracy"], pictures))


@pytest.mark.parametrize("classes", [2, 3])
def test_a_model_of_two_or_three_classes_is_calibrated_on_all_of_them(
    dataset: Any, monkeypatch: pytest.MonkeyPatch, classes: int
) -> None:
    characters, _ = verification._part(  # one alphabet of few characters
        dataset.validation(20), np.arange(len(dataset.validation(20).names)) < classes
    )

    def scores(network: Any, codes: Any, left: Any, right: Any) -> Any:
        noise = np.random.default_rng(0).normal(0, 1.0, len(left))
        return np.where(characters.character[left] == characters.character[right], 9, 5) + noise

    monkeypatch.setattr(verification, "pair_scores", scores)
    found = verification.verify(None, None, characters, range(4), 0)  # type: ignore[arg-type]
    calibration = Calibration.of(found)
    assert calibration.probability(np.array([9.0]))[0] > 0.8
    assert calibration.probability(np.array([5.0]))[0] < 0.2
    assert found["calibrated_accuracy"] is found["calibrated_interval"] is None


def test_scores_that_are_not_finite_give_no_calibration(
    dataset: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        verification, "pair_scores", lambda network, codes, left, right: np.full(len(left), np.nan)
    )
    found = verification.verify(None, None, dataset.validation(20), range(4), 0)  # type: ignore[arg-type]
    assert set(found.values()) == {None}


def test_a_half_of_one_character_gives_no_calibrated_accuracy(
    dataset: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few own images: three classes are validated on, and one half of them is a single class."""
    whole = dataset.validation(20)
    kept = np.isin(np.arange(len(whole.names)), [0, 1, 2])
    few, _ = verification._part(whole, kept)
    monkeypatch.setattr(
        verification, "pair_scores", lambda network, codes, left, right: np.zeros(len(left))
    )
    found = verification.verify(None, None, few, range(4), 0)  # type: ignore[arg-type]
    assert Calibration.of(found) == UNCALIBRATED
    assert {found[name] for name in found if name != "calibration"} == {None}
