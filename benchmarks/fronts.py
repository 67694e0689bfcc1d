"""Searches for low error and few multiply-adds, replayed: `python -m benchmarks.fronts`.

The front that a study would hand over is that of its complete trials as observed. It is judged by
what is true: errors without noise, and log10 of the multiply-adds. The reference point is the
median error and the largest cost of 10,000 feasible points. The target is 95 % of the mean final
hypervolume of random search over the same seeds.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cells import POINTS, feasible_points, load_problem
from benchmarks.pick import ALWAYS_WRONG
from benchmarks.replay import Problem, Setup, Trace
from benchmarks.setups import OWN
from benchmarks.yardstick import DEVELOPING, JUDGING
from hpsearch.front.hypervolume import hypervolume
from hpsearch.front.order import front_of
from hpsearch.output import say
from hpsearch.paths import write_atomically
from hpsearch.pruners.config import PrunerConfig
from hpsearch.samplers.config import SamplerConfig
from hpsearch.seeding import derive_seed, generator
from hpsearch.study.config import Budget
from hpsearch.study.objectives import Named, goals_of

BOTH = ("validation_error", "multiply_adds")
GOALS = goals_of([Named(name=name) for name in BOTH], {}, None)
TARGET = 0.95
TABLES = ("siamese35", "modern35")
RANDOM = "random-none"
ALONE = " by error alone"
"""Ends the name of a search that knows one objective; its front is taken afterwards."""
SETUPS = (RANDOM, "random-asha", "tpe-asha", "nsga2-asha", "bayes-asha", "bayes-expected",
          f"bayes-expected{ALONE}")  # fmt: skip
RESAMPLES = 10_000


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


def run(table: str, name: str, seed: int) -> list[tuple[float, float]]:
    """Replay one set-up; return (simulated seconds, true hypervolume) at each ask and the end."""
    at, knows = scene(table), not name.endswith(ALONE)
    sampler, _, pruner = name.removesuffix(ALONE).partition("-")
    setup = Setup(SamplerConfig(name=sampler), PrunerConfig(name=pruner))
    problem = at.problem if knows else replace(at.problem, objectives=())
    budget = Budget(hours=at.horizon_s / 3600)
    trace = setup.run(problem, derive_seed(seed, "replay") % 2**32, budget)
    return volumes(trace, at)


def volumes(trace: Trace, at: Scene) -> list[tuple[float, float]]:
    """Return the true hypervolume of the observed front whenever a trial was asked for."""
    space, found = at.problem.search_problem, []
    for look in trace.looks:
        history = [replace(t, figures=space.costs(t.params)) for t in look.history]
        points = [
            (min(trace.truths[t.number], ALWAYS_WRONG), math.log10(t.figures["multiply_adds"]))
            for t in front_of(history, GOALS)
        ]
        found.append((look.seconds, hypervolume(points, at.reference)))
    return found


def judged(runs: dict[str, list[list[tuple[float, float]]]], horizon_s: float) -> dict[str, Any]:
    """Return each set-up's final hypervolume and restricted mean time to the target.

    Args:
        runs: What `run` returned, by set-up, in the order of the seeds.
        horizon_s: Simulated seconds of a replay; a search that never arrives counts with these.
    """
    target = TARGET * float(np.mean([path[-1][1] for path in runs[RANDOM]]))
    rows = {}
    for name, paths in runs.items():
        finals = [path[-1][1] for path in paths]
        times = [next((s for s, v in path if v >= target), horizon_s) for path in paths]
        rows[name] = {
            "hypervolume": _mean(finals),
            "seconds_to_target": _mean([min(t, horizon_s) for t in times]),
            "reached": sum(path[-1][1] >= target for path in paths),
        }
    return {"target": target, "horizon_s": horizon_s, "searches": rows}


def _mean(values: Sequence[float]) -> list[float]:
    """Return the mean and its 95 % interval by resampling seeds."""
    held = np.array(values, np.float64)
    drawn = generator(0, "fronts").integers(len(held), size=(RESAMPLES, len(held)))
    low, high = np.quantile(held[drawn].mean(axis=1), [0.025, 0.975])
    return [round(float(v), 4) for v in (held.mean(), low, high)]


def main() -> None:
    """Replay what is missing, and print and write the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tables", nargs="+", default=TABLES, choices=OWN)
    options.add_argument("--setups", nargs="+", default=SETUPS)
    options.add_argument("--seeds", type=int, default=len(JUDGING))
    options.add_argument("--develop", action="store_true", help="seeds to try ideas with")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--output", type=Path, default=Path("build/fronts.json"))
    given = options.parse_args()
    seeds = list((DEVELOPING if given.develop else JUDGING)[: given.seeds])
    names = [RANDOM, *(name for name in given.setups if name != RANDOM)]
    kept: dict[str, Any] = {}
    cells = given.output.with_suffix(".cells.json")
    if cells.exists():
        kept = json.loads(cells.read_text(encoding="utf-8"))
    wanted = [(t, n, s) for t in given.tables for n in names for s in seeds]
    missing = [cell for cell in wanted if _key(*cell) not in kept]
    cells.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        for cell, path in (
            zip(missing, pool.map(run, *zip(*missing, strict=True)), strict=True)
            if (missing)
            else ()
        ):
            kept[_key(*cell)] = path
            write_atomically(cells, json.dumps(kept))
    found = {}
    for table in given.tables:
        runs = {n: [kept[_key(table, n, s)] for s in seeds] for n in names}
        found[table] = {"seeds": len(seeds), **judged(runs, scene(table).horizon_s)}
        say(f"{table}: {len(seeds)} seeds, target {found[table]['target']:.4f}")
        for name, row in found[table]["searches"].items():
            volume, seconds = row["hypervolume"], row["seconds_to_target"]
            say(
                f"  {name:32} hypervolume {volume[0]:.3f} [{volume[1]:.3f}, {volume[2]:.3f}]  "
                f"target after {seconds[0]:6.1f} s [{seconds[1]:.1f}, {seconds[2]:.1f}], "
                f"{row['reached']} of {len(seeds)}"
            )
    write_atomically(given.output, json.dumps(found, indent=1) + "\n")


def _key(table: str, name: str, seed: int) -> str:
    return f"{table} {name} {seed}"


if __name__ == "__main__":
    main()
