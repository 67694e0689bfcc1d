"""Which sampler, pruner and start is worth its place: `python -m benchmarks.search_bench`.

One factor at a time around the shipped default, on a recorded table. Without --all the default,
random search and one drawn cell run again and are compared with the committed results.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from benchmarks.ask_time import SAMPLERS, SIZES, ask_seconds
from benchmarks.cells import (
    Cells,
    Source,
    Way,
    error_at,
    false_prune,
    load_problem,
    median_interval,
)
from benchmarks.outside import PROGRAM_SYSTEMS, PlainOptuna, PlainSkopt
from benchmarks.replay import Setup
from hpsearch.paths import write_atomically
from hpsearch.pruners.config import PrunerConfig
from hpsearch.seeding import generator
from hpsearch.study.config import SamplerConfig

TABLE = Path("benchmarks/tables/siamese35.csv.gz")
STUDY = Path("benchmarks/tables/siamese35.yaml")
SPACE = "benchmarks/tables/siamese35.space.yaml"
COMMITTED = Path("docs/results/search.json")
CACHE = Path("build/bench-search")
SEEDS = 30
RANDOM = "random-none"
EARLIER_FIT = "earlier"
"""Marks committed figures that were measured on the surrogate before the stored one."""
GRID = 60
"""Points in time at which the error is kept for figures."""


OUTSIDE: dict[str, Way] = {
    "plain-optuna-tpe": PlainOptuna("tpe"),
    "plain-optuna-gp": PlainOptuna("gp"),
    "plain-scikit-optimize": PlainSkopt(),
    **PROGRAM_SYSTEMS,
}
"""Other systems on the same problem; `--cells` runs them, `--all` those that are installed."""


def setups() -> dict[str, Setup]:
    """Return every set-up by name, the default first: one factor at a time around it."""
    sampler, pruner = SamplerConfig(), PrunerConfig()
    found = {default_name(): Setup(sampler, pruner)}
    found[RANDOM] = Setup(SamplerConfig(name="random"), PrunerConfig(name="none"))

    def add(name: str, setup: Setup) -> None:
        found.setdefault(name, setup)

    for name in ("random", *SAMPLERS):
        other = sampler.model_copy(update={"name": name})
        add(f"{name}-{pruner.name}", Setup(other, pruner))
    for name in ("none", "median", "asha", "asha-promotion", "hyperband"):
        other_pruner = pruner.model_copy(update={"name": name})
        add(f"{sampler.name}-{name}", Setup(sampler, other_pruner))
    for start in ("recentred", "sobol", "random"):
        if start != sampler.start:
            begun = sampler.model_copy(update={"start": start})
            add(f"{default_name()}-{start}-start", Setup(begun, pruner))
    for count in (5, 10, 20, 40):
        if count != sampler.startup_trials:
            changed = sampler.model_copy(update={"startup_trials": count})
            add(f"{default_name()}-start{count}", Setup(changed, pruner))
    for factor in (2, 3, 4):
        if factor != pruner.reduction_factor:
            slower = pruner.model_copy(update={"reduction_factor": factor})
            add(f"{default_name()}-factor{factor}", Setup(sampler, slower))
    for name in (default_name(), RANDOM):
        add(f"{name}-4workers", Setup(found[name].sampler, found[name].pruner, workers=4))
    return found


def default_name() -> str:
    """Return the name of what a study does that says nothing."""
    return f"{SamplerConfig().name}-{PrunerConfig().name}"


def main() -> None:
    """Run the benchmark and write its results."""
    options = _options()
    source = Source(options.table, options.space, options.study, options.nearest)
    known: dict[str, Way] = {**setups(), **OUTSIDE}
    own = options.table == TABLE and not options.nearest
    committed = json.loads(COMMITTED.read_bytes()) if own and COMMITTED.exists() else None
    chosen = _chosen(options, known)
    _say(f"{options.table}: {', '.join(chosen)}; {options.seeds} seeds")
    results = Cells(source, CACHE, options.to_goal).run(chosen, range(options.seeds), _progress)
    report = {
        "table": str(options.table),
        "seeds": options.seeds,
        "default": default_name(),
        "ask_seconds": _ask_seconds(source),
        **_goal(source),
        "time_to_best_5_percent": {n: summary(runs) for n, runs in results.items()},
    }
    if not options.to_goal:
        report["false_prune"] = false_prune(results[default_name()])
        goal = load_problem(source)[1]
        best = goal.errors[1]
        report["time_to_best_1_percent"] = {
            n: summary(to_error(runs, best)) for n, runs in results.items()
        }
        report["error_over_time"] = _curves(results, goal.horizon_s)
        report["rank_over_time"] = ranks(results, goal.horizon_s)
    write_atomically(options.output, json.dumps(report, indent=1) + "\n")
    _print(report)
    if committed is not None and not options.all:
        lost = compare(report, committed)
        whole = options.seeds >= SEEDS and not options.to_goal
        sys.exit(lost or (whole and not ahead_of_random(report)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--space", help="space of the table; its parameters decode nothing")
    parser.add_argument("--nearest", action="store_true", help="answer with the nearest row")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--all", action="store_true", help="every cell, not only three")
    parser.add_argument("--cells", nargs="*", help="these cells")
    parser.add_argument(
        "--to-goal", action="store_true", help="end replays at the best 5 %%: only its time, soon"
    )
    parser.add_argument("--output", type=Path, default=Path("build/bench-search.json"))
    options = parser.parse_args()
    if options.space is None and options.table != TABLE:
        parser.error("--table needs --space FILE")
    options.study = None if options.space else STUDY
    options.space = options.space or SPACE
    return options


def _chosen(options: argparse.Namespace, known: Mapping[str, Way]) -> dict[str, Way]:
    names = list(known)
    if options.cells:
        unknown = [name for name in options.cells if name not in known]
        if unknown:
            sys.exit(f"no cell {unknown[0]!r}; there are {', '.join(names)}")
        names = [default_name(), RANDOM, *options.cells]
    elif not options.all:
        rest = [n for n in names if n not in (default_name(), RANDOM, *OUTSIDE) and "gp" not in n]
        drawn = generator(int.from_bytes(os.urandom(4), "big"), "cell").choice(rest)
        names = [default_name(), RANDOM, str(drawn)]
    lacking = [n for n in names if n in PROGRAM_SYSTEMS and not PROGRAM_SYSTEMS[n].python.exists()]
    if lacking:
        _say(f"left out, python -m benchmarks.outside installs them: {', '.join(lacking)}")
    return {name: known[name] for name in dict.fromkeys(names) if name not in lacking}


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the median time to the best 5 %, its interval, and how many runs came so far."""
    times = [math.inf if run["time_to"] is None else run["time_to"] for run in runs]
    median, low, high = (_finite(value) for value in median_interval(times))
    reached = sum(math.isfinite(t) for t in times)
    return {"median": median, "low": low, "high": high, "reached": reached, "seeds": len(times)}


def to_error(runs: Sequence[Mapping[str, Any]], error: float) -> list[dict[str, Any]]:
    """Return whole replays with their time to another error, as their paths have it."""
    times = (next((s for s, e in run["path"] if e <= error), None) for run in runs)
    return [{**run, "time_to": time} for run, time in zip(runs, times, strict=True)]


def _finite(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None


def _goal(source: Source) -> dict[str, Any]:
    goal = load_problem(source)[1]
    names = ("0", "1", "5", "25", "50", "75", "95")
    errors = {n: _finite(e) for n, e in zip(names, goal.errors, strict=True)}
    return {
        "best_5_percent": round(goal.threshold, 5),
        "horizon_s": round(goal.horizon_s, 1),
        "error_percentiles": errors,
    }


def _curves(
    results: Mapping[str, Sequence[Mapping[str, Any]]], horizon: float
) -> dict[str, dict[str, list[float]]]:
    """Return median and quartiles of the best trial's error without noise, by simulated time."""
    times = [horizon * k / GRID for k in range(1, GRID + 1)]
    curves: dict[str, dict[str, list[float]]] = {}
    for name, runs in results.items():
        columns = [sorted(error_at(run["path"], s) for run in runs) for s in times]
        quartiles = {
            key: [round(column[int(share * (len(column) - 1))], 5) for column in columns]
            for key, share in (("low", 0.25), ("median", 0.5), ("high", 0.75))
        }
        curves[name] = {"seconds": [round(s, 1) for s in times], **quartiles}
    return curves


def ranks(
    results: Mapping[str, Sequence[Mapping[str, Any]]], horizon: float
) -> dict[str, list[float]]:
    """Return each set-up's mean rank among all by simulated time; 1 is best, ties share theirs."""
    found: dict[str, list[float]] = {name: [] for name in results}
    for k in range(1, GRID + 1):
        now = horizon * k / GRID
        errors = [[error_at(run["path"], now) for run in runs] for runs in results.values()]
        for name, row in zip(found, rankdata(errors, axis=0), strict=True):
            found[name].append(round(float(np.mean(row)), 3))
    return found


def _ask_seconds(source: Source) -> dict[str, dict[str, float]]:
    """Time asks in a process of one thread."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return {
            sampler: {
                str(size): round(pool.submit(ask_seconds, source, sampler, size).result(), 4)
                for size in SIZES
            }
            for sampler in SAMPLERS
        }


def compare(report: Mapping[str, Any], committed: Mapping[str, Any]) -> int:
    """Print now against committed; return 1 where the default is slower beyond both intervals."""
    lost = 0
    for name, now in report["time_to_best_5_percent"].items():
        before = committed["time_to_best_5_percent"].get(name)
        if before is None or before.get("fit") == EARLIER_FIT:
            _say(f"{name}: {_span(now)} now, no figure on this fit is committed")
            continue
        slower = None not in (before["high"], now["low"]) and now["low"] > before["high"]
        lost |= slower and name == report["default"]
        verdict = "SLOWER beyond the intervals" if slower else "agrees"
        _say(f"{name}: {_span(now)} now, {_span(before)} committed: {verdict}")
    return int(lost)


def ahead_of_random(report: Mapping[str, Any]) -> bool:
    """Say whether the default's median time lies below random search's, their intervals apart."""
    times = report["time_to_best_5_percent"]
    default, blind = times[report["default"]], times[RANDOM]
    ahead = default["high"] is not None and default["high"] < (blind["low"] or math.inf)
    _say(f"the default {'is' if ahead else 'IS NOT'} ahead of random search by both intervals")
    return ahead


def _span(values: Mapping[str, Any]) -> str:
    shown = ["-" if values[k] is None else f"{values[k]:.0f}" for k in ("median", "low", "high")]
    return f"{shown[0]} s ({shown[1]} to {shown[2]})"


def _print(report: Mapping[str, Any]) -> None:
    times = report["time_to_best_5_percent"]
    reference = times[RANDOM]["median"]
    for name, values in sorted(times.items(), key=lambda item: item[1]["median"] or math.inf):
        share = ""
        if reference and values["median"]:
            share = f", {reference / values['median']:.1f} x random"
        harder = report.get("time_to_best_1_percent", {}).get(name)
        further = f"; best 1 %: {_span(harder)}" if harder else ""
        _say(
            f"{name:28} {_span(values)}, {values['reached']} of {values['seeds']}{share}{further}"
        )
    prunes = report.get("false_prune")
    if prunes and prunes["audits"]:
        _say(
            f"false prunes: {prunes['estimate']:.3f} ({prunes['low']:.3f} to {prunes['high']:.3f})"
            f" from {prunes['audits']} audits, true {prunes['true']:.3f} of {prunes['pruned']}"
        )
    for sampler, seconds in report["ask_seconds"].items():
        shown = ", ".join(f"{s:.2f} s at {n}" for n, s in seconds.items())
        _say(f"one ask of {sampler}: {shown}")


def _progress(name: str, done: int, total: int) -> None:
    if done % 10 == 0 or done == total:
        _say(f"{done} of {total} replays ({name})")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
