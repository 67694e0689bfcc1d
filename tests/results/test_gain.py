"""What training gained over a study's start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpsearch.confirm.gain import gain_in_words, is_kept, measure_gain


def run(trial: int, errors: list[float]) -> dict[str, Any]:
    by_name = {f"a{place}": error for place, error in enumerate(errors)}
    return {"trial": trial, "error": float(np.mean(errors)), "per_alphabet": by_name}


def drawn(rng: np.random.Generator, gain: float, seeds: int, alphabets: int) -> Any:
    before = rng.normal(0.3, 0.05, alphabets)
    of_alphabet = rng.normal(gain, 0.02, alphabets)
    after = [before - of_alphabet - rng.normal(0, 0.01) for _ in range(seeds)]
    return [run(0, before.tolist())], [run(4, one.tolist()) for one in after]


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        low, high = measure_gain(*drawn(rng, 0.03, 3, 6)).interval
        covered += low <= 0.03 <= high
    assert 0.92 <= covered / 400 <= 0.995


@pytest.mark.parametrize(("gain", "helps"), [(0.1, True), (0.0, False), (-0.1, False)])
def test_training_helps_where_the_whole_interval_does(gain: float, helps: bool) -> None:
    found = measure_gain(*drawn(np.random.default_rng(3), gain, 3, 8))
    assert found.helps is helps
    told = gain_in_words(found.to_json())
    assert ("training does not help on these images" in told) is not helps


def test_one_alphabet_and_equal_runs_have_an_interval() -> None:
    found = measure_gain([run(0, [0.3])], [run(2, [0.2]), run(2, [0.2])])
    assert found.interval == (pytest.approx(0.1), pytest.approx(0.1))


@pytest.mark.parametrize(("pictures", "helps"), [(4, False), (400, True), (None, True)])
def test_a_gain_on_few_own_pictures_is_not_certain(pictures: int | None, helps: bool) -> None:
    """Though all seeds agree; without pictures, as of Omniglot, the interval is of seeds."""
    found = measure_gain([run(0, [0.25])], [run(2, [0.0]), run(2, [0.0])], pictures=pictures)
    assert found.helps is helps


def test_a_trained_start_is_compared_seed_by_seed() -> None:
    """What a seed does to both trials is not part of the interval."""
    rng = np.random.default_rng(5)
    of_seed, of_alphabet = rng.normal(0, 0.05, 4), rng.normal(0.3, 0.05, 8)
    start = [run(0, (of_alphabet + seed).tolist()) for seed in of_seed]
    runs = [run(7, (of_alphabet + seed - 0.02).tolist()) for seed in of_seed]
    found = measure_gain(start, runs, as_it_is=False)
    assert found.helps
    assert found.interval == pytest.approx((0.02, 0.02))
    told = gain_in_words(found.to_json())
    assert told.startswith("the search gained +2.0 points [2.0, 2.0] over trial 0, its start")
    equal = measure_gain(start, [{**one, "trial": 7} for one in start], as_it_is=False).to_json()
    assert "found nothing that is certainly better than its start" in gain_in_words(equal)
    assert not is_kept({"gain": equal})
