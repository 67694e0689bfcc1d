"""Which sampler, pruner and start is worth its place: `python -m benchmarks.search_bench`.

The default and random search are replayed on the project's tables and compared with the recorded
replays of `benchmarks.recorded`. On another table `tpe-asha` is replayed too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from benchmarks.ask_time import SIZES, ask_seconds
from benchmarks.cells import (
    Cells,
    Source,
    Way,
    error_at,
    false_prune,
    load_problem,
    median_interval,
)
from benchmarks.outside import PROGRAM_SYSTEMS
from benchmarks.recorded import Recorded
from benchmarks.setups import (
    BASELINE,
    LEARNING,
    OUTSIDE,
    OWN,
    RANDOM,
    default_name,
    known,
)
from benchmarks.yardstick import DEVELOPING, JUDGING, Judged, block
from hpsearch.errors import InputError
from hpsearch.paths import write_atomically

COMMITTED = Path("docs/results/search.json")
CACHE = Path("build/bench-search")
EARLIER = 30
"""Seeds of the earlier measure, from 0."""
EARLIER_FIT = "earlier"
"""Marks committed figures that were measured on the surrogate before the stored one."""
GRID = 60
"""Points in time at which the error is kept for figures."""


def main() -> None:
    """Run the benchmark and write its results."""
    options = _options()
    sources = _sources(options)
    seeds = (DEVELOPING if options.developing else JUDGING)[: options.seeds]
    report: dict[str, Any] = {"default": default_name(), "tables": {}}
    for number, source in enumerate(sources):
        load_problem(source)  # a table that cannot be read is refused before anything runs
        compared = not (options.developing or options.nearest or options.to_goal)
        recorded = Recorded(source) if compared and source in OWN.values() else None
        held = recorded.searches(seeds) if recorded else {}
        live, cells = _live(options, seeds, held), Cells(source, CACHE, options.to_goal)
        if not options.to_goal:
            rest = ", ".join(n for n in held if n not in live) or "none"
            _say(f"{source.name}: {len(seeds)} seeds; live: {', '.join(live)}; recorded: {rest}")
            results = cells.run(live, seeds, _progress)
            report["tables"][source.name] = told = _table(source, results, seeds, recorded, held)
            _print_table(source.name, told)
        if number == 0 and not options.developing:
            count = options.seeds if options.to_goal else min(options.seeds, EARLIER)
            _say(f"{source.name}: the earlier measure; {count} seeds; live: {', '.join(live)}")
            report |= _earlier(source, cells.run(live, range(count), _progress), options.to_goal)
    write_atomically(options.output, json.dumps(report, indent=1) + "\n")
    if options.developing:
        return
    _print(report)
    if sources[0] == OWN["siamese35"] and COMMITTED.exists() and not options.all:
        lost = compare(report, json.loads(COMMITTED.read_bytes()))
        whole = report["seeds"] >= EARLIER and not options.to_goal
        sys.exit(lost or (whole and not ahead_of_random(report)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, help="another table instead of the project's")
    parser.add_argument("--space", help="space of that table")
    parser.add_argument("--table-study", type=Path, help="its study file: geometry and limits")
    parser.add_argument("--tables", nargs="+", choices=list(OWN), default=list(OWN))
    parser.add_argument("--nearest", action="store_true", help="answer with the nearest row")
    parser.add_argument("--seeds", type=int, default=len(JUDGING), help="the first so many")
    parser.add_argument(
        "--developing", action="store_true", help="use the seeds that ideas are tried with"
    )
    parser.add_argument("--all", action="store_true", help="every set-up of ours, live")
    parser.add_argument("--cells", nargs="*", default=[], help="these too, live")
    parser.add_argument(
        "--to-goal", action="store_true", help="end replays at the best 5 %%: only its time, soon"
    )
    parser.add_argument("--output", type=Path, default=Path("build/bench-search.json"))
    options = parser.parse_args()
    if options.table and not options.space:
        parser.error("--table needs --space FILE")
    return options


def _sources(options: argparse.Namespace) -> list[Source]:
    """Return the problems to replay; a table without a study decodes nothing."""
    if options.table:
        own = [s for s in OWN.values() if s.table == options.table and not s.second]
        study = options.table_study or (own[0].study if own else None)
        return [Source(options.table, options.space, study, options.nearest)]
    found = [OWN[name] for name in options.tables]
    return [replace(s, nearest=True) for s in found] if options.nearest else found


def _live(
    options: argparse.Namespace, seeds: Sequence[int], held: Mapping[str, Judged]
) -> dict[str, Way]:
    """Return what is replayed now: what is asked for, and the baseline unless it is recorded."""
    ways = known()
    unknown = [name for name in options.cells if name not in ways]
    if unknown:
        sys.exit(f"no cell {unknown[0]!r}; there are {', '.join(ways)}")
    recorded = len(held.get(BASELINE, ())) == len(seeds)
    names = [default_name(), RANDOM, *([] if recorded else [BASELINE]), *options.cells]
    if options.all:
        names += [n for n in ways if n not in OUTSIDE]
    lacking = [n for n in names if n in PROGRAM_SYSTEMS and not PROGRAM_SYSTEMS[n].python.exists()]
    if lacking:
        _say(f"left out, python -m benchmarks.outside installs them: {', '.join(lacking)}")
    return {name: ways[name] for name in dict.fromkeys(names) if name not in lacking}


def _table(
    source: Source,
    results: Mapping[str, Sequence[Mapping[str, Any]]],
    seeds: Sequence[int],
    recorded: Recorded | None,
    held: Mapping[str, Judged],
) -> dict[str, Any]:
    """Return a table's block: what was replayed now beside what is recorded."""
    live = {
        name: {seed: run["handed_over"] for seed, run in zip(seeds, runs, strict=True)}
        for name, runs in results.items()
    }
    for name in live.keys() & held.keys():
        alike = sum(live[name][seed] == judged for seed, judged in held[name].items())
        _say(f"{source.name}: {name}: {alike} of {len(held[name])} replays are as recorded")
    goal = load_problem(source)[1]
    told = block({**held, **live}, default_name(), goal.horizon_s)
    origins = {n: recorded.origin(n) for n in held if n not in live} if recorded else {}
    return {**told, "live": sorted(live), "recorded": origins, **_goal(source)}


def _earlier(
    source: Source, results: Mapping[str, Sequence[Mapping[str, Any]]], to_goal: bool
) -> dict[str, Any]:
    """Return what is told of the first table alone: asks, and medians of the best trial seen."""
    goal = load_problem(source)[1]
    report: dict[str, Any] = {
        "table": str(source.table),
        "seeds": len(results[RANDOM]),
        "ask_seconds": _ask_seconds(source),
        **_goal(source),
        "time_to_best_5_percent": {n: summary(runs) for n, runs in results.items()},
    }
    if not to_goal:
        best = goal.errors[1]
        report["false_prune"] = false_prune(results[default_name()])
        report["time_to_best_1_percent"] = {
            n: summary(to_error(runs, best)) for n, runs in results.items()
        }
        report["error_over_time"] = _curves(results, goal.horizon_s)
        report["rank_over_time"] = ranks(results, goal.horizon_s)
    return report


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
            for sampler in LEARNING
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
    """Say whether random search needs longer to the best 5 % of the first table, for certain."""
    found = next(iter(report["tables"].values()))["ratio_to_default"][RANDOM]["5_percent"]
    told = f"{found['ratio']:.1f} ({found['low']:.1f} to {found['high']:.1f})"
    _say(f"random search takes {told} times as long as the default to the best 5 %")
    return bool(found["low"] > 1)


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


def _print_table(table: str, told: Mapping[str, Any]) -> None:
    """Print the yardstick: means over seeds with their 95 % intervals, soonest first."""
    means = told["restricted_mean_s"]
    for name in sorted(means, key=lambda n: means[n]["1_percent"]["mean"]):
        whence = "live" if name in told["live"] else "recorded"
        ratio, pick = told["ratio_to_default"][name]["1_percent"], told["pick_error"][name]
        shown = ", ".join(f"{v['mean']:.3f} at {share}" for share, v in pick.items())
        _say(
            f"{table}: {name} ({whence}, {told['seeds_of'][name]} seeds): restricted mean "
            f"{_mean(means[name]['5_percent'])} to the best 5 %, {_mean(means[name]['1_percent'])}"
            f" to the best 1 %, {ratio['ratio']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f}) "
            f"times the default's; pick {shown}"
        )


def _mean(values: Mapping[str, float]) -> str:
    return f"{values['mean']:.0f} s ({values['low']:.0f} to {values['high']:.0f})"


def _progress(name: str, done: int, total: int) -> None:
    if done % 10 == 0 or done == total:
        _say(f"{done} of {total} replays ({name})")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
