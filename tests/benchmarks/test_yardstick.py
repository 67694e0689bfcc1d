"""The split of seeds, and the statistics: the reference is scipy's own bootstrap."""

import json

import numpy as np
import pytest
from scipy.stats import bootstrap

from benchmarks.yardstick import DEVELOPING, JUDGING, block, mean_interval, ratio_interval

HORIZON = 100.0


def judged(time, error=0.5):
    return {
        "time_to": {"5_percent": time, "1_percent": time},
        "pick_error": {"0.25": error, "0.5": error, "1": error},
    }


def test_no_seed_that_judges_is_one_to_develop_with():
    assert not set(DEVELOPING) & set(JUDGING)
    assert (JUDGING[0], JUDGING[-1], len(JUDGING)) == (2000, 2059, 60)


def test_a_search_that_never_arrives_counts_with_the_whole_budget():
    own = {2000: judged(20.0), 2001: judged(None), 2002: judged(130.0)}
    told = block({"ours": own}, "ours", HORIZON)
    assert told["restricted_mean_s"]["ours"]["1_percent"]["mean"] == pytest.approx(
        220 / 3, abs=0.01
    )
    assert told["reached"]["ours"]["1_percent"] == 1
    assert set(told["ratio_to_default"]["ours"]["1_percent"].values()) == {1.0}
    json.dumps(told, allow_nan=False)


def test_a_system_with_fewer_seeds_is_compared_under_these_alone():
    own = {seed: judged(10.0 if seed < 2010 else 90.0) for seed in JUDGING}
    other = {seed: judged(20.0) for seed in range(2000, 2010)}
    told = block({"ours": own, "other": other}, "ours", HORIZON)
    assert told["ratio_to_default"]["other"]["5_percent"]["ratio"] == 2.0
    assert told["seeds"] == 60
    assert told["seeds_of"] == {"ours": 60, "other": 10}


def test_intervals_are_those_of_the_paired_bootstrap():
    rng = np.random.default_rng(0)
    hard = rng.uniform(1, 3, 60)  # how hard a seed is, for both
    ours, other = 10 * hard + rng.normal(0, 1, 60), 15 * hard + rng.normal(0, 1, 60)

    def ratio(a, b, axis):
        return a.mean(axis=axis) / b.mean(axis=axis)

    theirs = bootstrap((other, ours), ratio, paired=True, method="percentile", rng=1)
    told = ratio_interval(other, ours)
    assert told["ratio"] == pytest.approx(other.mean() / ours.mean(), abs=1e-4)
    interval = theirs.confidence_interval
    assert (told["low"], told["high"]) == pytest.approx((interval.low, interval.high), abs=0.005)
    assert told["high"] - told["low"] < 0.1  # pairing takes out what a seed does to both
    alone = bootstrap((ours,), np.mean, method="percentile", rng=1).confidence_interval
    mean = mean_interval(ours, 4)
    assert (mean["low"], mean["high"]) == pytest.approx((alone.low, alone.high), abs=0.2)
