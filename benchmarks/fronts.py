"""Searches for low error and few multiply-adds, replayed: `python -m benchmarks.fronts`.

The front that a study would hand over is that of its complete trials as observed. It is judged by
what is true: errors without noise, and log10 of the multiply-adds. The reference point is the
median error and the largest cost of 10,000 feasible points. The target is 95 % of the mean final
hypervolume of random search over the same seeds. A replay ends when it is reached; with --whole it
goes on to the horizon.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cells import POINTS, feasible_points, load_problem
from benchmarks.pick import ALWAYS_WRONG, Look
from benchmarks.replay import Problem, Setup, replay
from benchmarks.setups import OWN
from benchmarks.yardstick import DEVELOPING, JUDGING, mean_interval, ratio_interval
from hpsearch.front.hypervolume import hypervolume
from hpsearch.front.order import front_of
from hpsearch.output import say
from hpsearch.paths import write_atomically
from hpsearch.pruners.config import PrunerConfig
from hpsearch.samplers.config import SamplerConfig
from hpsearch.seeding import derive_seed
from hpsearch.study.config import Budget
from hpsearch.study.objectives import Named, goals_of
from hpsearch.trial import TrialRecord

BOTH = ("validation_error", "multiply_adds")
GOALS = goals_of([Named(name=name) for name in BOTH], {}, None)
TARGET = 0.95
TABLES = ("siamese35", "modern35")
RANDOM = "random-none"
ALONE = " by error alone"
"""Ends the name of a search that knows one objective; its front is taken afterwards."""
SETUPS = (RANDOM, "tpe-none", "nsga2-none", "random-asha", "tpe-asha", "nsga2-asha", "bayes-asha",
          "bayes-expected", f"bayes-expected{ALONE}")  # fmt: skip

Rise = Sequence[tuple[float, float]]
"""(simulated seconds, true hypervolume) at each ask and at the end."""


@dataclass(frozen=True)
class Scene:
    """One table with its reference point and the simulated seconds of a replay."""

    problem: Problem
    reference: tuple[float, float]
    horizon_s: float


@cache
def scene(table: str) -> Scene:
    """Read a table; once per process."""
    alone, goal = load_problem(OWN[table])
    problem = replace(alone, objectives=BOTH)
    space = problem.search_problem
    costs = [space.costs(params)["multiply_adds"] for params in feasible_points(alone, POINTS)]
    median = goal.errors[4]  # percentiles 0, 1, 5, 25 and 50
    return Scene(problem, (median, math.log10(max(costs))), goal.horizon_s)


def run(table: str, name: str, seed: int, target: float = math.inf) -> list[tuple[float, float]]:
    """Replay one set-up; return (simulated seconds, true hypervolume) at each ask and the end.

    Args:
        table: Name of the table.
        name: The set-up, as in `SETUPS`.
        seed: One of the yardstick's.
        target: A hypervolume that ends the replay.
    """
    at, knows = scene(table), not name.endswith(ALONE)
    sampler, _, pruner = name.removesuffix(ALONE).partition("-")
    setup = Setup(SamplerConfig(name=sampler), PrunerConfig(name=pruner))
    problem = at.problem if knows else replace(at.problem, objectives=())
    budget = Budget(hours=at.horizon_s / 3600)
    found: list[tuple[float, float]] = []

    def reached(look: Look, truths: Mapping[int, float]) -> bool:
        found.append((look.seconds, volume(look.history, truths, at)))
        return found[-1][1] >= target

    start = derive_seed(seed, "replay") % 2**32
    trace = replay(problem, setup, start, budget, until=reached)
    reached(trace.looks[-1], trace.truths)
    return found


def volume(history: Sequence[TrialRecord], truths: Mapping[int, float], at: Scene) -> float:
    """Return the true hypervolume of the observed front."""
    space = at.problem.search_problem
    told = [t if t.figures else replace(t, figures=space.costs(t.params)) for t in history]
    points = [
        (min(truths[t.number], ALWAYS_WRONG), math.log10(t.figures["multiply_adds"]))
        for t in front_of(told, GOALS)
    ]
    return hypervolume(points, at.reference)


def target_of(paths: Sequence[Rise]) -> float:
    """Return the target by what random search found."""
    return TARGET * float(np.mean([path[-1][1] for path in paths]))


def judged(runs: Mapping[str, Sequence[Rise]], horizon_s: float) -> dict[str, Any]:
    """Return each set-up's restricted mean time to the target, and its ratio to random search.

    Args:
        runs: What `run` returned, by set-up, in the order of the seeds.
        horizon_s: Simulated seconds of a replay; a search that never arrives counts with these.
    """
    target = target_of(runs[RANDOM])
    times = {
        name: np.array(
            [
                min(next((s for s, v in path if v >= target), horizon_s), horizon_s)
                for path in paths
            ]
        )
        for name, paths in runs.items()
    }
    rows = {
        name: {
            "seconds_to_target": mean_interval(times[name], 2),
            "ratio_to_random": ratio_interval(times[name], times[RANDOM]),
            "ratio_to": {
                other: ratio_interval(times[name], times[other])
                for other in times
                if other not in (name, RANDOM)
            },
            "reached": sum(path[-1][1] >= target for path in paths),
        }
        for name, paths in runs.items()
    }
    return {"target": target, "horizon_s": horizon_s, "searches": rows}


def main() -> None:
    """Replay what is missing, and print and write the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tables", nargs="+", default=TABLES, choices=OWN)
    options.add_argument("--setups", nargs="+", default=SETUPS)
    options.add_argument("--seeds", type=int, default=len(JUDGING))
    options.add_argument("--develop", action="store_true", help="seeds to try ideas with")
    options.add_argument("--whole", action="store_true", help="replay to the horizon")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--output", type=Path, default=Path("build/fronts.json"))
    given = options.parse_args()
    seeds = list((DEVELOPING if given.develop else JUDGING)[: given.seeds])
    names = [name for name in given.setups if name != RANDOM]
    found = {}
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        kept = Kept(given.output.with_suffix(".cells.json"), pool)
        for table in given.tables:
            runs = {RANDOM: kept.runs(table, RANDOM, seeds, math.inf)}
            target = math.inf if given.whole else target_of(runs[RANDOM])
            runs |= {name: kept.runs(table, name, seeds, target) for name in names}
            found[table] = {"seeds": len(seeds), **judged(runs, scene(table).horizon_s)}
            _print(table, found[table])
    write_atomically(given.output, json.dumps(found, indent=1) + "\n")


class Kept:
    """What was replayed, kept in a file, so that the same command continues."""

    def __init__(self, path: Path, pool: ProcessPoolExecutor) -> None:
        self._path, self._pool = path, pool
        path.parent.mkdir(parents=True, exist_ok=True)
        self._cells: dict[str, Any] = {}
        if path.exists():
            self._cells = json.loads(path.read_text(encoding="utf-8"))

    def runs(self, table: str, name: str, seeds: Sequence[int], target: float) -> list[Rise]:
        """Return what `run` returned under each seed; replay what is missing."""
        keys = {seed: f"{table} {name} {seed} {target:.6f}" for seed in seeds}
        missing = [seed for seed in seeds if keys[seed] not in self._cells]
        count = len(missing)
        cells = [table] * count, [name] * count, missing, [target] * count
        for seed, path in zip(missing, self._pool.map(run, *cells), strict=True):
            self._cells[keys[seed]] = path
            write_atomically(self._path, json.dumps(self._cells))
        return [self._cells[keys[seed]] for seed in seeds]


def _print(table: str, told: Mapping[str, Any]) -> None:
    say(f"{table}: {told['seeds']} seeds, target {told['target']:.4f}")
    for name, row in told["searches"].items():
        seconds, ratio = row["seconds_to_target"], row["ratio_to_random"]
        say(
            f"  {name:32} target after {seconds['mean']:6.1f} s "
            f"[{seconds['low']:.1f}, {seconds['high']:.1f}], {row['reached']} of {told['seeds']}; "
            f"of random's {ratio['ratio']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"
        )


if __name__ == "__main__":
    main()
