"""The default beside random search on a conditional space: `python -m benchmarks.digits`.

The model is that of examples/digits_sklearn.py. Each trial trains it for real; driver, sampler and
pruner are those of `hpsearch.search`. The clock counts CPU seconds: those of each training and,
for each trial, those in which Python starts with scikit-learn, measured once. The goal is the
median, over the seeds, of the lowest error that random search has found in the end. The middle of
the example's ranges is a good model already; in the wide ranges it is not.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_figures import DEFAULT, MARGIN, OTHER, PANEL, WIDTH, curves, text
from benchmarks.simulated import DirectAsker, Silent, SimulatedExecutor
from benchmarks.surrogate import Answer
from benchmarks.yardstick import JUDGING, mean_interval, ratio_interval
from examples.digits_sklearn import SPACE, accuracy
from hpsearch.driver.driver import Driver
from hpsearch.driver.environment import Environment
from hpsearch.output import say
from hpsearch.paths import StudyFolder, write_atomically
from hpsearch.storage.memory_store import MemoryStore
from hpsearch.study.plan import DataPlace, plan_values
from hpsearch.trial import Value

HORIZON_S = 60.0
"""CPU seconds of a search."""
SPACES: dict[str, dict[str, Any]] = {
    "the example's ranges": SPACE,
    "wide ranges": {
        "model": SPACE["model"],
        "c": {**SPACE["c"], "low": 1e-4, "high": 1e4},
        "gamma": {**SPACE["gamma"], "low": 1e-9, "high": 10},
        "trees": {**SPACE["trees"], "low": 2, "high": 200},
        "depth": {**SPACE["depth"], "low": 1, "high": 40},
    },
}
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "random": {"sampler": {"name": "random"}, "pruner": {"name": "none"}},
}
POINTS = 121
"""Of a drawn curve."""

Fall = Sequence[tuple[float, float]]
"""(CPU seconds, lowest error so far) at the end of each trial."""


class Trained:
    """Answers a configuration by training it."""

    epochs = 1

    def __init__(self, start_s: float) -> None:
        """Note what a start of the program takes, CPU seconds."""
        self._start_s = start_s

    def answer(self, params: Mapping[str, Value], seed: int) -> Answer:
        """Return the error and the CPU seconds of one trial."""
        began = time.process_time()
        error = 1 - accuracy(**params, seed=seed)  # type: ignore[arg-type]
        seconds = self._start_s + time.process_time() - began
        return Answer((error,), (seconds,), diverged=False, truth=(error,))


def search(space: str, name: str, seed: int, start_s: float) -> list[tuple[float, float]]:
    """Run one search; return how its lowest error fell."""
    values = {
        "name": "digits",
        "trainer": {"command": ["${python}"]},
        "space": {"name": "digits", "parameters": SPACES[space]},
        "budget": {"hours": HORIZON_S / 3600},
        "workers": 1,
        "seed": seed,
        **SETTINGS[name],
    }
    plan = plan_values(values, "digits", StudyFolder(Path("build/digits-unused")))
    executor = SimulatedExecutor(Trained(start_s), 1)
    asker = DirectAsker(plan.problem, plan.config, lambda: executor.now)
    around = Environment(MemoryStore(seed), asker, clock=lambda: executor.now)
    Driver(plan, DataPlace("", ""), executor, Silent(), lambda: 0, around).run()
    lowest, fell = math.inf, []
    for step in executor.steps:
        lowest = min(lowest, step.error)
        fell.append((step.seconds, lowest))
    return fell


def measure_start() -> float:
    """Return the CPU seconds in which Python loads what a trial needs; the least of three."""
    words = "import sklearn.ensemble, sklearn.svm, sklearn.datasets, sklearn.model_selection"
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", words], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken)


def judged(runs: Mapping[str, Sequence[Fall]]) -> dict[str, Any]:
    """Return the goal, the time of each search to it, and the curves.

    Args:
        runs: What `search` returned, by name, in the order of the seeds.
    """
    goal = float(np.median([run[-1][1] for run in runs["random"]]))
    times = {
        name: np.array([next((s for s, e in run if e <= goal), HORIZON_S) for run in found])
        for name, found in runs.items()
    }
    times = {name: np.minimum(row, HORIZON_S) for name, row in times.items()}
    seconds = np.linspace(0, HORIZON_S, POINTS)
    return {
        "goal": goal,
        "horizon_s": HORIZON_S,
        "seeds": len(runs["random"]),
        "seconds_to_goal": {name: mean_interval(row, 2) for name, row in times.items()},
        "reached": {n: sum(r[-1][1] <= goal for r in found) for n, found in runs.items()},
        "ratio_to_random": ratio_interval(times["default"], times["random"]),
        "trials": {n: float(np.median([len(r) for r in found])) for n, found in runs.items()},
        "seconds": [round(float(s), 2) for s in seconds],
        "median_error": {n: _median(found, seconds) for n, found in runs.items()},
    }


def _median(found: Sequence[Fall], seconds: Sequence[float]) -> list[float | None]:
    """Return the median over seeds of the lowest error at each second; None before any trial."""
    rows = [
        [min((e for s, e in run if s <= second), default=math.nan) for second in seconds]
        for run in found
    ]
    return [None if math.isnan(v) else round(float(v), 5) for v in np.median(rows, axis=0)]


def figure(told: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the SVG of the curves, a panel for each space."""
    colours, parts = {"default": DEFAULT, "random": OTHER[1]}, list[str]()
    for k, (space, of_space) in enumerate(told.items()):
        known, top = of_space["median_error"], k * (PANEL + MARGIN)
        first = max(next(i for i, v in enumerate(r) if v is not None) for r in known.values())
        errors = {name: row[first:] for name, row in known.items()}
        title = f"{space}: lowest error, median of {of_space['seeds']} seeds"
        seconds = of_space["seconds"][first:]
        parts += curves(title, seconds, errors, colours, top, "CPU seconds of training")
        parts += [
            text(WIDTH - MARGIN, top + 40 + 18 * place, name, "end", colours[name])
            for place, name in enumerate(errors)
        ]
    size = f'viewBox="0 0 {WIDTH} {len(told) * (PANEL + MARGIN)}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="white"/>'
    )
    return "\n".join([head, *parts, "</svg>", ""])


def main() -> None:
    """Search under each seed; print and write what came of it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=30)
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--output", type=Path, default=Path("build/digits.json"))
    options.add_argument("--figure", type=Path, help="an SVG of the curves")
    given = options.parse_args()
    start_s, seeds = measure_start(), JUDGING[: given.seeds]
    cells = [(s, n, seed, start_s) for s in SPACES for n in SETTINGS for seed in seeds]
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        found = dict(zip(cells, pool.map(search, *zip(*cells, strict=True)), strict=True))
    told = {
        space: judged({n: [found[space, n, s, start_s] for s in seeds] for n in SETTINGS})
        for space in SPACES
    }
    result = {"start_s": round(start_s, 2), "spaces": told}
    write_atomically(given.output, json.dumps(result, indent=1) + "\n")
    if given.figure:
        write_atomically(given.figure, figure(told))
    for space, of_space in told.items():
        _print(space, of_space)


def _print(space: str, told: Mapping[str, Any]) -> None:
    ratio, times = told["ratio_to_random"], told["seconds_to_goal"]
    say(f"{space}: error {told['goal']:.4f}, random's median after {HORIZON_S:g} s, is reached by")
    for name, row in times.items():
        say(
            f"  {name} after {row['mean']:.1f} s [{row['low']:.1f}, {row['high']:.1f}], "
            f"{told['reached'][name]} of {told['seeds']} seeds"
        )
    say(f"  ratio {ratio['ratio']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]")


if __name__ == "__main__":
    main()
