"""What a search gains over a good start: `python -m benchmarks.from_start SETUP...`.

The yardstick of the search benchmark enqueues nothing. A real study enqueues what somebody typed,
and has time for a dozen trainings. So a configuration among the best of the space is enqueued
here, another one under each seed, and what the search would hand over is compared with it: both
by their errors without noise.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.cells import HORIZON_TRIALS, Source, feasible_points, load_problem
from benchmarks.pick import ALWAYS_WRONG, SHARES, judge
from benchmarks.replay import Setup
from benchmarks.setups import OWN, default_name, setups
from benchmarks.yardstick import DEVELOPING, JUDGING, mean_interval
from hpsearch.seeding import derive_seed, generator
from hpsearch.study.config import Budget

POINTS = 2000
"""Feasible configurations that starts are taken from."""
BEST, TRAININGS = 0.01, 15.0
AROUND = (0.5, 1.5)
"""A start's rank is drawn between these shares of the asked one."""


def gains(
    source: Source, setup: Setup, seed: int, best: float = BEST, trainings: float = TRAININGS
) -> tuple[float, list[float]]:
    """Search from one start.

    Args:
        source: The table and its surrogate.
        setup: How to search.
        seed: Decides the start and the replay.
        best: Among which share of the space the start is.
        trainings: The budget: as much time as so many average trials take in full.

    Returns:
        The start's error without noise, and by how much the pick's is lower at each of `SHARES`.
    """
    problem, goal = load_problem(source)
    points = feasible_points(problem, POINTS)
    errors = problem.model.objective(points)
    rank = round(best * POINTS * generator(seed, "start").uniform(*AROUND))
    place = int(np.argsort(errors, kind="stable")[min(max(rank, 1), POINTS - 1)])
    begun = replace(problem, start=points[place])
    seconds = goal.horizon_s / HORIZON_TRIALS * trainings
    study_seed = derive_seed(seed, "replay") % 2**32
    trace = setup.run(begun, study_seed, Budget(hours=seconds / 3600))
    judged = judge(trace.looks, trace.truths, setup.pick(begun), goal.goals, seconds)
    start = min(float(errors[place]), ALWAYS_WRONG)
    return start, [start - judged["pick_error"][share] for share in SHARES]


def row(name: str, table: str, starts: Sequence[float], found: NDArray[np.float64]) -> str:
    """Return a line of the result: mean gains in points, with 95 % intervals over seeds."""
    cells = [name, table, f"{100 * float(np.mean(starts)):.1f} %"]
    for column in found.T:
        told = mean_interval(100 * column, 2)
        cells.append(f"{told['mean']:+.1f} [{told['low']:+.1f}, {told['high']:+.1f}]")
    return f"| {' | '.join(cells)} |\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Replay, and print a row for each set-up and table."""
    known = setups()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("setups", nargs="*", default=[default_name()], metavar="SETUP")
    parser.add_argument("--tables", nargs="+", choices=list(OWN), default=list(OWN))
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--developing", action="store_true", help="seeds to choose settings with")
    parser.add_argument("--best", type=float, default=BEST, help="share that the start is among")
    parser.add_argument("--trainings", type=float, default=TRAININGS, help="the budget")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.setups if name not in known]:
        parser.error(f"{', '.join(unknown)}: no such set-up; known: {', '.join(known)}")
    os.environ["OMP_NUM_THREADS"] = "1"
    seeds = (DEVELOPING if given.developing else JUDGING)[: given.seeds]
    shares = " | ".join(f"gain after {float(s):g} of it" for s in SHARES)
    sys.stdout.write(f"| set-up | table | start | {shares} |\n{'| --- ' * (3 + len(SHARES))}|\n")
    for name in given.setups:
        for table in given.tables:
            found = [gains(OWN[table], known[name], s, given.best, given.trainings) for s in seeds]
            starts, won = [start for start, _ in found], np.array([gain for _, gain in found])
            sys.stdout.write(row(name, table, starts, won))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
