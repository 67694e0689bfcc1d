"""Trials are handed over by what is expected of them, where the sampler expects anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpsearch.samplers import SamplerConfig
from hpsearch.samplers.merit import by_merit, expected_errors
from hpsearch.samplers.prior import Prior
from hpsearch.samplers.suggest import suggest
from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import TrialRecord
from tests.support.problems import base_config, random_params, space_of

BAYES, TPE = SamplerConfig(), SamplerConfig(name="tpe")


@pytest.fixture(scope="module")
def problem() -> SearchProblem:
    space = space_of({"fc.momentum": {"type": "float", "low": 0, "high": 1}})
    return SearchProblem(space, base_config([3], [True], 35, max_epochs=3), Limits())


def ranked(
    problem: SearchProblem,
    sampler: SamplerConfig,
    trials: list[TrialRecord],
    prior: Prior | None = None,
) -> list[TrialRecord]:
    return by_merit(trials, expected_errors(problem, sampler, trials, prior))


def truth(params: Any) -> float:
    return 0.3 + float(abs(params["fc.momentum"] - 0.5))


def history(problem: SearchProblem, count: int) -> list[TrialRecord]:
    """Whole trials with a little noise; the worst of them is the luckiest."""
    rng = np.random.default_rng(0)
    trials = []
    for n, params in enumerate(random_params(problem, count)):
        values = {e: truth(params) + float(rng.normal(0, 0.01)) for e in (1, 2, 3)}
        trials.append(TrialRecord(n, "complete", params, values, min(values.values())))
    worst = max(trials, key=lambda t: truth(t.params))
    values = {**worst.values, 3: 0.29}
    trials[worst.number] = replace(worst, values=values, value=0.29)
    return trials


def test_the_luckiest_is_handed_over_without_a_model_only(problem: SearchProblem) -> None:
    trials = history(problem, 30)
    lucky = min(trials, key=lambda t: t.value or 1)
    assert ranked(problem, TPE, trials)[0] is lucky
    assert ranked(problem, TPE, trials) == sorted(trials, key=lambda t: (t.value, t.number))
    chosen = ranked(problem, BAYES, trials)
    assert chosen[0] is not lucky
    assert truth(chosen[0].params) < 0.35
    told = expected_errors(problem, BAYES, trials)
    assert [t.number for t in chosen] == sorted(told, key=lambda n: (told[n], n))


def test_before_the_model_proposes_the_lowest_error_counts(problem: SearchProblem) -> None:
    trials = history(problem, BAYES.startup_trials - 1)
    assert ranked(problem, BAYES, trials)[0] is min(trials, key=lambda t: t.value or 1)
    assert ranked(problem, BAYES, []) == []


def test_what_runs_or_cannot_be_trained_is_not_handed_over(problem: SearchProblem) -> None:
    trials = history(problem, 12)
    best = ranked(problem, BAYES, trials)[0]
    for change in ({"state": "running"}, {"state": "pruned", "trainable": False}):
        changed = [replace(t, **change) if t is best else t for t in trials]
        left = ranked(problem, BAYES, changed)
        assert best.number not in [t.number for t in left]
        assert len(left) == 11


def test_a_start_that_was_only_scored_stands_by_its_own_error(problem: SearchProblem) -> None:
    trials = history(problem, 12)
    for error, place in ((0.1, 0), (0.99, 12)):
        start = TrialRecord(12, "complete", trials[0].params, {0: error}, error)
        assert ranked(problem, BAYES, [*trials, start])[place] is start


@pytest.mark.parametrize("trained", [{1: 0.0, 2: 0.0}, {}])
def test_where_training_teaches_nothing_the_start_sampler_proposes(
    problem: SearchProblem, trained: dict[int, float]
) -> None:
    """A start that was only scored differs from trainings that are all alike, or all fail."""
    start, *others = random_params(problem, 13)
    trials = [TrialRecord(0, "complete", start, {0: 0.02}, 0.02)]
    made = TrialRecord(0, "complete", {}, trained, 0.0)
    if not trained:
        made = TrialRecord(0, "pruned", {}, trainable=False)
        trials.append(TrialRecord(1, "complete", others[0], {0: 0.03}, 0.03))
    trials += [replace(made, number=n, params=p) for n, p in enumerate(others[1:], len(trials))]
    params = suggest(problem, BAYES, trials, 0, len(trials))
    assert params == suggest(problem, SamplerConfig(name=BAYES.start), trials, 0, len(trials))
    assert expected_errors(problem, BAYES, trials) == {}


def test_a_trial_of_another_study_is_never_handed_over(problem: SearchProblem) -> None:
    other = tuple(replace(t, number=-1 - t.number) for t in history(problem, 20))
    own = TrialRecord(0, "complete", {"fc.momentum": 0.01}, {1: 0.8, 2: 0.8, 3: 0.79}, 0.79)
    assert ranked(problem, BAYES, [own], Prior("other", True, other)) == [own]
