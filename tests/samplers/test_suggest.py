"""The contract of asking, bound to every sampler."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pytest

from hpsearch.driver.origins import Origins
from hpsearch.samplers.config import BLIND, GP_LIMIT, SamplerConfig, SamplerName
from hpsearch.samplers.suggest import SpaceExhaustedError, choose_sampler, suggest
from hpsearch.space.effects import leaf_paths
from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem
from hpsearch.study.plan import plan_study
from hpsearch.trial import TrialRecord
from tests.support.problems import base_config, mixed_history, shipped_problem, space_of
from tests.support.slow import rest_slow

SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
MODELS = tuple(name for name in SAMPLERS if name not in BLIND)
STARTUP = 5
DRAWN = {0: 100, 12: 30, 60: 30, 200: 30}
FITTED = {0: 1, 12: 3, 60: 1, 200: 1}
SUGGESTIONS = {
    "random": DRAWN,
    "sobol": DRAWN,
    "recentred": DRAWN,
    "around": DRAWN,
    "tpe": {0: 1, 12: 30, 60: 4, 200: 2},
}
"""Suggestions of the contract test by the length of the history; `FITTED` for gp and skopt's.

At length 0 the start answers for the models."""
HISTORIES = tuple(FITTED)
PENDING = 4
"""Suggestions still in training beside the history."""
ANSWER = """
import json, sys
import numpy as np
import hpsearch.samplers.suggest
assert not {"torch", "skopt", "optuna"} & set(sys.modules), "heavy import"
import torch
from tests.samplers.test_suggest import SAMPLERS, answers
from tests.support.problems import shipped_problem

def drawn():
    return np.random.random(), float(torch.rand(()))

def sown():
    np.random.seed(1)
    torch.manual_seed(1)

problem = shipped_problem("koch2015_35px")
sown()
untouched = drawn()
told = {}
for name in SAMPLERS:
    sown()
    told |= answers(problem, name)
    assert drawn() == untouched, name
print(json.dumps(told))
"""


def answers(problem: SearchProblem, name: SamplerName) -> dict[str, Any]:
    """Return what a sampler suggests first, and after twelve trials."""
    config = SamplerConfig(name=name, startup_trials=STARTUP)
    return {
        f"{name} {count}": suggest(problem, config, mixed_history(problem, count), 3, count)
        for count in HISTORIES[:2]
    }


@pytest.fixture(scope="module")
def problem() -> SearchProblem:
    return shipped_problem("koch2015_35px")


@pytest.mark.parametrize("count", HISTORIES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_contract_suggestions_are_feasible_plain_and_new(
    problem: SearchProblem, name: SamplerName, count: int
) -> None:
    options = {"trees": 20} if name in ("skopt-rf", "skopt-et") else {}
    config = SamplerConfig(name=name, startup_trials=STARTUP, options=options)
    history = mixed_history(problem, count)
    pending: list[TrialRecord] = []
    seen = {problem.key(trial.params) for trial in history}
    acting = choose_sampler(problem, config, history).name
    assert acting == (name if count or name in BLIND else config.start)
    for n in range(count, count + SUGGESTIONS.get(name, FITTED)[count]):
        params = suggest(problem, config, [*history, *pending[-PENDING:]], 1, n)
        assert problem.feasible(params), problem.reason(params)
        assert list(params) == list(problem.space.parameters)
        assert json.loads(json.dumps(params)) == params
        for key, parameter in problem.space.parameters.items():
            assert type(params[key]) is (int if parameter.type == "int" else float), key
        trained = leaf_paths(problem.base.with_parameters(params))
        assert {key: trained[key] for key in params} == params
        assert problem.key(params) not in seen
        seen.add(problem.key(params))
        pending.append(TrialRecord(n, "running", params))


def test_contract_the_same_inputs_give_the_same_answer_in_another_process(
    problem: SearchProblem,
) -> None:
    """Which loads no model before it is asked, and whose global generators stay as they are."""
    there = subprocess.run(
        [sys.executable, "-c", ANSWER],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    here = {key: told for name in SAMPLERS for key, told in answers(problem, name).items()}
    assert len(here) == 2 * len(SAMPLERS)
    assert json.loads(there.stdout) == here


@pytest.mark.parametrize("name", SAMPLERS)
def test_another_seed_or_number_gives_another_suggestion(
    problem: SearchProblem, name: SamplerName
) -> None:
    config = SamplerConfig(name=name, startup_trials=STARTUP)
    history = mixed_history(problem, 12)
    answers = [
        suggest(problem, config, history, seed, n) for seed, n in ((0, 12), (1, 12), (0, 13))
    ]
    assert all(a != b for a, b in itertools.combinations(answers, 2))


@pytest.mark.parametrize(("name", "start"), list(zip(MODELS, itertools.cycle(BLIND))))
def test_models_take_over_after_the_startup_trials(
    problem: SearchProblem, name: SamplerName, start: SamplerName
) -> None:
    history = mixed_history(problem, 24)
    settled = sum(t.settled for t in history)
    begin = suggest(problem, SamplerConfig(name=start), history, 0, 24)
    more = settled + 1
    late = SamplerConfig(name=name, startup_trials=more, start=start)  # type: ignore[arg-type]
    assert suggest(problem, late, history, 0, 24) == begin
    soon = SamplerConfig(name=name, startup_trials=settled, start=start)  # type: ignore[arg-type]
    assert suggest(problem, soon, history, 0, 24) != begin


@pytest.mark.parametrize("name", rest_slow(SAMPLERS, -2))
def test_contract_a_changed_pending_set_moves_models_and_not_random(
    problem: SearchProblem, name: SamplerName
) -> None:
    """Pending is what runs without an epoch yet, with some epochs behind it, or waits paused."""
    config = SamplerConfig(name=name, startup_trials=STARTUP)
    history = [t for t in mixed_history(problem, 24) if t.finished]
    alone = suggest(problem, config, history, 0, 30)
    place = history[0].params if name in BLIND else alone
    curve = {1: 0.6, 2: 0.5}
    for trial in (
        TrialRecord(29, "running", place),
        TrialRecord(29, "running", place, curve, 0.5),
        TrialRecord(29, "paused", place, curve, 0.5),
    ):
        beside = suggest(problem, config, [*history, trial], 0, 30)
        assert (beside == alone) == (name in BLIND), trial


@pytest.mark.parametrize("state", rest_slow(["running", "paused"]))
@pytest.mark.parametrize("name", rest_slow([n for n in MODELS if n != "nsga2"], -2))
def test_models_move_away_from_what_is_pending(
    name: SamplerName, state: Literal["running", "paused"]
) -> None:
    """Six suggestions beside pending ones lie further from them than six made without them.

    Those that wait paused have so far given the mean of what was seen.
    """
    rate = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
    momentum = {"type": "float", "low": 0, "high": 1}
    problem = SearchProblem(
        space_of({"fc.learning_rate": rate, "fc.momentum": momentum}),
        base_config([3], [True], 35),
        Limits(),
    )
    history = []
    for n, shares in enumerate(np.random.default_rng(0).random((12, 2)).tolist()):
        value = 0.1 + sum((s - 0.6) ** 2 for s in shares)
        history.append(TrialRecord(n, "complete", problem.cube.params(shares), {1: value}, value))
    config = SamplerConfig(name=name, startup_trials=STARTUP)

    def distances(pending: list[TrialRecord], place: Any) -> list[float]:
        points = [
            np.array(problem.cube.shares(suggest(problem, config, [*history, *pending], seed, 12)))
            for seed in range(6)
        ]
        return [float(np.linalg.norm(point - place)) for point in points]

    place = np.array(problem.cube.shares(suggest(problem, config, history, 0, 12)))
    mean = float(np.mean([t.value for t in history if t.value is not None]))
    said = {"values": {1: mean}, "value": mean} if state == "paused" else {}
    near = [problem.cube.params(np.clip(place + d, 0, 1).tolist()) for d in (0.0, 0.004, -0.004)]
    pending = [
        TrialRecord(12 + k, state, params, **said)  # type: ignore[arg-type]
        for k, params in enumerate(near)
    ]
    assert np.median(distances(pending, place)) > np.median(distances([], place))


@pytest.mark.parametrize("count", rest_slow([2_000, 10_000]))
def test_contract_random_suggestions_are_a_fair_draw(count: int) -> None:
    """The share of 1 x 1 final maps agrees with the enumeration (29 %) within 3 errors."""
    paper = shipped_problem("koch2015")
    ones = every = 0
    for sizes in itertools.product(range(3, 21), repeat=3):
        size = 105
        for filter_size in sizes:
            size = (size - filter_size + 1) // 2 if size > 0 else 0
        last = [size - f + 1 for f in range(3, 21) if size - f + 1 >= 1]
        every, ones = every + len(last), ones + (1 in last)
    fair = ones / every
    assert round(fair, 2) == 0.29
    config = SamplerConfig(name="random")
    drawn = [suggest(paper, config, [], 7, n) for n in range(count)]
    assert all(paper.feasible(params) for params in drawn)
    assert len({paper.key(params) for params in drawn}) == count
    share = np.mean([paper.shape(params).final_size == 1 for params in drawn])
    assert abs(share - fair) < 3 * (fair * (1 - fair) / count) ** 0.5


def test_sobol_points_of_a_study_lie_evenly() -> None:
    """Of 64 trials each half, quarter and eighth of every range holds exactly its share."""
    problem = shipped_problem("koch2015", Limits())
    config = SamplerConfig(name="sobol")
    points = [problem.cube.shares(suggest(problem, config, [], 5, n)) for n in range(64)]
    rates = np.array(points)[:, [problem.free.index("fc.momentum"), problem.free.index("fc.l2")]]
    for parts in (2, 4, 8):
        counts = np.histogram(rates[:, 0], parts, (0, 1))[0]
        assert set(counts.tolist()) == {64 // parts}
    drawn = np.random.default_rng(0).random(64)
    assert len(set(np.histogram(drawn, 8, (0, 1))[0].tolist())) > 1  # of a random draw they do not


def test_choices_have_no_middle() -> None:
    choices = {"type": "categorical", "choices": ["koch", "he"]}
    rate = {"type": "float", "low": 1e-3, "high": 1e-1, "log": True}
    space = space_of({"init": choices, "fc.learning_rate": rate})
    cube = SearchProblem(space, base_config([3], [True], 35), Limits()).cube
    assert dict(zip(cube.names, cube.ordered, strict=True)) == {
        "init": False,
        "fc.learning_rate": True,
    }


def named(limit: dict[str, float]) -> str:
    return next(iter(limit))


@pytest.mark.parametrize(
    "limit",
    rest_slow([{"multiply_adds": 2.6e6}, {"parameters": 9e4}, {"memory_gb": 0.17}]),
    ids=named,
)
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_tight_limit_on_cost_is_feasible(name: SamplerName, limit: dict[str, float]) -> None:
    """Two in a hundred of the box are within it."""
    tight = shipped_problem("koch2015_35px", Limits(**limit))
    history = mixed_history(tight, 12)
    config = SamplerConfig(name=name, startup_trials=STARTUP)
    params = suggest(tight, config, history, 0, 12)
    assert tight.feasible(params)
    shape = tight.shape(params)
    cost = {
        "multiply_adds": shape.multiply_adds,
        "parameters": shape.parameters,
        "memory_gb": shape.memory_bytes(tight.base.images_per_step) / 1e9,
    }
    assert all(cost[key] <= bound for key, bound in limit.items())
    if name in BLIND and name != "around":  # its first trial is within the limit
        free = suggest(shipped_problem("koch2015_35px", Limits()), config, history, 0, 12)
        assert tight.over_limits(free) is not None


@pytest.mark.parametrize("name", MODELS)
def test_trials_that_tell_nothing_of_this_space_leave_it_to_the_start(name: SamplerName) -> None:
    size = {"type": "int", "low": 2, "high": 9}
    init = {"type": "categorical", "choices": ["koch", "he"]}
    problem = SearchProblem(
        space_of({"conv1.filter_size": size, "init": init}), base_config([3], [True], 35), Limits()
    )
    old = [
        TrialRecord(n, "complete", {"conv1.filter_size": 2 + n % 8}, {1: 0.1 * n}, 0.1 * n)
        for n in range(4)
    ]
    config = SamplerConfig(name=name, startup_trials=2)
    assert choose_sampler(problem, config, old).name == config.start
    assert set(suggest(problem, config, old, 0, 4)) == {"conv1.filter_size", "init"}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_small_space_is_used_up_and_then_said_to_be(name: SamplerName) -> None:
    values: dict[str, Any] = {"type": "int", "low": 2, "high": 4}
    init = {"type": "categorical", "choices": ["koch", "he"]}
    problem = SearchProblem(
        space_of({"conv1.filter_size": values, "init": init}),
        base_config([3], [True], 35),
        Limits(),
    )
    config = SamplerConfig(name=name, startup_trials=2)
    history: list[TrialRecord] = []
    for n in range(6):
        params = suggest(problem, config, history, 0, n)
        value = 0.1 * float(params["conv1.filter_size"])
        history.append(TrialRecord(n, "complete", params, {1: value}, value))
    assert len({problem.key(t.params) for t in history}) == 6
    with pytest.raises(SpaceExhaustedError, match="no configuration left"):
        suggest(problem, config, history, 0, 6)


@pytest.mark.parametrize("name", MODELS)
def test_paused_trials_are_start_trials_too(problem: SearchProblem, name: SamplerName) -> None:
    """A search that pauses finishes few; its model has an error of each and need not wait."""
    config = SamplerConfig(name=name, startup_trials=STARTUP)
    finished = [t for t in mixed_history(problem, 40) if t.state == "complete"][:STARTUP]
    paused = [replace(t, state="paused") for t in finished]
    assert choose_sampler(problem, config, paused).name == name
    assert choose_sampler(problem, config, paused[1:]).name == config.start
    running = [replace(paused[0], state="running"), *paused[1:]]
    assert choose_sampler(problem, config, running).name == config.start


@pytest.mark.parametrize("name", MODELS)
def test_gaussian_processes_hand_over_by_count(problem: SearchProblem, name: SamplerName) -> None:
    config = SamplerConfig(name=name, startup_trials=STARTUP)
    cubic = name in ("gp", "skopt-gp")
    assert choose_sampler(problem, config, mixed_history(problem, GP_LIMIT + 1)).name == name
    history = mixed_history(problem, GP_LIMIT + 2)  # one of them runs, one waits paused
    assert sum(t.settled for t in history) == GP_LIMIT + 1
    assert choose_sampler(problem, config, history).name == ("tpe" if cubic else name)
    if cubic:
        tpe = SamplerConfig(name="tpe", startup_trials=STARTUP)
        successor = suggest(problem, config, history, 0, 400)
        assert successor == suggest(problem, tpe, history, 0, 400)


def test_a_handover_is_told_once(tmp_path: Path) -> None:
    plan = plan_study("koch2015_35px", tmp_path / "s", {"sampler.name": "gp"})
    told: list[str] = []
    origins = Origins(plan, told.append)
    many = mixed_history(plan.problem, GP_LIMIT + 3)
    names = [origins.name(history) for history in ([], many[:GP_LIMIT], many, many)]
    assert names == ["around", "gp", "tpe", "tpe"]
    assert len(told) == 1
    assert told[0].startswith("gp hands over to tpe: above 300 finished trials")
