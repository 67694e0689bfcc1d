"""The pruner of the model: whom it ends, whom it never ends, and that it is pure."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hpsearch.execution import Decision
from hpsearch.pruners import ExpectedPruner, fewest_trials, make_pruner
from hpsearch.pruners.config import PrunerConfig
from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem
from hpsearch.space.resource import Resource
from hpsearch.trial import TrialRecord
from tests.support.problems import base_config, random_params, space_of

EPOCHS = 9


def problem() -> SearchProblem:
    rate = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
    momentum = {"type": "float", "low": 0, "high": 1}
    space = space_of({"fc.learning_rate": rate, "fc.momentum": momentum})
    return SearchProblem(space, base_config([3], [True], 35, max_epochs=EPOCHS), Limits())


def long_problem(epochs: int = 60) -> SearchProblem:
    """The same with longer trials."""
    of = problem()
    return SearchProblem(of.space, of.base.model_copy(update={"max_epochs": epochs}), Limits())


def pruner(of: SearchProblem, min_resource: int = 1) -> ExpectedPruner:
    config = PrunerConfig(name="expected", min_resource=min_resource)
    made = make_pruner(config, Resource("epochs", of.base), of)
    assert isinstance(made, ExpectedPruner)
    return made


def final(params: dict[str, float]) -> float:
    rate = (math.log10(params["fc.learning_rate"]) + 2) / 3
    return 0.3 + rate**2 + (params["fc.momentum"] - 0.8) ** 2


def curve(params: dict[str, float], epochs: int, seed: int) -> dict[int, float]:
    noise = np.random.default_rng(seed).normal(0, 0.02, EPOCHS)
    return {
        e: final(params) + 0.2 * (1 - math.log(e) / math.log(EPOCHS)) + float(noise[e - 1])
        for e in range(1, epochs + 1)
    }


def record(number: int, params: dict[str, float], epochs: int, state: str) -> TrialRecord:
    values = curve(params, epochs, number)
    return TrialRecord(number, state, params, values, min(values.values()))  # type: ignore[arg-type]


@pytest.fixture
def history() -> list[TrialRecord]:
    points = random_params(problem(), 20)
    return [
        record(n, p, *((EPOCHS, "complete") if n % 4 == 0 else (1 + n % 3, "pruned")))
        for n, p in enumerate(points)
    ]


def test_a_trial_ends_when_it_is_unlikely_to_become_the_best(history: list[TrialRecord]) -> None:
    """The good one, behind after its first epoch because it has one only, goes on."""
    rule = pruner(problem())
    good = record(20, {"fc.learning_rate": 1e-2, "fc.momentum": 0.8}, 1, "running")
    bad = record(20, {"fc.learning_rate": 1e-4, "fc.momentum": 0.1}, 1, "running")
    assert good.value > min(t.value for t in history if t.value is not None)  # type: ignore[operator]
    assert rule.decide([*history, good], good, 1) is Decision.GO
    assert rule.decide([*history, bad], bad, 1) is Decision.STOP


def test_a_decision_depends_on_nothing_but_the_history(history: list[TrialRecord]) -> None:
    rule, trials = pruner(problem()), [*history]
    for n, params in enumerate(random_params(problem(), 12, 1), start=20):
        trial = record(n, params, 2, "running")
        decision = rule.decide([*trials, trial], trial, 2)
        again = pruner(problem()).decide([*reversed(trials)], trial, 2)
        timed = [replace(t, seconds=float(t.number)) for t in trials]
        assert decision is again is rule.decide(timed, trial, 2)
        trials.append(replace(trial, state="pruned"))


def test_whom_it_never_ends(history: list[TrialRecord]) -> None:
    """The best so far, one at full length or before its first rung, any before one is complete."""
    rule = pruner(problem())
    bad = {"fc.learning_rate": 1e-4, "fc.momentum": 0.1}
    lucky = TrialRecord(20, "running", bad, {1: 0.01}, 0.01)
    whole = record(20, bad, EPOCHS, "running")
    late = record(20, bad, 1, "running")
    silent = TrialRecord(20, "running", bad, {1: math.nan}, None)
    assert rule.decide(history, lucky, 1) is Decision.GO
    assert rule.decide(history, whole, EPOCHS) is Decision.GO
    assert rule.decide(history, silent, 1) is Decision.GO
    assert rule.decide(history, late, 1) is Decision.STOP
    assert pruner(problem(), min_resource=2).decide(history, late, 1) is Decision.GO
    short = [t for t in history if t.state != "complete"]
    assert rule.decide(short, late, 1) is Decision.GO
    assert pruner(problem()).decide([], late, 1) is Decision.GO


def test_equal_errors_and_untrainable_trials_are_no_evidence_for_an_end() -> None:
    rule, points = pruner(problem()), random_params(problem(), 8)
    flat = [TrialRecord(n, "complete", p, {1: 0.5, 9: 0.5}, 0.5) for n, p in enumerate(points)]
    trial = TrialRecord(8, "running", points[0], {1: 0.5}, 0.5)
    assert rule.decide(flat, trial, 1) is Decision.GO
    dead = [replace(t, state="pruned", trainable=False) for t in flat]
    assert rule.decide(dead, replace(trial, values={1: 0.9}, value=0.9), 1) is Decision.GO


def test_a_trial_with_many_reports_is_judged_ever_more_seldom(history: list[TrialRecord]) -> None:
    of = problem()
    long = SearchProblem(of.space, of.base.model_copy(update={"max_epochs": 300}), Limits())
    rule, judged = pruner(long), []
    params = {"fc.learning_rate": 1e-4, "fc.momentum": 0.1}
    for last in range(1, 300):
        trial = TrialRecord(20, "running", params, dict.fromkeys(range(1, last + 1), 2.0), 2.0)
        if rule.decide(history, trial, last) is Decision.STOP:
            judged.append(last)
    assert judged[:34] == [*range(1, 32), 32, 34, 36]
    assert judged[-2:] == [272, 288]
    assert len(judged) < 90


def test_when_it_can_begin_is_known_beforehand() -> None:
    resource = Resource("epochs", problem().base)
    assert fewest_trials(PrunerConfig(name="expected", startup_trials=5), resource) == 2
    whole = PrunerConfig(name="expected", min_resource=EPOCHS)
    assert fewest_trials(whole, resource) is None
    with pytest.raises(ValueError, match="needs the problem"):
        make_pruner(PrunerConfig(name="expected"), resource)


def at_chance(number: int, params: dict[str, float], epochs: int, state: str) -> TrialRecord:
    """A trial whose error stays at 1.5 for four of its nine epochs, then falls to its end."""
    noise, end = np.random.default_rng(number).normal(0, 0.01, EPOCHS), final(params)
    values = {
        e: end + (1.5 - end) * math.exp(-max(e - 4, 0)) + float(noise[e - 1])
        for e in range(1, epochs + 1)
    }
    return TrialRecord(number, state, params, values, min(values.values()))  # type: ignore[arg-type]


@pytest.mark.parametrize("short", [0, 40])
def test_a_trial_goes_on_while_its_epochs_tell_nothing_of_its_end(short: int) -> None:
    """Where curves stay at chance for a while no trial is ended there, but where it falls."""
    points = [p for p in random_params(problem(), 200) if final(p) > 0.5][: 8 + short]
    rule = pruner(problem())
    history = [
        at_chance(n, p, *((EPOCHS, "complete") if n < 8 else (1, "pruned")))
        for n, p in enumerate(points)
    ]
    bad = {"fc.learning_rate": 1e-4, "fc.momentum": 0.1}
    good = {"fc.learning_rate": 1e-2, "fc.momentum": 0.8}
    for params, last in ((good, Decision.GO), (bad, Decision.STOP)):
        for epoch, decision in ((1, Decision.GO), (3, Decision.GO), (EPOCHS - 1, last)):
            trial = at_chance(99, params, epoch, "running")
            assert rule.decide([*history, trial], trial, epoch) is decision


def test_a_trial_ahead_of_a_whole_one_that_fell_late_goes_on() -> None:
    """What is known of late falls is one trial's: another that is ahead of it may fall as far."""
    rng = np.random.default_rng(0)
    points = random_params(long_problem(), 8)
    fall = [0.95 - 0.002 * min(e, 20) - 0.006 * max(e - 20, 0) for e in range(1, 61)]
    whole = {e: v + float(rng.normal(0, 0.01)) for e, v in enumerate(fall, 1)}
    history = [TrialRecord(0, "complete", points[0], whole, min(whole.values()))]
    rule = pruner(long_problem(), min_resource=15)
    for shift, decision in ((-0.03, Decision.GO), (0.06, Decision.STOP)):
        for number in range(1, 4):
            values = {e: whole[e] + shift + float(rng.normal(0, 0.01)) for e in range(1, 16)}
            trial = TrialRecord(number, "running", points[number], values, min(values.values()))
            assert rule.decide([*history, trial], trial, 15) is decision
            history.append(replace(trial, state="pruned"))


def test_a_trial_clearly_ahead_of_the_only_whole_one_goes_on() -> None:
    """Others that stayed high make the belief expect of all, even the best, an end above it."""
    of = long_problem(16)
    points = random_params(of, 5)
    whole = [0.67, 0.65, 0.64, 0.61, 0.58, 0.51, 0.48, 0.45, 0.45, 0.43, 0.39, 0.38, 0.37, 0.36]
    others = [[0.73, 0.75, 0.75, 0.73], [0.68, 0.71, 0.73, 0.73], [0.74, 0.77, 0.77, 0.78]]
    curves = [[*whole, 0.35, 0.33], *others]
    history = [
        TrialRecord(n, "pruned" if n else "complete", points[n], dict(enumerate(c, 1)), min(c))
        for n, c in enumerate(curves)
    ]
    for values, decision in (
        ([0.67, 0.64, 0.54, 0.49], Decision.GO),
        ([0.67, 0.65, 0.64, 0.61], Decision.STOP),
    ):
        trial = TrialRecord(4, "running", points[4], dict(enumerate(values, 1)), min(values))
        assert pruner(of, min_resource=4).decide([*history, trial], trial, 4) is decision
