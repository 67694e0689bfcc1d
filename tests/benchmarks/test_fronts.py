"""The benchmark of fronts: what is true decides, and a search that never arrives counts whole."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.fronts import BOTH, GOALS, RANDOM, Scene, judged, volume
from benchmarks.replay import Problem
from hpsearch.study.plan import plan_study
from hpsearch.trial import TrialRecord


def test_the_target_is_that_of_random_and_late_searches_count_with_the_whole() -> None:
    runs = {
        RANDOM: [[(0.0, 0.0), (50.0, 1.0)], [(0.0, 0.0), (80.0, 1.0)]],
        "good": [[(10.0, 0.96), (100.0, 2.0)], [(30.0, 0.96), (100.0, 2.0)]],
        "bad": [[(10.0, 0.5), (100.0, 0.9)], [(10.0, 0.5), (100.0, 0.94)]],
    }
    found = judged(runs, 100.0)
    assert found["target"] == pytest.approx(0.95)
    rows = found["searches"]
    assert rows["good"]["seconds_to_target"]["mean"] == 20.0
    assert rows["good"]["ratio_to_random"]["ratio"] == pytest.approx(20 / 65, abs=1e-4)
    assert set(rows["bad"]["seconds_to_target"].values()) == {100.0}
    assert (rows["good"]["reached"], rows["bad"]["reached"]) == (2, 0)


def test_a_lucky_trial_counts_with_its_true_error() -> None:
    plan = plan_study("quickstart", None, {"objectives": list(BOTH)})
    model: Any = SimpleNamespace(epochs=3)
    problem = Problem(plan.space, plan.config.siamese, plan.config.limits, model, BOTH)
    params = dict(plan.enqueued[0][0])
    cost = math.log10(problem.search_problem.costs(params)["multiply_adds"])
    lucky = TrialRecord(0, "complete", params, {1: 0.1}, 0.1)
    at = Scene(problem, (0.5, cost + 1), 10.0)
    assert volume([lucky], {0: 0.4}, at) == pytest.approx(0.1)
    assert problem.search_problem.goals == GOALS
