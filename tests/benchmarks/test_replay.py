import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cells import FOREIGN
from benchmarks.replay import Problem, Setup, Trace, replay
from benchmarks.simulated import RememberingProblem, SimulatedExecutor, Step
from benchmarks.surrogate import Answer
from hpsearch.execution import Decision, Ended, Ending, EpochEnded, Job, Started
from hpsearch.pruners.config import PrunerConfig
from hpsearch.space.limits import Limits
from hpsearch.study.config import Budget, SamplerConfig
from tests.benchmarks.made import EPOCHS, SPACE, floor, made_trial


class Recorded:
    """The made problem itself in the place of a surrogate."""

    epochs = EPOCHS

    def answer(self, params, seed):
        trial = made_trial(0, dict(params), seed)
        truth = [floor(params) + 0.5 * math.exp(-e / 2) for e in range(1, EPOCHS + 1)]
        if not trial.complete:
            truth = [math.inf] * EPOCHS
        return Answer(trial.errors, trial.seconds, not trial.complete, tuple(truth))


PROBLEM = Problem(SPACE, FOREIGN, Limits(), Recorded())


def run(sampler="random", pruner="none", *, workers=1, seed=0, seconds=200.0, work=Path()):
    setup = Setup(
        SamplerConfig(name=sampler, startup_trials=5),
        PrunerConfig(name=pruner, min_resource=1, reduction_factor=2),
        workers,
    )
    return replay(PROBLEM, setup, seed, Budget(hours=seconds / 3600), work)


def test_the_same_seed_replays_alike_and_another_does_not():
    assert run(seed=3) == run(seed=3)
    assert run(seed=3).steps != run(seed=4).steps


def test_nothing_is_written(tmp_path):
    run(work=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_clock_counts_training_alone_and_the_budget_is_simulated():
    trace = run(seconds=100)
    spent = 0.0
    for trial in trace.history:
        recorded = made_trial(0, dict(trial.params), 0)
        assert spent < 100  # no trial began after the budget was spent
        spent += recorded.seconds[-1]
    assert trace.steps[-1].seconds == pytest.approx(spent)
    assert spent >= 100
    assert all(t.state == "complete" or not t.trainable for t in trace.history)


def test_four_workers_train_four_trials_at_a_time():
    one, four = run(seconds=100), run(seconds=100, workers=4)
    assert len(four.steps) > 3.2 * len(one.steps)
    first = {s.trial for s in four.steps[:4]}
    assert first == {0, 1, 2, 3}
    assert [s.seconds for s in four.steps] == sorted(s.seconds for s in four.steps)


def test_what_is_pruned_ends_early_and_more_trials_are_seen():
    trace, whole = run("tpe", "asha"), run("tpe", "none")
    pruned = [t for t in trace.history if t.state == "pruned" and t.trainable]
    assert len(trace.history) > len(whole.history)
    assert pruned
    assert all(max(t.values) < EPOCHS for t in pruned)


def test_a_model_finds_the_made_optimum_sooner_than_random_search():
    times = {
        name: [run(name, pruner, seed=s, seconds=250).time_to(0.26) for s in range(3)]
        for name, pruner in (("random", "none"), ("tpe", "asha"))
    }
    assert np.median(times["tpe"]) < np.median(times["random"])


def test_a_paused_trial_goes_on_where_it_was_and_pays_only_for_the_rest():
    executor = SimulatedExecutor(Recorded(), 1)
    params = {"rate": 0.01, "share": 0.5, "units": 9, "kind": "fancy"}
    job = Job(0, params, 1, Path(), 0, Path())
    executor.submit(job)
    assert isinstance(executor.events(0)[0], Started)
    (first,) = executor.events(0)
    assert isinstance(first, EpochEnded)
    executor.decide(0, Decision.PAUSE)
    assert executor.events(0) == [Ended(0, Ending.PAUSED)]
    assert executor.now == pytest.approx(1.9)
    executor.submit(job)
    (started,) = executor.events(0)
    assert started.curve == (first.result,)
    (second,) = executor.events(0)
    assert (second.result.epoch, executor.now) == (2, pytest.approx(3.8))


def test_a_full_executor_refuses_another_trial():
    executor = SimulatedExecutor(Recorded(), 1)
    params = {"rate": 0.01, "share": 0.5, "units": 9, "kind": "fancy"}
    executor.submit(Job(0, params, 1, Path(), 0, Path()))
    with pytest.raises(RuntimeError, match="no slot"):
        executor.submit(Job(1, params, 1, Path(), 0, Path()))


def test_the_best_trial_is_picked_by_what_was_observed_and_judged_without_noise():
    steps = (
        Step(1.0, 0, 1, 0.50, 0.55),
        Step(2.0, 1, 1, 0.52, 0.40),  # better in truth, but nobody can see it
        Step(3.0, 0, 2, 0.60, 0.45),  # the best trial's own weights improve
        Step(4.0, 1, 2, 0.30, 0.39),
    )
    trace = Trace(steps, ())
    assert trace.incumbent() == [(1.0, 0.55), (3.0, 0.45), (4.0, 0.39)]
    assert trace.time_to(0.45) == 3.0
    assert trace.time_to(0.1) == math.inf


@pytest.mark.parametrize(
    "pruner", ["median", "asha-promotion", "hyperband", "hyperband-promotion"]
)
def test_every_pruner_replays_and_leaves_no_trial_unfinished(pruner):
    trace = run("random", pruner, seconds=60, workers=2)
    assert {trial.state for trial in trace.history} == {"complete", "pruned"}
    assert [trial.number for trial in trace.history] == list(range(len(trace.history)))
    counts = trace.false_prunes()
    assert counts.audits_lost <= counts.audits <= counts.ended
    assert counts.ended_lost <= counts.ended


def test_what_is_remembered_of_a_configuration_is_what_the_problem_encodes():
    problem = PROBLEM.search_problem
    remembering = RememberingProblem(problem)
    params = {"rate": 0.01, "share": 0.5, "units": 9, "kind": "fancy"}
    remembering.encode(params)["rate"] = 1.0  # what is handed out is the caller's own
    assert remembering.encode(params) == problem.encode(params)
    other = {**params, "kind": "plain"}
    assert remembering.encode(other) == problem.encode(other)


def test_a_problem_has_the_length_of_recorded_trials():
    """A sampler that learns from curves asks the base configuration how long they run."""
    assert PROBLEM.search_problem.base.max_epochs == EPOCHS
