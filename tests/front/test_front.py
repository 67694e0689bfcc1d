"""Ranks, hypervolumes and expected gains against Optuna's own and against sampling."""

from __future__ import annotations

import numpy as np
import pytest
from optuna._hypervolume import compute_hypervolume
from optuna.study._multi_objective import _fast_non_domination_rank

from hpsearch.confirm.front import first_of_front
from hpsearch.front import ONE, Bound, Goal, Goals
from hpsearch.front.growth import growth
from hpsearch.front.hypervolume import contributions, hypervolume
from hpsearch.front.improvement import expected_gain
from hpsearch.front.order import (
    dominates,
    front_of,
    ordered,
    place_of_first,
    ranks,
    reference_of,
)
from hpsearch.trial import TrialRecord

GOALS = Goals(objectives=(Goal(name="error"), Goal(name="size", exact=True, ratio=True)))


def lattice(objectives: int, seed: int) -> np.ndarray:
    """Return twelve points with many ties."""
    return np.random.default_rng(seed).integers(0, 8, (12, objectives)).astype(float)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_ranks_and_volumes_are_optunas(objectives: int, seed: int) -> None:
    points, reference = lattice(objectives, seed), np.full(objectives, 7.5)
    assert ranks(points.tolist()).tolist() == _fast_non_domination_rank(points).tolist()
    inside = points[(points < reference).all(axis=1)]
    expected = compute_hypervolume(inside, reference) if len(inside) else 0.0
    whole = hypervolume(points, reference.tolist())
    assert whole == pytest.approx(expected)
    without = [
        hypervolume(np.delete(points, k, 0), reference.tolist()) for k in range(len(points))
    ]
    assert contributions(points, reference) == pytest.approx(whole - np.array(without))


@pytest.mark.parametrize("seed", range(5))
def test_a_point_of_a_front_adds_what_goes_without_it(seed: int) -> None:
    points = np.sort(np.random.default_rng(seed).random((9, 2)), axis=0)
    points[:, 1] = points[::-1, 1]
    points = points[np.random.default_rng(seed).permutation(9)]
    reference = [0.8, 0.9]  # some points lie beyond it
    whole = hypervolume(points, reference)
    without = [hypervolume(np.delete(points, k, 0), reference) for k in range(9)]
    assert contributions(points, reference) == pytest.approx(whole - np.array(without))


@pytest.mark.parametrize("seed", range(5))
def test_no_point_comes_before_one_that_dominates_it(seed: int) -> None:
    points = lattice(3, seed).tolist()
    order = ordered(points)
    assert sorted(order) == list(range(12))
    for later, place in enumerate(order):
        assert not any(dominates(points[place], points[before]) for before in order[:later])
    assert points[order[place_of_first(points)]] == points[0] or (
        ranks(points)[order[place_of_first(points)]] == ranks(points)[0]
    )


@pytest.mark.parametrize("objectives", [2, 3])
def test_the_expected_gain_is_that_of_samples(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    front, reference = rng.random((6, objectives)), np.full(objectives, 1.1)
    means, deviations, costs = rng.random(4), 0.3 * rng.random(4), rng.random((4, objectives - 1))
    found = expected_gain(front, reference, means, deviations, costs)
    before = hypervolume(front, reference.tolist())
    for k in range(4):
        errors = means[k] + deviations[k] * rng.normal(size=3000)
        added = [np.vstack([front, [error, *costs[k]]]) for error in errors]
        gains = np.array([hypervolume(points, reference.tolist()) - before for points in added])
        assert found[k] == pytest.approx(gains.mean(), abs=4 * gains.std() / 3000**0.5 + 1e-3)


def trial(number: int, value: float, size: float, state: str = "complete") -> TrialRecord:
    return TrialRecord(number, state, {}, {1: value}, value, figures={"size": size})  # type: ignore[arg-type]


def test_equal_points_are_all_on_the_front_and_pruned_ones_are_not() -> None:
    trials = [trial(0, 0.3, 5), trial(1, 0.3, 5), trial(2, 0.2, 9), trial(3, 0.3, 6)]
    trials += [trial(4, 0.1, 1, "pruned")]
    assert [t.number for t in front_of(trials, GOALS)] == [2, 0, 1]


def test_the_lowest_error_is_confirmed_whatever_it_adds() -> None:
    """Its gain over its neighbour is small, and its cost near the reference point."""
    errors = [0.35, 0.22, 0.16, 0.13, 0.115, 0.1075, 0.105, 0.1038]
    trials = [trial(n, error, 2.0**n) for n, error in enumerate(errors)]
    chosen = [t.number for t in first_of_front(trials, GOALS, 5)]
    assert len(chosen) == 5
    assert 7 in chosen
    assert [t.number for t in first_of_front(trials[:1], GOALS, 5)] == [0]


def test_a_figure_belongs_to_the_best_epoch() -> None:
    goals = Goals(objectives=(Goal(name="value"), Goal(name="size", maximized=True)))
    curve = [(0.5, {"size": 1.0}), (0.3, {"size": 2.0}), (0.4, {"size": 3.0}), (0.2, {})]
    assert goals.over_curve({}, curve[:2]) == {"size": 2.0}
    assert goals.over_curve({}, curve[:3]) == {"size": 2.0}
    assert goals.over_curve({}, curve) == {"size": 2.0}
    assert goals.rest({"size": 2.0}) == (-2.0,)
    assert goals.by_name((0.2, -2.0)) == {"value": 0.2, "size": 2.0}


def test_a_constraint_says_how_it_is_broken() -> None:
    goals = Goals(constraints={"latency_ms": Bound(max=5), "recall": Bound(min=0.9)})
    assert goals.violation({"latency_ms": 4.0}) is None
    assert goals.violation({"latency_ms": 7.25}) == "constraint latency_ms: 7.25 is above 5"
    assert goals.violation({"recall": 0.5}) == "constraint recall: 0.5 is below 0.9"
    assert goals.excesses({"recall": 0.5, "latency_ms": 4.0}) == {"latency_ms": -1, "recall": 0.4}
    assert goals.missing({"recall": 0.5}) == "latency_ms"
    assert ONE.missing({}) is None


def test_a_front_only_grows() -> None:
    rng = np.random.default_rng(0)
    trials = [trial(n, float(e), float(c)) for n, (e, c) in enumerate(rng.random((30, 2)) + 0.1)]
    numbers, shares = growth(trials, GOALS)
    assert numbers == list(range(30))
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] < 1
    points = np.array([GOALS.scaled((t.value or 0.0, t.figures["size"])) for t in trials])
    box = (reference_of(points) - points.min(axis=0)).prod()
    assert shares[-1] == pytest.approx(hypervolume(points, reference_of(points).tolist()) / box)
