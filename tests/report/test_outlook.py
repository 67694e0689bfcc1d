"""Whether a search found more than its start, and what another hour would bring."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hpsearch.report import outlook
from hpsearch.report.facts import read_facts
from hpsearch.report.outlook import forecast, found_more, next_hour
from hpsearch.seeding import generator
from hpsearch.wording import percent
from tests.support.made_search import Made, write_search


@pytest.mark.parametrize("kind", ["beta", "bounded", "heavy"])
def test_forecasts_of_random_searches_hold(kind: str) -> None:
    """The interval covers what more trials bring; chance and mean gain are right on average."""
    rng = generator(3, "random searches")

    def draw(count: int) -> NDArray[np.float64]:
        if kind == "beta":
            return rng.beta(4, 8, count)
        if kind == "bounded":
            return 0.2 + rng.gamma(2, 0.1, count)
        return np.exp(rng.normal(-1.5, 0.4, count))

    covered, chances, better, bias = 0, [], [], []
    for seed in range(150):
        seen, coming = draw(80), draw(40)
        told = forecast([*seen[40:]], seen.min(), 40, seed)
        assert told is not None
        gain = max(0.0, seen.min() - coming.min())
        covered += told.interval[0] <= gain <= told.interval[1]
        chances.append(told.chance)
        better.append(gain > 0)
        bias.append(told.gain - gain)
    assert covered >= 0.93 * 150
    assert abs(np.mean(chances) - np.mean(better)) < 0.12
    assert abs(np.mean(bias)) < 0.02


def test_too_little_is_no_ground_for_a_forecast() -> None:
    assert forecast([0.3] * 9 + [math.inf] * 30, 0.3, 20, 0) is None
    assert forecast([0.3] * 30, 0.3, 20, 0) is None
    assert forecast(list(np.linspace(0.3, 0.5, 30)), 0.3, 0, 0) is None


def test_trials_that_cannot_be_trained_lower_the_chance() -> None:
    errors = list(np.linspace(0.3, 0.5, 30))
    alone, beside = forecast(errors, 0.3, 20, 0), forecast([*errors, *[math.inf] * 60], 0.3, 20, 0)
    assert alone is not None
    assert beside is not None
    assert beside.chance < alone.chance
    assert beside.in_words().startswith("Another hour, 20 trials at this pace, finds a lower")


def test_a_search_says_whether_it_beat_its_start(tmp_path: Path) -> None:
    facts = read_facts(write_search(tmp_path / "s", Made(80, epochs=4)))
    begun = facts.view.trials[0].value
    assert begun is not None
    assert f"below the start, trial 0 ({percent(begun)})" in str(found_more(facts))
    assert next_hour(facts) is None  # made without a driver, so it has no pace
    worked = replace(facts, view=replace(facts.view, driver_seconds=1800.0))
    told = next_hour(worked)
    assert told is not None
    assert told.trials == 2 * sum(t.finished for t in facts.view.trials)
    alone = replace(facts, best=facts.view.trials[0])
    assert found_more(alone) == "No trial is better than the start, trial 0."
    certificate: dict[str, Any] = {
        "trial": 7,
        "candidates": [
            {"trial": 7, "probability_best": 0.9, "error": 0.2, "interval": [0.1, 0.3]},
            {"trial": 0, "probability_best": 0.1, "error": 0.3, "interval": [0.2, 0.4]},
        ],
    }
    assert outlook._confirmed(certificate, 0) == (
        "The best trial cannot be told apart from the start, trial 0."
    )
    certificate["candidates"][0]["probability_best"] = 0.99
    assert outlook._confirmed(certificate, 0) == (
        "The best trial is better than the start, trial 0, whose error on fresh tasks is "
        "30.0 % [20.0, 40.0]."
    )
    assert outlook._confirmed(certificate, 3) is None
