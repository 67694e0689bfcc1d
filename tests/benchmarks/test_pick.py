"""What a search hands over is judged, not its luckiest observation."""

import math

from benchmarks.outside import Clock, PlainOptuna
from benchmarks.pick import Look, best_number, judge, sampler_pick
from hpsearch.study.config import Budget, SamplerConfig
from hpsearch.trial import TrialRecord
from tests.benchmarks.test_replay import PROBLEM, run

PARAMS = {"rate": 0.01, "share": 0.5, "units": 3, "kind": "fancy"}


def trial(number, state, value):
    return TrialRecord(number, state, {**PARAMS, "units": number + 1}, {1: value}, value)


LUCKY, GOOD, RUNNING = (
    trial(0, "complete", 0.3),
    trial(1, "complete", 0.4),
    trial(2, "running", 0.2),
)
TRUTHS = {0: 0.39, 1: 0.35, 2: 0.2}
LOOKS = [
    Look(0.0, ()),
    Look(10.0, (GOOD,)),
    Look(20.0, (LUCKY, GOOD)),
    Look(45.0, (LUCKY, GOOD, RUNNING)),
]
GOALS = {"5_percent": 0.36, "1_percent": 0.25}


def test_a_pick_is_judged_by_its_configuration_without_noise_and_at_its_time():
    told = judge(LOOKS, TRUTHS, best_number, GOALS, 40.0)
    assert told["time_to"] == {"5_percent": 10.0, "1_percent": None}
    assert told["pick_error"] == {"0.25": 0.35, "0.5": 0.39, "1": 0.39}


def test_before_the_first_pick_a_search_is_always_wrong():
    told = judge(LOOKS[:1], {}, best_number, GOALS, 40.0)
    assert set(told["pick_error"].values()) == {1.0}
    assert set(told["time_to"].values()) == {None}


def test_what_cannot_be_trained_is_a_pick_of_error_one():
    told = judge([Look(1.0, (GOOD,))], {1: math.inf}, best_number, GOALS, 4.0)
    assert told["pick_error"]["1"] == 1.0


def test_a_model_is_asked_only_where_its_answer_counts():
    asked = []

    def pick(history):
        asked.append(len(history))
        return best_number(history)

    judge([Look(float(k), (LUCKY,)) for k in range(1, 41)], TRUTHS, pick, GOALS, 40.0)
    assert len(asked) == 3  # no trial is as good as a goal, so only the shares of the budget


def test_a_replay_picks_what_export_would_take():
    """Without a model, and before it proposes, the complete trial of the lowest error."""
    history = [LUCKY, GOOD, RUNNING]
    for config in (SamplerConfig(name="random"), SamplerConfig()):
        assert sampler_pick(PROBLEM.search_problem, config)(history) == LUCKY.number
    assert sampler_pick(PROBLEM.search_problem, SamplerConfig())([RUNNING]) is None


def test_a_replay_looks_whenever_a_trial_is_asked_for_and_at_its_end():
    trace = run(seconds=100)
    asked = [len(look.history) for look in trace.looks]
    assert asked == [*range(len(trace.history)), len(trace.history)]
    assert trace.looks[-1].history == tuple(trace.history)
    seconds = [look.seconds for look in trace.looks]
    assert seconds == sorted(seconds)
    assert trace.truths.keys() == {t.number for t in trace.history}


def test_another_systems_pick_is_its_best_whole_trial():
    trace = PlainOptuna("tpe").run(PROBLEM, 1, Budget(hours=200 / 3600))
    last = trace.looks[-1].history
    whole = [t for t in last if t.state == "complete"]
    assert 0 < len(whole) < len(last)
    assert best_number(last) == min(whole, key=lambda t: t.value).number
    assert {t.number for t in last} == trace.truths.keys()


def test_a_trial_that_another_system_takes_up_again_is_whole_in_the_end():
    clock = Clock(PROBLEM, 0, Budget(hours=1))
    number = clock.begin_at([0.5] * 4)
    clock.train(number, 2)
    assert clock.trace().looks[-1].history[0].state == "running"
    clock.train(number, 99)
    (record,) = clock.trace().looks[-1].history
    assert record.state == "complete"
    assert record.value == min(record.values.values())
