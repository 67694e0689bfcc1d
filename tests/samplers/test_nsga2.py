"""NSGA-II as a function of the history: generations follow from the trials' order."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpsearch.front import Goal, Goals
from hpsearch.samplers.config import SamplerConfig
from hpsearch.samplers.suggest import suggest
from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import TrialRecord
from tests.support.problems import base_config, space_of

BOTH = Goals(objectives=(Goal(name="error"), Goal(name="distance")))


def problem(goals: Goals) -> SearchProblem:
    rate = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
    momentum = {"type": "float", "low": 0, "high": 1}
    space = space_of({"fc.learning_rate": rate, "fc.momentum": momentum})
    return SearchProblem(space, base_config([3], [True], 35), Limits(), goals)


def searched(goals: Goals, count: int, seed: int) -> list[TrialRecord]:
    """Minimise the distances from momentum 0.2 and 0.6 at rate 1e-2."""
    config = SamplerConfig(name="nsga2", startup_trials=4, options={"population": 8})
    history: list[TrialRecord] = []
    for n in range(count):
        params = suggest(problem(goals), config, history, seed, n)
        rate = (math.log10(float(params["fc.learning_rate"])) + 2) ** 2
        momentum = float(params["fc.momentum"])
        error, other = rate + (momentum - 0.2) ** 2, rate + (momentum - 0.6) ** 2
        figures = {"distance": other}
        state = "complete" if n % 3 else "pruned"
        history.append(TrialRecord(n, state, params, {1: error}, error, figures=figures))  # type: ignore[arg-type]
    return history


@pytest.mark.parametrize("goals", [Goals(), BOTH], ids=["one", "two"])
def test_later_generations_are_better(goals: Goals) -> None:
    early, late = list[float](), list[float]()
    for seed in (1, 2, 3):
        history = searched(goals, 72, seed)
        far = [abs(math.log10(float(t.params["fc.learning_rate"])) + 2) for t in history]
        early, late = [*early, *far[:24]], [*late, *far[-24:]]
    assert np.mean(late) < 0.8 * np.mean(early)
    momenta = [float(t.params["fc.momentum"]) for t in history[-24:]]
    assert np.std(momenta) > 0.05  # a population, not a point


def test_bayes_minds_the_cost_while_one_trial_has_not_told_its_own() -> None:
    """A program may report its other figure late, or be stopped before."""
    distance = Goals(objectives=(Goal(name="error"), Goal(name="distance")))
    config, history = SamplerConfig(), list[TrialRecord]()
    near = list[float]()
    for n in range(20):
        if n == 10:
            unknown = {"fc.learning_rate": 1e-3, "fc.momentum": 0.9}
            history.append(TrialRecord(10, "running", unknown, {1: 0.4}, 0.4))
            continue
        params = suggest(problem(distance), config, history, 1, n)
        momentum = float(params["fc.momentum"])
        figures = {"distance": momentum}
        error = 1 + abs(math.log10(float(params["fc.learning_rate"])) + 2)
        history.append(TrialRecord(n, "complete", params, {1: error}, error, figures=figures))
        near += [momentum] if n > 10 else []
    assert np.median(near) < 0.2  # the error says nothing about momentum, the cost does


def test_the_same_history_gives_the_same_child() -> None:
    history, config = searched(BOTH, 20, 3), SamplerConfig(name="nsga2", startup_trials=4)
    assert suggest(problem(BOTH), config, history, 3, 20) == suggest(
        problem(BOTH), config, list(history), 3, 20
    )
