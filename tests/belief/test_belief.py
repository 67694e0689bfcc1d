"""Beliefs about final errors: against scikit-learn's process, and what moves them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpsearch.belief import Belief, Evidence, from_history
from hpsearch.belief.belief import MOST
from hpsearch.belief.process import OFFSET, SHAPE, Kernel, fit_kernel
from hpsearch.samplers import observe
from hpsearch.samplers.bayes import evidence as evidence_of
from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.trainers.command import CommandTrainer, CommandTrial
from hpsearch.trial import TrialRecord
from tests.support.problems import base_config, random_params, shipped_problem, space_of


@pytest.fixture(scope="module")
def problem() -> SearchProblem:
    rate = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
    momentum = {"type": "float", "low": 0, "high": 1}
    space = space_of({"fc.learning_rate": rate, "fc.momentum": momentum})
    return SearchProblem(space, base_config([3], [True], 35, max_epochs=9), Limits())


def bowl(params: Any) -> float:
    rate = (math.log10(params["fc.learning_rate"]) + 2) / 3
    return 0.3 + float(rate**2) + float((params["fc.momentum"] - 0.8) ** 2)


def evidence(problem: SearchProblem, count: int, noise: float = 0.0) -> list[Evidence]:
    """Half of the trials whole, half with one epoch, in which they are 0.1 above their end."""
    rng = np.random.default_rng(5)
    found = []
    for n, params in enumerate(random_params(problem, count)):
        value = bowl(params) + float(rng.normal(0, noise))
        curve = {e: value + 0.1 * (1 - math.log(e) / math.log(9)) for e in (1, 3, 9)}
        found.append(Evidence(n, params, curve if n % 2 else {1: curve[1]}, 9, True))
    return found


def test_the_kernel_agrees_with_scikit_learn() -> None:
    from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, RationalQuadratic

    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))
    kernel = Kernel(np.array([0.5, 0.2, 0.3]), 0.3, 1.7, 0.1)
    scaled = [rows * np.sqrt(kernel.weights) for rows in (one, other)]
    smooth = RationalQuadratic(length_scale=1.0, alpha=SHAPE)
    line = DotProduct(sigma_0=0.0, sigma_0_bounds="fixed")
    told = 1.7 * (
        0.7 * smooth(*scaled) + 0.3 * line(*scaled) / kernel.weights.sum()
        + ConstantKernel(OFFSET)(*scaled)
    )  # fmt: skip
    np.testing.assert_allclose(kernel.between(one, other), told, rtol=1e-12)
    np.testing.assert_allclose(kernel.within(one), kernel.between(one, one), rtol=1e-12)
    np.testing.assert_allclose(kernel.variances(one), np.diag(kernel.within(one)), rtol=1e-12)


def test_lengths_tell_what_matters() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(80, 6))
    finals = np.sin(2 * rows[:, 0]) + rows[:, 1]
    finals = (finals - finals.mean()) / finals.std()
    kernel = fit_kernel(rows, np.array([0, 0, 1, 1, 2, 2]), finals, np.full(80, 0.01))
    assert kernel.weights[0] > 4 * kernel.weights[2]
    assert kernel.noise < 0.1


def test_predictions_agree_with_a_slow_solution(problem: SearchProblem) -> None:
    belief = Belief(problem, evidence(problem, 30, noise=0.02))
    learnt, rows = belief.learnt, belief._rows
    at = problem.columns.matrix(random_params(problem, 10, 9))
    matrix = learnt.kernel.within(rows) + np.diag(belief._noise)
    cross = learnt.kernel.between(at, rows)
    mean = cross @ np.linalg.solve(matrix, belief._finals)
    variance = learnt.kernel.variances(at) - np.diag(cross @ np.linalg.solve(matrix, cross.T))
    means, deviations = belief.predict(at)
    np.testing.assert_allclose(means, learnt.in_errors(mean))
    np.testing.assert_allclose(deviations, np.sqrt(variance) * learnt.slopes(mean), rtol=1e-6)
    own, own_deviations = belief.predict(rows)
    np.testing.assert_allclose(belief.means, own, atol=1e-7)
    assert belief.chance(3, belief.means[3]) == pytest.approx(0.5)
    one_above = belief.means[3] + own_deviations[3]
    assert belief.chance(3, one_above) == pytest.approx(0.8413, abs=1e-4)
    covariance = belief.covariance([3, 4])
    np.testing.assert_allclose(np.sqrt(covariance[0, 0]), own_deviations[3], rtol=1e-5)


def test_it_knows_the_bowl_from_whole_and_from_short_trials(problem: SearchProblem) -> None:
    belief = Belief(problem, evidence(problem, 40, noise=0.01))
    others = random_params(problem, 50, 9)
    means, deviations = belief.predict(problem.columns.matrix(others))
    errors = means - [bowl(p) for p in others]
    assert np.corrcoef(means, [bowl(p) for p in others])[0, 1] > 0.95
    assert 0.2 < np.mean(np.abs(errors) < deviations) <= 1.0


def by_factors(problem: SearchProblem, count: int, curves: float = 2.0) -> list[Evidence]:
    """Trials that end between 0.05 and 0.5, every one having fallen by the same factor."""
    rng = np.random.default_rng(5)
    found = []
    for n, params in enumerate(random_params(problem, count)):
        end = 0.05 * math.exp(1.6 * (bowl(params) - 0.3))
        noise = np.exp(rng.normal(0, 0.01, 9))
        fall = [curves ** (1 - math.log(e) / math.log(9)) for e in range(1, 10)]
        whole = {e: float(end * fall[e - 1] * noise[e - 1]) for e in range(1, 10)}
        found.append(Evidence(n, params, whole if n % 4 else {1: whole[1], 2: whole[2]}, 9, True))
    return found


def test_curves_that_fall_by_a_factor_are_compared_by_logarithms(problem: SearchProblem) -> None:
    trials = by_factors(problem, 40)
    belief = Belief(problem, trials)
    assert belief.learnt.log
    ends = np.array([0.05 * math.exp(1.6 * (bowl(e.params) - 0.3)) for e in belief.trials])
    np.testing.assert_allclose(belief.means, ends, rtol=0.1)  # short ones too, good ones and bad
    means, deviations = belief.predict(problem.columns.matrix([e.params for e in trials]))
    np.testing.assert_allclose(means, belief.means, rtol=1e-6)
    place = int(np.argmin(means))
    assert belief.chance(place, means[place]) == pytest.approx(0.5)
    assert belief.chance(place, 0.0) == 0.0
    assert deviations[place] < deviations[int(np.argmax(means))]
    variance = belief.covariance([place])[0, 0]
    np.testing.assert_allclose(variance, deviations[place] ** 2, rtol=1e-4)


def test_logarithms_are_left_where_they_say_less_or_do_not_exist(problem: SearchProblem) -> None:
    falls = [
        replace(e, curve={k: v - 0.28 for k, v in e.curve.items()})  # by the same amount
        for e in evidence(problem, 40, noise=0.002)
    ]
    assert max(min(e.curve.values()) for e in falls) > 10 * min(
        min(e.curve.values()) for e in falls
    )
    assert not Belief(problem, falls).learnt.log
    trials = by_factors(problem, 40)
    perfect = replace(trials[1], number=40, curve={**trials[1].curve, 9: 0.0})
    assert not Belief(problem, [*trials, perfect]).learnt.log


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("first", [1e3, 1e200, 1.7e308])
def test_curves_that_begin_anywhere_are_compared_somehow(
    problem: SearchProblem, first: float
) -> None:
    trials = [replace(e, curve={**e.curve, 1: first}) for e in by_factors(problem, 20)]
    belief = Belief(problem, [*trials, *by_factors(problem, 3)])
    assert np.isfinite(belief.means).all()
    assert (belief.means > 0).all()


def test_the_pick_is_no_lucky_one(problem: SearchProblem) -> None:
    """One bad trial was seen lower than every good one, its neighbours say otherwise."""
    trials = evidence(problem, 40, noise=0.02)
    worst = max(trials, key=lambda e: bowl(e.params))
    lowest = min(min(e.curve.values()) for e in trials)
    lucky = Evidence(40, worst.params, {1: lowest - 0.05}, 9, True)
    belief = Belief(problem, [*trials, lucky])
    best = sorted(trials, key=lambda e: bowl(e.params))[:6]
    assert belief.trials[belief.ranked[0]].number in [e.number for e in best]
    assert belief.expected.argmin() == belief.ranked[0]


def test_a_pending_trial_changes_no_mean_and_is_less_worth(problem: SearchProblem) -> None:
    trials = evidence(problem, 12)
    params = random_params(problem, 3, 4)
    pending = Evidence(12, params[0], {}, 9, ended=False)
    rows = problem.columns.matrix(params)
    means, deviations = Belief(problem, trials).predict(rows)
    same, less = Belief(problem, [*trials, pending]).predict(rows)
    np.testing.assert_allclose(same, means)
    assert less[0] < 0.7 * deviations[0]
    assert (less <= deviations + 1e-9).all()


def test_it_knows_where_training_fails(problem: SearchProblem) -> None:
    trials = [
        Evidence(e.number, e.params, e.curve, 9, True, float(e.params["fc.momentum"]) < 0.5)
        for e in evidence(problem, 40)
    ]
    belief = Belief(problem, trials)
    fails, works = ({"fc.learning_rate": 1e-2, "fc.momentum": m} for m in (0.9, 0.1))
    rows = problem.columns.matrix([fails, works])  # type: ignore[list-item]
    probability = belief.untrainable(rows)
    assert probability[0] > 0.6
    assert probability[1] < 0.3
    assert (Belief(problem, evidence(problem, 12)).untrainable(rows) == 0).all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_errors_of_any_size_are_believed_alike(problem: SearchProblem, scale: float) -> None:
    """A trial's objective may be of any unit, and one trial may be absurdly bad."""
    trials = [
        Evidence(e.number, e.params, {n: v * scale for n, v in e.curve.items()}, 9, True)
        for e in evidence(problem, 20, noise=0.01)
    ]
    spoilt = Evidence(20, trials[0].params, {1: 1e9 * scale}, 9, True)
    at = problem.columns.matrix(random_params(problem, 10, 9))
    means, deviations = Belief(problem, trials).predict(at)
    told = [bowl(p) * scale for p in random_params(problem, 10, 9)]
    assert np.corrcoef(means, told)[0, 1] > 0.9
    beside, _ = Belief(problem, [*trials, spoilt]).predict(at)
    assert np.isfinite(beside).all()
    assert np.corrcoef(beside, told)[0, 1] > 0.8
    assert (deviations > 0).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("scale", "offset"), [(1e-3, 1e6), (1e-3, -1e9), (1e200, 0.0), (1e-200, 0.0)]
)
def test_digits_that_all_errors_share_and_extreme_units_change_no_belief(
    problem: SearchProblem, scale: float, offset: float
) -> None:
    trials = evidence(problem, 20, noise=0.02)
    moved = [replace(e, curve={n: offset + v * scale for n, v in e.curve.items()}) for e in trials]
    at = problem.columns.matrix(random_params(problem, 10, 9))
    means, deviations = Belief(problem, trials).predict(at)
    others, other_deviations = Belief(problem, moved).predict(at)
    np.testing.assert_allclose((others - offset) / scale, means, atol=1e-3)
    np.testing.assert_allclose(other_deviations / scale, deviations, rtol=1e-3)


@pytest.mark.parametrize(("share", "known"), [(0.2, 0.9), (0.6, 0.2)])
def test_absurd_errors_that_are_accidents_hide_little(
    problem: SearchProblem, share: float, known: float
) -> None:
    rng = np.random.default_rng(0)
    trials = [
        replace(e, curve=dict.fromkeys(e.curve, 1e12)) if rng.random() < share else e
        for e in evidence(problem, 40, noise=0.02)
    ]
    others = random_params(problem, 50, 9)
    means, _ = Belief(problem, trials).predict(problem.columns.matrix(others))
    assert np.corrcoef(means, [bowl(p) for p in others])[0, 1] > known


def test_a_long_history_keeps_its_best_and_latest(problem: SearchProblem) -> None:
    trials = [
        Evidence(n, p, {1: bowl(p) + n * 1e-6}, 1, True)
        for n, p in enumerate(random_params(problem, MOST + 20))
    ]
    belief = Belief(problem, trials)
    numbers = [e.number for e in belief.trials]
    assert len(numbers) <= MOST
    assert numbers[-100:] == list(range(MOST - 80, MOST + 20))
    assert min(trials, key=lambda e: e.curve[1]).number in numbers


def test_what_of_a_history_is_evidence() -> None:
    problem = shipped_problem("koch2015_35px")
    params = random_params(problem, 6)
    history = [
        TrialRecord(5, "running", params[0]),
        TrialRecord(1, "failed", params[1], {1: 0.5}, 0.5, cause="crashed"),
        TrialRecord(2, "failed", params[2], cause="out of memory: at once"),
        TrialRecord(3, "pruned", params[3], {1: 0.5}, 0.5, False),
        TrialRecord(4, "complete", params[4], {0: 0.9, 1: 0.5, 2: math.nan, 3: 0.4}, 0.4),
        TrialRecord(6, "complete", {"another": 1}, {1: 0.1}, 0.1),
    ]
    found = from_history(problem, history, lambda _: 40)
    assert [e.number for e in found] == [2, 3, 4, 5]
    assert [e.trainable for e in found] == [False, False, True, True]
    assert [e.length for e in found] == [40, 40, 3, 40]
    assert dict(found[2].curve) == {1: 0.5, 3: 0.4}
    assert not Belief.possible(found)


def test_curves_end_at_the_results_that_programs_gave(problem: SearchProblem) -> None:
    """Programs report a loss, ten times as large, and give an error in their end."""
    params = random_params(problem, 12)
    history = [
        TrialRecord(n, "complete", p, {1: 11 * bowl(p), 9: 10 * bowl(p)}, bowl(p), result=bowl(p))
        for n, p in enumerate(params[:-1])
    ]
    history.append(TrialRecord(11, "running", params[-1], {1: 11 * bowl(params[-1])}))
    found = from_history(problem, history, lambda _: 9)
    for e, p in zip(found[:-1], params, strict=False):
        assert e.curve == pytest.approx({1: 2 * bowl(p), 9: bowl(p)})
    usual = float(np.median([9 * bowl(p) for p in params[:-1]]))
    assert found[-1].curve[1] == pytest.approx(11 * bowl(params[-1]) - usual)
    assert evidence_of(problem, observe(problem, history)) == found
    plain = [replace(t, result=None) for t in history]
    assert from_history(problem, plain, lambda _: 9)[0].curve == history[0].values


def test_a_trial_without_parameters_that_do_not_count_is_evidence() -> None:
    """A condition leaves momentum out under adam; the pruner and the sampler see such a trial."""
    space = SearchSpace.from_values(
        {
            "name": "made",
            "parameters": {
                "optimiser": {"type": "categorical", "choices": ["sgd", "adam"]},
                "momentum": {"type": "float", "low": 0, "high": 1, "when": {"optimiser": "sgd"}},
            },
        },
        "space",
    )
    base = CommandTrial.of(CommandTrainer(command=["./train"], max_steps=9))
    conditional = SearchProblem(space, base, Limits())
    history = [
        TrialRecord(0, "complete", {"optimiser": "adam"}, {1: 0.5, 9: 0.4}, 0.4),
        TrialRecord(1, "complete", {"optimiser": "sgd", "momentum": 0.5}, {9: 0.3}, 0.3),
        TrialRecord(2, "complete", {"optimiser": "sgd"}, {9: 0.3}, 0.3),
    ]
    found = from_history(conditional, history, lambda _: 9)
    assert [e.number for e in found] == [0, 1]
    assert evidence_of(conditional, observe(conditional, history)) == found
