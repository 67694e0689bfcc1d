import shutil
import sys

import pytest

from benchmarks import outside
from benchmarks.outside import PlainOptuna, PlainSkopt, Program
from benchmarks.replay import Setup
from hpsearch.pruners.config import PrunerConfig
from hpsearch.study.config import Budget, SamplerConfig
from tests.benchmarks.made import EPOCHS
from tests.benchmarks.test_replay import PROBLEM

HALVING = """
import random
from trainer import Trainer

trainer = Trainer()
print("what a library says")
chance = random.Random(trainer.seed)
while True:
    trials = [trainer.begin([chance.random()] * trainer.dimensions) for _ in range(4)]
    first = {trial: trainer.train(trial, 1)[0] for trial in trials}
    trainer.train(min(first, key=first.get), trainer.epochs)
"""
BUDGET = Budget(hours=90 / 3600)
SETUP = Setup(SamplerConfig(startup_trials=5), PrunerConfig())


@pytest.mark.parametrize("system", [PlainOptuna("tpe"), PlainSkopt()], ids=["optuna", "skopt"])
def test_another_system_searches_the_same_problem_on_the_same_clock(system):
    trace = system.run(PROBLEM, 3, BUDGET)
    assert trace.steps == system.run(PROBLEM, 3, BUDGET).steps
    seconds = [step.seconds for step in trace.steps]
    assert seconds == sorted(seconds)
    assert 90 <= seconds[-1] < 90 + 1.9 * EPOCHS
    begun = [step for step in trace.steps if step.epoch == 1]
    assert [step.trial for step in begun] == list(range(1, len(begun) + 1))


@pytest.mark.parametrize("system", [PlainOptuna("tpe"), SETUP], ids=["optuna", "ours"])
def test_a_goal_ends_a_replay_when_the_best_trial_is_as_good(system):
    whole = system.run(PROBLEM, 3, BUDGET)
    goal = whole.incumbent()[-1][1] + 0.01
    short = system.run(PROBLEM, 3, BUDGET, goal)
    assert short.time_to(goal) == whole.time_to(goal)
    assert len(short.steps) < len(whole.steps)
    assert short.steps == whole.steps[: len(short.steps)]


def test_optuna_prunes_by_its_own_default():
    trace = PlainOptuna("tpe").run(PROBLEM, 1, Budget(hours=200 / 3600))
    last = {step.trial: step.epoch for step in trace.steps}
    assert min(last.values()) < EPOCHS == max(last.values())


@pytest.fixture
def program(tmp_path, monkeypatch):
    shutil.copy(outside.PROGRAMS / "trainer.py", tmp_path)
    python = tmp_path / "made" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    monkeypatch.setattr(outside, "PROGRAMS", tmp_path)
    monkeypatch.setattr(outside, "ENVIRONMENTS", tmp_path)
    return Program("made", "made==1")


def test_a_program_of_its_own_environment_halves_trials_and_goes_on_with_the_best(program):
    program.program.write_text(HALVING)
    steps = program.run(PROBLEM, 3, BUDGET).steps
    assert steps == program.run(PROBLEM, 3, BUDGET).steps
    assert steps[-1].seconds >= 90
    assert [(s.trial, s.epoch) for s in steps[:4]] == [(1, 1), (2, 1), (3, 1), (4, 1)]
    best = min(steps[:4], key=lambda s: s.error).trial
    assert [(s.trial, s.epoch) for s in steps[4:6]] == [(best, 2), (best, 3)]
    seconds = [s.seconds for s in steps]
    assert seconds == sorted(seconds)


def test_a_program_that_ends_early_says_why(program):
    program.program.write_text("import trainer\ntrainer.Trainer()\nraise ValueError('no way')")
    with pytest.raises(RuntimeError, match=r"made ended: (.|\n)*ValueError: no way"):
        program.run(PROBLEM, 3, BUDGET)
