"""The benchmark of searches that begin at a good configuration."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import from_start
from benchmarks.cells import FOREIGN, Goal, Source
from benchmarks.from_start import POINTS, gains, main, row
from benchmarks.pick import SHARES
from benchmarks.replay import Problem, Setup, replay
from benchmarks.setups import setups
from hpsearch.pruners.config import PrunerConfig
from hpsearch.space.limits import Limits
from hpsearch.study.config import Budget, SamplerConfig
from tests.benchmarks.made import SPACE, floor
from tests.benchmarks.test_replay import Recorded

SOURCE = Source(Path("made.csv.gz"), "made")
RANDOM = Setup(SamplerConfig(name="random"), PrunerConfig(name="none"))


class Made(Recorded):
    """The made problem, all of which is known."""

    def objective(self, points):
        return np.array([floor(params) for params in points])


PROBLEM = Problem(SPACE, FOREIGN, Limits(), Made())


@pytest.fixture(autouse=True)
def _made(monkeypatch):
    goal = Goal(0.2, 600.0, (0.1,) * 7)
    monkeypatch.setattr(from_start, "load_problem", lambda source: (PROBLEM, goal))


def test_what_is_enqueued_is_trained_first():
    start = PROBLEM.search_problem.cube.params([0.3] * len(PROBLEM.search_problem.cube.names))
    trace = replay(replace(PROBLEM, start=start), RANDOM, 0, Budget(hours=100 / 3600))
    assert trace.history[0].params == start
    assert trace.history[1].params != start


def test_the_start_is_among_the_best_and_gains_are_counted_from_it():
    every = sorted(Made().objective(from_start.feasible_points(PROBLEM, POINTS)))
    start, won = gains(SOURCE, RANDOM, 3, best=0.05, trainings=15)
    assert every[int(0.025 * POINTS) - 1] <= start <= every[int(0.075 * POINTS) + 1]
    assert len(won) == len(SHARES)
    assert gains(SOURCE, RANDOM, 3, best=0.05, trainings=15) == (start, won)
    worst, more = gains(SOURCE, RANDOM, 3, best=0.6, trainings=15)
    assert worst > start
    assert more[-1] > won[-1]


def test_a_row_has_points_and_intervals():
    line = row("a", "b", [0.4, 0.2], np.array([[0.01, 0.0, -0.02], [0.03, 0.0, -0.02]]))
    told = "+2.0 [+1.0, +3.0] | +0.0 [+0.0, +0.0] | -2.0 [-2.0, -2.0]"
    assert line == f"| a | b | 30.0 % | {told} |\n"


def test_the_table_has_a_row_for_each(capsys):
    main(["random-none", "--tables", "modern35", "siamese35", "--seeds", "2", "--trainings", "4"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == ["modern35", "siamese35"]


def test_a_set_up_that_is_not_known_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["bogus"])
    assert "bogus" in capsys.readouterr().err
    assert "bogus" not in setups()
