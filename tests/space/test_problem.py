"""Feasible coordinates against plain enumeration."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

from hpsearch.errors import InputError
from hpsearch.network.geometry import Convolution, NetworkShape
from hpsearch.space.cost_range import CostRange, Measure
from hpsearch.space.limits import Limits
from hpsearch.space.nearest import nearest_feasible
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.training.config import TrialConfig
from tests.support.problems import (
    SHIPPED,
    base_config,
    random_params,
    shipped_problem,
    shipped_study,
    space_of,
)

POOLS = (True, True, True, False)


def sizes_of(params: dict[str, Any], count: int = 4) -> tuple[int, ...]:
    return tuple(params[f"conv{k}.filter_size"] for k in range(1, count + 1))


def fitting(input_size: int, sizes: range, pools: tuple[bool, ...]) -> list[tuple[int, ...]]:
    """Enumerate with the network's own geometry."""
    return [
        combination
        for combination in itertools.product(sizes, repeat=len(pools))
        if NetworkShape(
            input_size,
            tuple(Convolution(s, 1, p) for s, p in zip(combination, pools, strict=True)),
            1,
        ).fits()
    ]


@pytest.mark.parametrize(
    ("name", "size", "sizes", "percent"),
    [("koch2015", 105, range(3, 21), 11.7), ("koch2015_35px", 35, range(2, 8), 5.6)],
)
def test_the_feasible_share_is_that_of_the_enumeration(
    name: str, size: int, sizes: range, percent: float
) -> None:
    problem = shipped_problem(name)
    found = fitting(size, sizes, POOLS)
    assert problem.sizes.total == len(found)
    assert problem.feasible_share() == len(found) / len(sizes) ** 4
    assert round(100 * problem.feasible_share(), 1) == percent


def test_a_fine_grid_of_coordinates_covers_the_feasible_uniformly() -> None:
    sizes = {"type": "int", "low": 2, "high": 5}
    problem = SearchProblem(
        space_of({"conv1.filter_size": sizes, "conv2.filter_size": sizes}),
        base_config([2, 2], [True, True], 9),
        Limits(),
    )
    expected = fitting(9, range(2, 6), (True, True))
    grid = (np.arange(240) + 0.5) / 240
    counts = Counter(
        sizes_of(problem.decode({"conv1.filter_size": float(a), "conv2.filter_size": float(b)}), 2)
        for a in grid
        for b in grid
    )
    assert set(counts) == set(expected)
    share = np.array(list(counts.values())) / 240**2
    np.testing.assert_allclose(share, 1 / len(expected), rtol=0.03)


@pytest.mark.parametrize("corner", [0.0, 1.0, np.nextafter(1.0, 0.0)])
def test_the_corners_of_the_box_fit(corner: float) -> None:
    problem = shipped_problem("koch2015", Limits())
    params = problem.decode(dict.fromkeys(problem.sizes.free, corner) | _rest(problem))
    assert problem.feasible(params)


def _rest(problem: SearchProblem) -> dict[str, Any]:
    return {n: p.extremes[0] for n, p in problem.space.parameters.items()}


@pytest.mark.parametrize("name", SHIPPED)
def test_decoding_undoes_encoding(name: str) -> None:
    problem = shipped_problem(name, Limits())
    distributions = problem.coordinate_distributions()
    for params in random_params(problem, 200):
        point = problem.encode(params)
        assert problem.decode(point) == params
        assert list(point) == list(distributions) == list(problem.free)
        assert all(
            distributions[n]._contains(distributions[n].to_internal_repr(v))
            for n, v in point.items()
        )
        again = problem.cube.params(problem.cube.shares(params))
        for key, value in params.items():
            assert again[key] == pytest.approx(value, rel=1e-9, abs=1e-12), key


def test_mid_quantiles_are_the_middle_of_what_decodes_to_a_size() -> None:
    problem = shipped_problem("koch2015")
    params = random_params(problem, 1)[0]
    point = problem.encode(params)
    fine = np.linspace(0, 1, 20_001)
    same = [
        u
        for u in fine
        if problem.decode({**point, "conv1.filter_size": float(u)})["conv1.filter_size"]
        == params["conv1.filter_size"]
    ]
    assert point["conv1.filter_size"] == pytest.approx((same[0] + same[-1]) / 2, abs=1e-4)


def test_searched_poolings_and_input_size_are_counted_too() -> None:
    sizes = {"type": "int", "low": 3, "high": 6}
    parameters = {
        "input_size": {"type": "int", "low": 9, "high": 11},
        "conv1.filter_size": sizes,
        "conv1.pool": {"type": "categorical", "choices": [True, False]},
        "conv2.filter_size": sizes,
    }
    problem = SearchProblem(space_of(parameters), base_config([3, 3], [True, False], 11), Limits())
    expected = sum(
        len(fitting(size, range(3, 7), (pool, False)))
        for size in (9, 10, 11)
        for pool in (True, False)
    )
    assert problem.sizes.total == expected
    rng = np.random.default_rng(0)
    drawn = [problem.cube.params(rng.random(len(problem.free)).tolist()) for _ in range(200)]
    assert all(problem.feasible(p) for p in drawn)
    assert {p["conv1.pool"] for p in drawn} == {True, False}


def test_sizes_with_one_feasible_value_are_no_coordinates() -> None:
    parameters = {
        "conv1.filter_size": {"type": "int", "low": 8, "high": 20},
        "fc.l2": {"type": "float", "low": 0.0, "high": 0.0},
        "fc.momentum": {"type": "float", "low": 0.0, "high": 1.0},
    }
    problem = SearchProblem(space_of(parameters), base_config([8], [False], 8), Limits())
    assert problem.free == ("fc.momentum",)
    assert problem.decode({"fc.momentum": 0.5}) == {
        "conv1.filter_size": 8, "fc.l2": 0.0, "fc.momentum": 0.5,
    }  # fmt: skip


def test_a_box_in_which_nothing_fits_is_refused() -> None:
    space = space_of({"conv1.filter_size": {"type": "int", "low": 40, "high": 50}})
    with pytest.raises(InputError, match="no combination of sizes fits an input of 35 px"):
        SearchProblem(space, base_config([3], [True], 35), Limits())


def test_the_nearest_feasible_sizes_are_those_of_the_enumeration() -> None:
    problem = shipped_problem("koch2015", Limits())
    table = np.array(fitting(105, range(3, 21), POOLS))
    rng = np.random.default_rng(1)
    for _ in range(50):
        params = random_params(problem, 1, int(rng.integers(1 << 30)))[0]
        wanted = rng.integers(3, 21, 4)
        params |= {f"conv{k}.filter_size": int(s) for k, s in enumerate(wanted, start=1)}
        near = nearest_feasible(problem, params)
        assert problem.feasible(near)
        distance = ((np.array(sizes_of(near)) - wanted) ** 2).sum()
        assert distance == ((table - wanted) ** 2).sum(axis=1).min()


def test_the_nearest_of_a_feasible_point_is_itself() -> None:
    problem = shipped_problem("koch2015_35px")
    for params in random_params(problem, 50):
        assert nearest_feasible(problem, params) == params


@pytest.mark.parametrize(
    "limits",
    [Limits(multiply_adds=2e7), Limits(parameters=2e5), Limits(memory_gb=0.5)],
    ids=["multiply_adds", "parameters", "memory"],
)
def test_the_nearest_point_stays_within_the_limits_and_uses_them(limits: Limits) -> None:
    problem = shipped_problem("koch2015_35px", limits)
    dear = {"filter_count": 256, "width": 1024, "filter_size": 3}
    params = random_params(shipped_problem("koch2015_35px", Limits()), 1)[0]
    params |= {n: dear[n.partition(".")[2]] for n in params if n.partition(".")[2] in dear}
    assert not problem.feasible(params)
    near = nearest_feasible(problem, params)
    assert problem.feasible(near)
    for name in ("conv1.filter_count", "conv2.filter_count", "conv4.filter_count", "fc.width"):
        if near[name] < params[name]:
            assert not problem.feasible({**near, name: near[name] + 16}), name


def test_limits_that_nothing_meets_are_named() -> None:
    problem = shipped_problem("koch2015_35px", Limits(multiply_adds=10))
    with pytest.raises(InputError, match="limits: even the cheapest network"):
        nearest_feasible(problem, random_params(shipped_problem("koch2015_35px"), 1)[0])


def test_costs_agree_with_the_whole_configuration() -> None:
    problem = shipped_problem("koch2015_35px", Limits(memory_gb=1e-9))
    for params in random_params(shipped_problem("koch2015_35px"), 20):
        config = problem.base.with_parameters(params)
        assert problem.shape(params) == config.shape()
        assert f"about {config.memory_bytes() / 1e9:.3g} GB" in (problem.reason(params) or "")


@pytest.mark.parametrize("measure", ["multiply_adds", "parameters", "memory_bytes"])
@pytest.mark.parametrize("setting", [{}, {"batch_norm": True}, {"batch_pairs": 2}], ids=str)
def test_the_extreme_costs_are_those_of_the_enumeration(
    measure: Measure, setting: dict[str, Any]
) -> None:
    study = shipped_study("koch2015_35px")
    space = SearchSpace.from_yaml(study.space)
    base = TrialConfig.from_values({**study.trial.plain(), **setting})
    costs = CostRange(SearchProblem(space, base, Limits()))
    for chosen, pick in ((costs.cheapest(measure), min), (costs.dearest(measure), max)):
        every = [
            costs.of(
                {**chosen, **{f"conv{k}.filter_size": s for k, s in enumerate(c, 1)}}, measure
            )
            for c in fitting(35, range(2, 8), POOLS)
        ]
        assert costs.of(chosen, measure) == pick(every)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"conv1.filter_size": 30}, "outside 3 to 20"),
        ({"conv1.filter_count": 40}, "outside 16 to 256 step 16"),
        ({"fc.l2": "much"}, "outside"),
        ({"fc.depth": 3}, "not a parameter"),
        ({"conv1.filter_size": 20, "conv2.filter_size": 20, "conv3.filter_size": 20}, "not fit"),
    ],
)
def test_the_reason_is_named(change: dict[str, Any], words: str) -> None:
    problem = shipped_problem("koch2015")
    params = random_params(problem, 1)[0]
    assert problem.reason(params) is None
    assert words in (problem.reason({**params, **change}) or "")
    two = {**params, "fc.l2": "much", "conv1.filter_count": 40}
    assert [reason.split()[0] for reason in problem.reasons(two)] == [
        "conv1.filter_count",
        "fc.l2",
    ]
    del params["fc.l2"]
    assert problem.reason(params) == "fc.l2 is missing"
