"""What samplers learn from a history, and that they learn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import get_args

import numpy as np
import pytest

from hpsearch.samplers import Observation, observe
from hpsearch.samplers.base import MOST_BEST, MOST_RECENT, best_and_recent, expected_end
from hpsearch.samplers.config import BLIND, SamplerConfig, SamplerName
from hpsearch.samplers.suggest import suggest
from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem, UnitCube
from hpsearch.trial import TrialRecord
from tests.support.problems import (
    base_config,
    random_params,
    space_of,
)
from tests.support.slow import rest_slow

MODELS = [name for name in get_args(SamplerName) if name not in BLIND]


def two_dimensions() -> SearchProblem:
    rate = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
    momentum = {"type": "float", "low": 0, "high": 1}
    return SearchProblem(
        space_of({"fc.learning_rate": rate, "fc.momentum": momentum}),
        base_config([3], [True], 35),
        Limits(),
    )


def bowl(params: dict[str, float]) -> float:
    """An error with its minimum 0.1 at rate 1e-2, momentum 0.8."""
    rate = (math.log10(params["fc.learning_rate"]) + 2) / 3
    return 0.1 + rate**2 + (params["fc.momentum"] - 0.8) ** 2


@pytest.mark.parametrize("name", rest_slow([n for n in MODELS if n != "nsga2"], -2))
def test_a_model_beats_random_on_a_bowl(name: SamplerName) -> None:
    problem = two_dimensions()
    config = SamplerConfig(name=name, startup_trials=6)
    late = []
    for seed in (1, 2):
        history: list[TrialRecord] = []
        for n in range(20):
            params = suggest(problem, config, history, seed, n)
            value = bowl(params)  # type: ignore[arg-type]
            history.append(TrialRecord(n, "complete", params, {1: value}, value))
            late += [value] if n >= 12 else []
    assert np.mean(late) < 0.28  # of random draws: 0.38
    assert min(late) < 0.14


@pytest.mark.parametrize("name", rest_slow(MODELS, -2))
def test_a_model_keeps_away_from_what_cannot_be_trained(name: SamplerName) -> None:
    problem = two_dimensions()
    history = []
    for n, params in enumerate(random_params(problem, 24)):
        if params["fc.momentum"] > 0.5:
            history.append(TrialRecord(n, "pruned", params, {1: 0.3}, 0.3, False, "diverged"))
        else:
            value = bowl(params)
            history.append(TrialRecord(n, "pruned", params, {1: value}, value))
    config = SamplerConfig(name=name, startup_trials=6)
    proposed = [suggest(problem, config, history, seed, 24)["fc.momentum"] for seed in range(6)]
    assert np.mean(np.asarray(proposed, dtype=float) > 0.6) <= 0.5


@pytest.mark.parametrize("name", ["tpe", "gp", "skopt-gp"])
def test_pruned_and_paused_trials_are_learnt_from(name: SamplerName) -> None:
    """A good region known from paused and pruned trials alone is searched on."""
    problem = two_dimensions()
    history = []
    for n, params in enumerate(random_params(problem, 40)):
        value = bowl(params)
        state = ("pruned", "paused")[n % 2] if n > 3 else "complete"
        curve = {1: value + 0.1, 2: value}
        history.append(TrialRecord(n, state, params, curve, value))  # type: ignore[arg-type]
    config = SamplerConfig(name=name, startup_trials=6)
    proposed = [
        bowl(suggest(problem, config, history, s, 40))  # type: ignore[arg-type]
        for s in range(4)
    ]
    assert np.median(proposed) < np.median([t.value or 0 for t in history])


def test_a_paused_trial_draws_tpe_on_as_it_would_if_it_were_complete() -> None:
    """Optuna's liar files it among the bad ones: 0.09 from the optimum became 0.35."""
    problem = two_dimensions()

    def asked(state: str, seed: int) -> float:
        points = random_params(problem, 40, seed)
        nearest = sorted(range(40), key=lambda n: bowl(points[n]))[:6]
        history = []
        for n, params in enumerate(points[:40]):
            value = bowl(params)
            curve = {1: value + 0.2, 2: value + 0.1, 3: value}
            if n in nearest and state != "complete":
                first = curve[1]
                known = TrialRecord(n, state, params, {1: first}, first)  # type: ignore[arg-type]
                history.append(known)
            else:
                history.append(TrialRecord(n, "complete", params, curve, value))
        config = SamplerConfig(name="tpe", startup_trials=6)
        return bowl(suggest(problem, config, history, seed, 40))

    states = ("complete", "paused", "running")
    found = {state: np.mean([asked(state, seed) for seed in range(12)]) for state in states}
    assert found["paused"] < found["complete"] + 0.03
    assert found["running"] < found["complete"] + 0.03


def test_unfinished_trials_stand_on_the_scale_of_the_results() -> None:
    """A program may report its training loss on the way, and give its test error in the end."""
    problem = two_dimensions()
    *points, last = random_params(problem, 9)
    history = [
        TrialRecord(n, "complete", p, {1: 0.1 * bowl(p)}, bowl(p) + 5, result=bowl(p) + 5)
        for n, p in enumerate(points)
    ]
    lowest = min(t.result or 0 for t in history)
    for state in ("running", "paused", "pruned"):
        known = TrialRecord(8, state, last, {1: 9.0}, 9.0)  # type: ignore[arg-type]
        *ended, open_one = observe(problem, [*history, known])
        assert (open_one.value or 0) > lowest + 5
        assert (expected_end(open_one, ended) or 0) >= lowest


def test_observations_carry_the_lowest_error_so_far() -> None:
    problem = two_dimensions()
    params = random_params(problem, 1, 1)[0]

    def curve(values: dict[int, float]) -> Mapping[int, float]:
        trial = TrialRecord(0, "complete", params, {**values, 9: 0.9})
        return {e: v for e, v in observe(problem, [trial])[0].curve.items() if e < 9}

    assert curve({3: 0.4, 1: 0.5, 2: 0.7}) == {1: 0.5, 2: 0.5, 3: 0.4}
    assert curve({1: math.nan, 2: 0.7, 3: math.nan}) == {2: 0.7, 3: 0.7}
    assert curve({1: math.inf}) == {}


def test_every_state_is_observed_as_what_it_says() -> None:
    problem = two_dimensions()
    params = random_params(problem, 9)
    curve = {1: 0.6, 2: 0.5}
    history = [
        TrialRecord(0, "complete", params[0], curve, 0.5),
        TrialRecord(1, "pruned", params[1], curve, 0.5),
        TrialRecord(2, "paused", params[2], curve, 0.5),
        TrialRecord(3, "running", params[3], curve, 0.5),
        TrialRecord(4, "running", params[4]),
        TrialRecord(5, "pruned", params[5], curve, 0.5, False, "saturated"),
        TrialRecord(6, "failed", params[6], curve, None, True, "out of memory: 20 GB"),
        TrialRecord(7, "failed", params[7], curve, None, True, "died 3 times"),
        TrialRecord(8, "pruned", params[8], {1: math.nan}, None),
    ]
    seen = {o.number: o for o in observe(problem, history)}
    kinds = {number: o.kind for number, o in seen.items()}
    assert kinds == {
        0: "complete", 1: "pruned", 2: "paused", 3: "running", 4: "running", 5: "bad", 6: "bad",
    }  # fmt: skip
    assert seen[1].value == 0.5
    assert seen[4].value is None


def test_the_best_and_the_last_are_kept() -> None:
    def observation(number: int) -> Observation:
        value = abs(number - 100) / 1000
        return Observation(number, "complete", {}, {1: value}, value)

    kept = [o.number for o in best_and_recent([observation(n) for n in range(600)])]
    assert kept[-MOST_RECENT:] == list(range(600 - MOST_RECENT, 600))
    assert len(kept) == MOST_BEST + MOST_RECENT
    assert kept[0] == 75


def test_the_unit_cube_follows_each_distribution() -> None:
    parameters = {
        "fc.learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
        "fc.l2": {"type": "float", "low": 0.0, "high": 0.1, "step": 0.05},
        "fc.width": {"type": "int", "low": 1, "high": 8, "log": True},
        "drawers": {"type": "int", "low": 2, "high": 20},
        "images_per_epoch": {"type": "int", "low": 10, "high": 1_000_010, "step": 2},
        "init": {"type": "categorical", "choices": ["koch", "he"]},
    }
    problem = SearchProblem(space_of(parameters), base_config([3], [True], 35), Limits())
    cube = UnitCube(problem)
    grid = (np.arange(1000) + 0.5) / 1000
    drawn = [cube.params([u] * len(cube.names)) for u in grid.tolist()]
    assert np.median([p["fc.learning_rate"] for p in drawn]) == pytest.approx(10**-2.5, rel=0.01)
    assert {p["fc.l2"] for p in drawn} == {0.0, 0.05, 0.1}
    share = np.mean([p["fc.width"] == 1 for p in drawn])
    assert share == pytest.approx(math.log(1.5 / 0.5) / math.log(8.5 / 0.5), abs=0.002)
    assert [sum(p["drawers"] == v for p in drawn) for v in (2, 20)] == [53, 53]
    assert {p["images_per_epoch"] % 2 for p in drawn} == {0}
    assert sum(p["init"] == "he" for p in drawn) == 500
    for params in drawn[::50]:
        again = cube.params(cube.shares(params))
        for name, value in params.items():
            expected = pytest.approx(value) if isinstance(value, float) else value
            assert again[name] == expected, name
