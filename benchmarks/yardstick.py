"""The yardstick of searches: which seeds judge, and what is told of the picks they hand over.

Restricted mean times (a search that never arrives counts with the whole budget), the error of the
pick on the way, and ratios to the default over the same seeds, with 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.pick import SHARES
from hpsearch.seeding import generator

DEVELOPING = range(1000, 1060)
"""Seeds to try ideas and choose settings with."""
JUDGING = range(2000, 2060)
"""Seeds of the published figures. Nothing is chosen on them."""
GOALS = ("5_percent", "1_percent")
RESAMPLES = 10_000

Array = NDArray[np.float64]
Judged = Mapping[int, Mapping[str, Any]]
"""What `benchmarks.pick.judge` returned, by seed."""


def block(searches: Mapping[str, Judged], default: str, horizon_s: float) -> dict[str, Any]:
    """Return what is told of one table.

    Args:
        searches: Set-ups by name, the default among them. One that ran under fewer seeds is
            compared with the default under these.
        default: Its name.
        horizon_s: Simulated seconds of a replay.
    """
    own = searches[default]
    times = {n: {g: restricted(runs, g, horizon_s) for g in GOALS} for n, runs in searches.items()}
    return {
        "seeds": len(own),
        "seeds_of": {name: len(runs) for name, runs in searches.items()},
        "restricted_mean_s": {
            name: {goal: mean_interval(row, 2) for goal, row in rows.items()}
            for name, rows in times.items()
        },
        "ratio_to_default": {
            name: {
                goal: ratio_interval(row, restricted(own, goal, horizon_s, list(searches[name])))
                for goal, row in rows.items()
            }
            for name, rows in times.items()
        },
        "reached": {
            name: {
                goal: sum(_time(run, goal, horizon_s) < horizon_s for run in runs.values())
                for goal in GOALS
            }
            for name, runs in searches.items()
        },
        "pick_error": {
            name: {
                share: mean_interval(np.array([r["pick_error"][share] for r in runs.values()]), 4)
                for share in SHARES
            }
            for name, runs in searches.items()
        },
    }


def restricted(
    runs: Judged, goal: str, horizon_s: float, seeds: Sequence[int] | None = None
) -> Array:
    """Return the seconds to a goal under each seed, at most the horizon, float64 [seeds].

    Args:
        runs: By seed.
        goal: Its name.
        horizon_s: Simulated seconds of a replay.
        seeds: Those that count, all by default.
    """
    chosen = runs if seeds is None else seeds
    return np.array([_time(runs[seed], goal, horizon_s) for seed in chosen])


def _time(run: Mapping[str, Any], goal: str, horizon_s: float) -> float:
    time = run["time_to"][goal]
    return horizon_s if time is None else min(float(time), horizon_s)


def mean_interval(values: Array, digits: int) -> dict[str, float]:
    """Return the mean with a 95 % interval of the bootstrap over seeds.

    Reference:
        Efron and Tibshirani (1993), "An Introduction to the Bootstrap", section 13.3.
    """
    low, high = np.quantile(values[_drawn(len(values))].mean(axis=1), [0.025, 0.975])
    named = {"mean": values.mean(), "low": low, "high": high}
    return {key: round(float(value), digits) for key, value in named.items()}


def ratio_interval(values: Array, others: Array) -> dict[str, float]:
    """Return the ratio of two means over the same seeds, with a 95 % interval.

    The bootstrap draws seeds, and with each both of its times.
    """
    rows = _drawn(len(values))
    ratios = values[rows].mean(axis=1) / others[rows].mean(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    named = {"ratio": values.mean() / others.mean(), "low": low, "high": high}
    return {key: round(float(value), 4) for key, value in named.items()}


def _drawn(count: int) -> NDArray[np.int64]:
    """Return places drawn with replacement, the same in each call, int64 [resamples, count]."""
    return generator(0, "bootstrap").integers(count, size=(RESAMPLES, count))
