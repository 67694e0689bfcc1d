"""The sampler of the model: one answer under any BLAS, picks, and what it learns from."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpsearch.belief import Belief, from_history
from hpsearch.samplers import SamplerConfig, make_sampler, observe
from hpsearch.samplers.base import Predicts
from hpsearch.samplers.bayes import BayesSampler
from hpsearch.samplers.merit import by_merit, expected_errors
from hpsearch.samplers.suggest import suggest
from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem
from hpsearch.space.resource import Unit
from hpsearch.space.space import SearchSpace
from hpsearch.trainers.command import CommandTrainer, CommandTrial
from hpsearch.trial import TrialRecord
from tests.support.problems import (
    base_config,
    mixed_history,
    random_params,
    shipped_problem,
    space_of,
)

CONFIG = SamplerConfig(name="bayes", startup_trials=5)
KERNELS = (
    {"OPENBLAS_CORETYPE": "Haswell"},
    {"OPENBLAS_CORETYPE": "SkylakeX"},
    {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4"},
)
"""Of OpenBLAS, the last one with numpy's plain instructions."""
ANSWERS = """
import json
from hpsearch.samplers import SamplerConfig
from hpsearch.samplers.suggest import suggest
from tests.support.problems import mixed_history, shipped_problem
problem = shipped_problem("koch2015_35px")
config = SamplerConfig(name="bayes", startup_trials=5)
histories = {count: mixed_history(problem, count) for count in (12, 60, 150)}
answers = [suggest(problem, config, h, seed, n) for n, h in histories.items() for seed in (0, 1)]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def problem() -> SearchProblem:
    return shipped_problem("koch2015_35px")


def made(problem: SearchProblem, history: list[TrialRecord]) -> BayesSampler:
    sampler = make_sampler(CONFIG, problem, observe(problem, history), len(history))
    assert isinstance(sampler, BayesSampler)
    return sampler


def test_the_suggestion_is_the_same_under_any_blas_kernel() -> None:
    """The kernels round differently: a sum of 64 products shows it in the last digits.

    A processor without AVX-512 dies in SkylakeX by an illegal instruction.
    """
    running = [
        subprocess.Popen(
            [sys.executable, "-c", ANSWERS],
            env={**os.environ, "OMP_NUM_THREADS": "1", **kernel},
            stdout=subprocess.PIPE,
        )
        for kernel in KERNELS
    ]
    ended = [(process.communicate()[0], process.returncode) for process in running]
    answers = [told for told, code in ended if code != -signal.SIGILL]
    assert len(answers) > 1
    assert len(json.loads(answers[0])) == 6
    assert len(set(answers)) == 1


def test_a_paused_trial_teaches_as_much_as_a_pruned_one(problem: SearchProblem) -> None:
    """Under asha-promotion most trials are paused: they are what curves are learnt from."""
    pruned = mixed_history(problem, 60)
    paused = [replace(t, state="paused") if t.state == "pruned" else t for t in pruned]
    assert sum(t.state == "paused" for t in paused) > 10
    assert made(problem, paused).expected() == made(problem, pruned).expected()
    lengths = problem.resource.length
    assert from_history(problem, paused, lengths) == from_history(problem, pruned, lengths)


def test_it_begins_after_six_trials_unless_told() -> None:
    assert SamplerConfig(name="bayes").startup_trials == 6
    assert SamplerConfig(name="bayes", startup_trials=9).startup_trials == 9
    assert SamplerConfig(name="tpe").startup_trials == 10


def test_a_suggestion_ignores_seconds_and_the_order_of_the_history(problem: SearchProblem) -> None:
    history = mixed_history(problem, 30)
    slower = [replace(t, seconds=10.0 + t.number) for t in reversed(history)]
    one = suggest(problem, CONFIG, history, 0, 30)
    assert one == suggest(problem, CONFIG, slower, 0, 30)


def test_every_epoch_counts_those_of_pruned_and_running_trials_too(problem: SearchProblem) -> None:
    history = mixed_history(problem, 40)
    open_one = {1: 0.6, 2: 0.5}
    history[-1] = replace(history[-1], values=open_one, value=0.5)  # it runs
    for state in ("complete", "pruned", "running"):
        known = next(t for t in history if t.state == state and t.value is not None)
        at = problem.features(known.params)[None]
        before, _ = made(problem, history)._belief.predict(at)
        worse = {epoch: value + 0.2 for epoch, value in known.values.items()}
        changed = [replace(t, values=worse) if t is known else t for t in history]
        after, _ = made(problem, changed)._belief.predict(at)
        assert after[0] > before[0], state


@pytest.mark.parametrize("unit", ["epochs", "compute"])
def test_it_expects_what_the_belief_of_the_study_does(problem: SearchProblem, unit: Unit) -> None:
    """The sampler sees observations, the pruner records; both believe the same.

    With compute a costly network trains fewer epochs, and nothing is expected beyond these.
    """
    problem = SearchProblem(problem.space, problem.base, problem.limits, unit=unit)
    history = mixed_history(problem, 60)
    sampler = made(problem, history)
    belief = Belief(problem, from_history(problem, history, problem.resource.length))
    first = belief.trials[belief.ranked[0]]
    told = sampler.expected()
    ends = zip(belief.trials, belief.expected.tolist(), strict=True)
    assert told == {trial.number: error for trial, error in ends}
    assert min(told, key=lambda n: told[n]) == first.number
    assert isinstance(sampler, Predicts)
    expected, deviation = sampler.predict(first.params, 0)
    assert expected == pytest.approx(belief.means[belief.ranked[0]], abs=1e-6)
    assert 0 < deviation < 1


def test_it_searches_any_space_to_its_best_choice() -> None:
    """Choices, counts, steps and a log range; no column of this project's network."""
    parameters: dict[str, Any] = {
        "init": {"type": "categorical", "choices": ["koch", "he"]},
        "batch_pairs": {"type": "int", "low": 1, "high": 512, "log": True},
        "label_smoothing": {"type": "float", "low": 0, "high": 0.3, "step": 0.05},
        "learning_rate_factor": {"type": "float", "low": 0.01, "high": 10, "log": True},
    }
    problem = SearchProblem(space_of(parameters), base_config([3], [True], 35), Limits())

    def loss(params: Any) -> float:
        off = np.log10(params["learning_rate_factor"]) ** 2 + 4 * params["label_smoothing"]
        return 50 + 10 * float(
            off + (params["init"] == "koch") + np.log2(params["batch_pairs"]) / 9
        )

    history: list[TrialRecord] = []
    for n in range(24):
        params = suggest(problem, CONFIG, history, 1, n)
        history.append(TrialRecord(n, "complete", params, {1: loss(params)}, loss(params)))
    late = [loss(t.params) for t in history[14:]]
    blind = [loss(p) for p in random_params(problem, 200)]
    assert np.median(late) < np.quantile(blind, 0.05)


def test_it_finds_the_minimum_of_a_function_without_noise() -> None:
    """Branin's function of two parameters; 1 % of the box is below 0.8."""
    share = {"type": "float", "low": 0, "high": 1}
    space = SearchSpace.from_values({"name": "branin", "parameters": {"x": share, "y": share}})
    base = CommandTrial.of(CommandTrainer(command=["./train"], max_steps=1))
    problem = SearchProblem(space, base, Limits())

    def branin(params: Any) -> float:
        x, y = 15 * params["x"] - 5, 15 * params["y"]
        valley = y - 5.1 * x * x / (4 * math.pi**2) + 5 * x / math.pi - 6
        return float(valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.397887)

    history: list[TrialRecord] = []
    for n in range(60):
        params = suggest(problem, CONFIG, history, 0, n)
        value = branin(params)
        history.append(TrialRecord(n, "complete", params, {1: value}, value))
    first = by_merit(history, expected_errors(problem, CONFIG, history))[0]
    assert branin(first.params) < 0.4


@pytest.mark.slow
def test_it_searches_a_programs_space_of_choices_and_conditions() -> None:
    """With noise, in any unit; what it hands over is better than what random search does."""
    parameters: dict[str, Any] = {
        "optimiser": {"type": "categorical", "choices": ["sgd", "adam", "rms"]},
        "lr": {"type": "float", "low": 1e-5, "high": 1, "log": True},
        "momentum": {"type": "float", "low": 0, "high": 0.99, "when": {"optimiser": "sgd"}},
        "layers": {"type": "int", "low": 1, "high": 6},
        "units": {"type": "int", "low": 8, "high": 512, "log": True},
        "norm": {"type": "bool"},
        "dropout": {"type": "float", "low": 0, "high": 0.8},
    }
    space = SearchSpace.from_values({"name": "made", "parameters": parameters}, "space")
    base = CommandTrial.of(CommandTrainer(command=["./train"], max_steps=1))
    problem = SearchProblem(space, base, Limits())

    def truth(params: Any) -> float:
        best = {"sgd": -1.2, "adam": -3.0, "rms": -3.3}[params["optimiser"]]
        off = 0.1 * (math.log10(params["lr"]) - best) ** 2 + 0.1 * (params["optimiser"] != "adam")
        off += 0.3 * (params.get("momentum", 0.9) - 0.9) ** 2 + 0.02 * abs(params["layers"] - 3)
        off += 0.01 * (math.log2(params["units"]) - 7) ** 2 + 0.1 * (not params["norm"])
        return float(off + 0.4 * (params["dropout"] - 0.2) ** 2)

    def found(sampler: str, seed: int, unit: float) -> float:
        rng, trials = np.random.default_rng(seed), list[TrialRecord]()
        config = SamplerConfig(name=sampler)  # type: ignore[arg-type]
        for n in range(40):
            params = suggest(problem, config, trials, seed, n)
            value = unit * (truth(params) + float(rng.normal(0, 0.02))) - 5
            trials.append(TrialRecord(n, "complete", params, {1: value}, value))
        first = by_merit(trials, expected_errors(problem, config, trials))[0]
        return truth(first.params)

    random, bayes, large = (
        np.mean([found(sampler, seed, unit) for seed in range(6)])
        for sampler, unit in (("random", 1), ("bayes", 1), ("bayes", 1000))
    )
    assert bayes < 0.75 * random
    assert large == pytest.approx(bayes, rel=0.2)
