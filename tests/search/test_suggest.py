"""The contract of asking, bound to every sampler."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from typing import Any, get_args

import numpy as np
import pytest

from hpsearch.search.config import Limits, SamplerConfig, SamplerName
from hpsearch.search.coordinates import Coordinates
from hpsearch.search.history import TrialRecord
from hpsearch.search.suggest import SpaceExhaustedError, suggest
from tests.search.problems import base_config, mixed_history, shipped_problem, space_of

SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
FAST = ("random", "tpe")
STARTUP = 5
ANSWER = """
import json, sys
from hpsearch.search.config import SamplerConfig
from hpsearch.search.suggest import suggest
from tests.search.problems import mixed_history, shipped_problem
problem = shipped_problem("koch2015_35px")
answers = {}
for name in sys.argv[1].split(","):
    for count in (0, 12, 60):
        config = SamplerConfig(name=name, startup_trials=5)
        history = mixed_history(problem, count)
        answers[f"{name} {count}"] = suggest(problem, config, history, 3, count)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def problem() -> Coordinates:
    return shipped_problem("koch2015_35px")


@pytest.mark.parametrize("count", [0, 12, 60])
@pytest.mark.parametrize("name", SAMPLERS)
def test_suggestions_are_feasible_plain_and_new(
    problem: Coordinates, name: SamplerName, count: int
) -> None:
    config = SamplerConfig(name=name, startup_trials=STARTUP)
    history = mixed_history(problem, count)
    for n in range(count, count + (12 if name in FAST else 2)):
        params = suggest(problem, config, history, 1, n)
        assert problem.feasible(params), problem.reason(params)
        assert list(params) == list(problem.space.parameters)
        assert json.loads(json.dumps(params)) == params
        for key, parameter in problem.space.parameters.items():
            assert type(params[key]) is (int if parameter.type == "int" else float), key
        problem.base.with_parameters(params)
        assert all(params != trial.params for trial in history)
        history.append(TrialRecord(n, "complete", params, {1: 0.5 + 0.001 * n}, 0.5 + 0.001 * n))


def test_the_same_inputs_give_the_same_answer_in_another_process() -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", ANSWER, ",".join(SAMPLERS)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
        )
        for hash_seed in ("1", "2")
    ]
    one, two = (json.loads(process.communicate()[0]) for process in running)
    assert set(one) == {f"{name} {count}" for name in SAMPLERS for count in (0, 12, 60)}
    assert one == two


@pytest.mark.parametrize("name", SAMPLERS)
def test_another_seed_or_number_gives_another_suggestion(
    problem: Coordinates, name: SamplerName
) -> None:
    config = SamplerConfig(name=name, startup_trials=STARTUP)
    history = mixed_history(problem, 12)
    answers = [
        suggest(problem, config, history, seed, n) for seed, n in ((0, 12), (1, 12), (0, 13))
    ]
    assert all(a != b for a, b in itertools.combinations(answers, 2))


@pytest.mark.parametrize("name", [n for n in SAMPLERS if n != "random"])
def test_models_take_over_after_the_startup_trials(
    problem: Coordinates, name: SamplerName
) -> None:
    history = mixed_history(problem, 24)
    finished = sum(t.finished for t in history)
    random = suggest(problem, SamplerConfig(name="random"), history, 0, 24)
    late = SamplerConfig(name=name, startup_trials=finished + 1)
    assert suggest(problem, late, history, 0, 24) == random
    soon = SamplerConfig(name=name, startup_trials=finished)
    assert suggest(problem, soon, history, 0, 24) != random


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_changed_pending_set_moves_models_and_not_random(
    problem: Coordinates, name: SamplerName
) -> None:
    config = SamplerConfig(name=name, startup_trials=STARTUP)
    history = [t for t in mixed_history(problem, 24) if t.finished]
    alone = suggest(problem, config, history, 0, 30)
    pending = [
        *history,
        TrialRecord(29, "running", alone if name != "random" else history[0].params),
    ]
    beside = suggest(problem, config, pending, 0, 30)
    assert (beside == alone) == (name == "random")


def test_ten_thousand_random_suggestions_are_a_fair_draw() -> None:
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
    drawn = [suggest(paper, config, [], 7, n) for n in range(10_000)]
    assert all(paper.feasible(params) for params in drawn)
    assert len({paper.key(params) for params in drawn}) == 10_000
    share = np.mean([paper.shape(params).final_size == 1 for params in drawn])
    assert abs(share - fair) < 3 * (fair * (1 - fair) / 10_000) ** 0.5


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_tight_limit_is_met(name: SamplerName) -> None:
    tight = shipped_problem("koch2015_35px", Limits(multiply_adds=2e6))
    history = mixed_history(tight, 12)
    params = suggest(tight, SamplerConfig(name=name, startup_trials=STARTUP), history, 0, 12)
    assert tight.feasible(params)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_small_space_is_used_up_and_then_said_to_be(name: SamplerName) -> None:
    values: dict[str, Any] = {"type": "int", "low": 2, "high": 4}
    init = {"type": "categorical", "choices": ["koch", "he"]}
    problem = Coordinates(
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


def test_asking_imports_no_model_and_changes_no_global_generators() -> None:
    code = (
        "import sys, numpy as np\n"
        "import hpsearch.search.suggest\n"
        "assert not {'torch', 'skopt', 'optuna'} & set(sys.modules), 'heavy import'\n"
        "from tests.search.test_suggest import *\n"
        "p = shipped_problem('koch2015_35px')\n"
        "for name in SAMPLERS:\n"
        "    import torch\n"
        "    np.random.seed(1); torch.manual_seed(1)\n"
        "    suggest(p, SamplerConfig(name=name, startup_trials=5), mixed_history(p, 12), 0, 12)\n"
        "    after = (np.random.random(), float(torch.rand(())))\n"
        "    np.random.seed(1); torch.manual_seed(1)\n"
        "    assert after == (np.random.random(), float(torch.rand(()))), name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
