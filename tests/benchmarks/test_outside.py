import pytest

from benchmarks.outside import PlainOptuna, PlainSkopt
from hpsearch.search.config import Budget
from tests.benchmarks.made import EPOCHS
from tests.benchmarks.test_replay import PROBLEM

BUDGET = Budget(hours=90 / 3600)


@pytest.mark.parametrize("system", [PlainOptuna("tpe"), PlainSkopt()], ids=["optuna", "skopt"])
def test_another_system_searches_the_same_problem_on_the_same_clock(system):
    trace = system.run(PROBLEM, 3, BUDGET)
    assert trace.steps == system.run(PROBLEM, 3, BUDGET).steps
    seconds = [step.seconds for step in trace.steps]
    assert seconds == sorted(seconds)
    assert 90 <= seconds[-1] < 90 + 1.9 * EPOCHS
    begun = [step for step in trace.steps if step.epoch == 1]
    assert [step.trial for step in begun] == list(range(1, len(begun) + 1))


def test_optuna_prunes_by_its_own_default():
    trace = PlainOptuna("tpe").run(PROBLEM, 1, Budget(hours=200 / 3600))
    last = {step.trial: step.epoch for step in trace.steps}
    assert min(last.values()) < EPOCHS == max(last.values())
