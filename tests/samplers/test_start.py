"""Where the first trials of a search lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpsearch.samplers.config import SamplerConfig
from hpsearch.samplers.suggest import suggest
from hpsearch.space.limits import Limits
from hpsearch.trial import ADDED, TrialRecord
from tests.support.problems import shipped_problem


def test_two_of_three_recentred_points_lie_nearer_to_the_middle() -> None:
    """Each lies between its Sobol point and the middle; every third is that point."""
    problem = shipped_problem("koch2015", Limits())
    rates = [problem.free.index(f"{name}.learning_rate") for name in ("conv1", "fc", "output")]
    even, pulled = (
        np.array([problem.cube.shares(suggest(problem, config, [], 5, n)) for n in range(12)])
        for config in (SamplerConfig(name="sobol"), SamplerConfig(name="recentred"))
    )
    before, after = np.abs(even - 0.5)[:, rates], np.abs(pulled - 0.5)[:, rates]
    assert np.array_equal(before[2::3], after[2::3])
    assert np.all(after[0::3] < before[0::3])
    assert np.all(after[1::3] < before[1::3])
    assert np.all((even[1:, rates] > 0.5) == (pulled[1:, rates] > 0.5))
    assert after[3::3].mean() < after[1::3].mean() < before.mean()


def test_the_first_recentred_point_is_the_middle_or_beside_it() -> None:
    problem = shipped_problem("koch2015", Limits())
    config = SamplerConfig()
    middle = suggest(problem, config, [], 5, 0)
    assert middle == problem.cube.params([0.5] * len(problem.cube.names))
    assert middle == suggest(problem, config, [], 6, 0)
    known = [TrialRecord(0, "complete", middle, {1: 0.5}, 0.5)]
    assert suggest(problem, config, known, 5, 1) != middle
    cost = problem.shape(middle).parameters
    smaller = shipped_problem("koch2015", Limits(parameters=cost - 1))
    beside = suggest(smaller, config, [], 5, 0)
    assert smaller.feasible(beside)
    distance = np.abs(np.asarray(smaller.cube.shares(beside)) - 0.5)
    assert distance.mean() < 0.1


def test_the_start_lies_around_what_was_enqueued() -> None:
    """Nearer than around the middle, to each side, and also where it lies at an end."""
    problem = shipped_problem("koch2015", Limits())
    middle = problem.cube.params([0.5] * len(problem.cube.names))
    typed = problem.cube.params([0.2] * len(problem.cube.names)) | {"fc.l2": 0.0}
    config = SamplerConfig()
    drawn = {}
    for first in (middle, typed):
        known = [TrialRecord(0, "complete", first, {1: 0.5}, 0.5)]
        points = [suggest(problem, config, known, 5, n) for n in range(1, 31)]
        shares = np.array([problem.cube.shares(p) for p in points])
        drawn[first is typed] = shares - np.array(problem.cube.shares(first))
    assert np.abs(drawn[True]).mean() < 0.6 * np.abs(drawn[False]).mean()
    rates = [problem.free.index(f"{name}.learning_rate") for name in ("conv1", "fc", "output")]
    assert np.all(drawn[True][:, rates].min(0) < 0)
    assert np.all(drawn[True][:, rates].max(0) > 0)
    assert np.ptp(drawn[True][:, problem.free.index("fc.l2")]) > 0.001


def test_what_lies_near_an_end_stays_near_it() -> None:
    """The usual L2 is a thousandth of the paper's range; twenty times as much trains nothing."""
    problem = shipped_problem("koch2015", Limits())
    first = problem.cube.params([0.5] * len(problem.cube.names)) | {"fc.l2": 1e-4}
    known = [TrialRecord(0, "complete", first, {1: 0.5}, 0.5)]
    points = [suggest(problem, SamplerConfig(), known, 5, n) for n in range(3, 33, 3)]
    drawn = np.array([float(p["fc.l2"]) for p in points])
    assert 2e-5 < drawn.min() < 1e-4 < drawn.max() < 5e-4


@pytest.mark.parametrize(
    "first",
    [
        TrialRecord(0, "failed", {}),
        TrialRecord(0, "pruned", {}, {1: 0.9}, 0.9, trainable=False),
        TrialRecord(0, "failed", {}, cause=ADDED),
    ],
    ids=["failed", "untrainable", "added by Optuna"],
)
def test_what_could_not_be_trained_is_no_centre(first: TrialRecord) -> None:
    problem = shipped_problem("koch2015", Limits())
    params = problem.cube.params([0.2] * len(problem.cube.names))
    known = [replace(first, params=params)]
    around, recentred = (
        suggest(problem, SamplerConfig(name=name), known, 5, 1) for name in ("around", "recentred")
    )
    assert around == recentred
