"""Cells of the search benchmark: set-ups replayed under many seeds, cached and continuable."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy.stats import binom

import hpsearch
from benchmarks.pick import ALWAYS_WRONG, best_number, judge
from benchmarks.replay import Problem, Setup, Trace
from benchmarks.stored_surrogate import stored_path, surrogate_of
from benchmarks.surrogate import (
    FIRST,
    SECOND,
    Family,
    NearestRow,
    Surrogate,
    complete_trials,
)
from benchmarks.table import Table, read_space, read_table
from hpsearch.configfile import read_yaml
from hpsearch.errors import InputError
from hpsearch.intervals import wilson
from hpsearch.paths import write_atomically
from hpsearch.seeding import derive_seed, generator
from hpsearch.space.limits import Limits
from hpsearch.space.space import SearchSpace
from hpsearch.study.config import Budget, StudyConfig
from hpsearch.training.config import TrialConfig

POINTS = 10_000
"""Feasible points whose objective without noise says what the best 5 % is."""
BEST_SHARE = 0.05
FEWEST = 10
"""Complete trials, of as many epochs as the longest has, that a table must hold to be replayed."""
HORIZON_TRIALS = 60
"""A replay lasts as long as so many average trials take in full, one after the other."""
PROCESSES = 2
FOREIGN = TrialConfig.from_values({"layers": {"fc": {"width": 1}}})
"""What parameters of a foreign table are set in: nothing is decoded."""


@dataclass(frozen=True)
class Source:
    """Which problem is replayed.

    Args:
        table: The recorded table.
        space: Space file or shipped space.
        study: Study file whose trial the space is decoded in; None for a foreign table.
        nearest: Answer with the nearest row instead of the surrogate.
        second: Answer with the surrogate of the second family.
    """

    table: Path
    space: str
    study: Path | None = None
    nearest: bool = False
    second: bool = False

    @property
    def name(self) -> str:
        """The table's name, by which results are kept."""
        return self.table.name.split(".")[0] + self.family.suffix

    @property
    def family(self) -> Family:
        """Of what the surrogate is made."""
        return SECOND if self.second else FIRST

    def digest(self) -> str:
        """Return what changes when the problem does."""
        parts = [self.table.read_bytes(), repr(self.nearest).encode()]
        others = (self.space, self.study, stored_path(self.table, self.family))
        parts += [Path(p).read_bytes() for p in others if p and Path(p).is_file()]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()


@dataclass(frozen=True)
class Goal:
    """What the surrogate says of the space as a whole.

    Args:
        threshold: The error without noise that 5 % of feasible configurations reach.
        horizon_s: Simulated seconds of a replay.
        errors: Percentiles 0, 1, 5, 25, 50, 75 and 95 of the objective over the space.
    """

    threshold: float
    horizon_s: float
    errors: tuple[float, ...]

    @property
    def goals(self) -> dict[str, float]:
        """The errors without noise that 5 % and 1 % of feasible configurations reach, by name."""
        return {"5_percent": self.threshold, "1_percent": self.errors[1]}


@cache
def load_problem(source: Source) -> tuple[Problem, Goal]:
    """Read the table and its surrogate, find the goal; once per process.

    Raises:
        InputError: The table cannot be read, or holds too few complete trials.
    """
    space = read_space(source.space)
    table = read_table(source.table, space)
    if (count := len(complete_trials(table))) < FEWEST:
        raise InputError(
            f"{source.table}: complete trials of {table.epochs} epochs: {count}; a replay needs "
            f"at least {FEWEST}"
        )
    base, limits = FOREIGN, Limits()
    if source.study is not None:
        study = StudyConfig.from_values(read_yaml(source.study), source.study)
        base, limits = study.trial, study.limits
    problem = Problem(space, base, limits, _model(source, table, space))
    objective = np.minimum(problem.model.objective(feasible_points(problem, POINTS)), ALWAYS_WRONG)
    whole = [t.seconds[-1] for t in table.trials if t.complete]
    goal = Goal(
        threshold=float(np.quantile(objective, BEST_SHARE)),
        horizon_s=HORIZON_TRIALS * float(np.mean(whole)),
        errors=tuple(float(np.quantile(objective, q / 100)) for q in (0, 1, 5, 25, 50, 75, 95)),
    )
    return problem, goal


def _model(source: Source, table: Table, space: SearchSpace) -> Surrogate | NearestRow:
    if source.nearest:
        return NearestRow(table, space)
    return surrogate_of(source.table, table, space, source.family)


def feasible_points(problem: Problem, count: int) -> list[dict[str, Any]]:
    """Draw configurations uniformly over what fits and stays within the limits."""
    space = problem.search_problem
    rng = generator(0, "goal")
    points: list[dict[str, Any]] = []
    while len(points) < count:
        params = space.cube.params(rng.random(len(space.cube.names)).tolist())
        if space.over_limits(params) is None:
            points.append(params)
    return points


class Way(Protocol):
    """A way to search: one of our set-ups, or another system."""

    def to_json(self) -> dict[str, Any]:
        """Return what decides the search."""
        ...

    def run(self, problem: Problem, seed: int, budget: Budget, goal: float | None = None) -> Trace:
        """Search until the budget's simulated hours are spent, or the goal is reached."""
        ...


def run_cell(source: Source, setup: Way, seed: int, to_goal: bool = False) -> dict[str, Any]:
    """Replay one set-up under one seed, only up to the goal if `to_goal`; return the result."""
    problem, goal = load_problem(source)
    budget, study_seed = Budget(hours=goal.horizon_s / 3600), derive_seed(seed, "replay") % 2**32
    if to_goal:
        return summarise(setup.run(problem, study_seed, budget, goal.threshold), goal.threshold)
    trace = setup.run(problem, study_seed, budget)
    pick = setup.pick(problem) if isinstance(setup, Setup) else best_number
    judged = judge(trace.looks, trace.truths, pick, goal.goals, goal.horizon_s)
    return {**summarise(trace, goal.threshold), "handed_over": judged}


def summarise(trace: Trace, threshold: float) -> dict[str, Any]:
    """Return a trace's path, its time to the threshold, and its counts."""
    reached = trace.time_to(threshold)
    states = [t.state if t.trainable else "diverged" for t in trace.history]
    return {
        "time_to": reached if math.isfinite(reached) else None,
        "path": [[round(s, 2), round(e, 5)] for s, e in trace.incumbent() if math.isfinite(e)],
        "trials": {state: states.count(state) for state in sorted(set(states))},
        "epochs": len(trace.steps),
        "false_prunes": asdict(trace.false_prunes()),
    }


class Cells:
    """Results by set-up and seed, kept in files named by everything that decides them."""

    def __init__(self, source: Source, folder: Path, to_goal: bool = False) -> None:
        """Note where results are kept, and whether replays end at the goal."""
        self._source, self._folder, self._to_goal = source, folder, to_goal
        self._fixed = source.digest() + code_digest() + str(HORIZON_TRIALS) + "goal" * to_goal

    def run(
        self,
        setups: Mapping[str, Way],
        seeds: Sequence[int],
        tell: Callable[[str, int, int], None],
    ) -> dict[str, list[dict[str, Any]]]:
        """Return each set-up's results in the order of the seeds; what is kept is not run again.

        Args:
            setups: By name.
            seeds: Study seeds.
            tell: Called with a name, how many replays are done, and how many there are.
        """
        wanted = [(name, seed) for seed in seeds for name in setups]
        missing = [w for w in wanted if not self._path(setups[w[0]], w[1]).exists()]
        done = len(wanted) - len(missing)
        os.environ["OMP_NUM_THREADS"] = "1"
        with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
            futures = {
                pool.submit(run_cell, self._source, setups[name], seed, self._to_goal): (
                    name,
                    seed,
                )
                for name, seed in missing
            }
            for future in as_completed(futures):
                name, seed = futures[future]
                write_atomically(self._path(setups[name], seed), json.dumps(future.result()))
                done += 1
                tell(name, done, len(wanted))
        return {
            name: [json.loads(self._path(setup, seed).read_bytes()) for seed in seeds]
            for name, setup in setups.items()
        }

    def _path(self, setup: Way, seed: int) -> Path:
        text = json.dumps([self._fixed, setup.to_json(), seed], sort_keys=True)
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


def code_digest() -> str:
    """Return what changes when the search or the replay does."""
    here = Path(__file__).parent
    names = (
        "cells",
        "features",
        "fitted",
        "outside",
        "pick",
        "regression",
        "replay",
        "simulated",
        "surrogate",
    )
    files = [here / f"{name}.py" for name in names]
    files += sorted(Path(hpsearch.__file__).parent.rglob("*.py"))  # a search needs most of it
    return hashlib.sha256(b"\0".join(f.read_bytes() for f in files)).hexdigest()


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and its 95 % interval by order statistics; what never came is infinite.

    Reference:
        Conover (1999), "Practical Nonparametric Statistics", section 3.2.
    """
    ordered = sorted(values)
    n = len(ordered)
    first = int(binom.ppf(0.025, n, 0.5))
    return (
        float(np.median(ordered)) if math.isfinite(ordered[n // 2]) else math.inf,
        ordered[max(first - 1, 0)],
        ordered[min(n - first, n - 1)],
    )


def false_prune(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Pool the audits of replays, as a study's report does, beside the truth.

    Returns:
        estimate with low and high (Wilson, 95 %) from the audits alone, true over all trials that
        were pruned or audited; null where there were none.
    """
    audits, lost, ended, ended_lost = (
        sum(run["false_prunes"][key] for run in runs)
        for key in ("audits", "audits_lost", "ended", "ended_lost")
    )
    low, high = wilson(lost / audits, audits) if audits else (None, None)
    return {
        "estimate": lost / audits if audits else None,
        "low": low,
        "high": high,
        "true": ended_lost / ended if ended else None,
        "audits": audits,
        "pruned": ended,
    }


def error_at(path: Sequence[Sequence[float]], seconds: float) -> float:
    """Return the best trial's error without noise at a simulated time; 1 before any."""
    known = [error for s, error in path if s <= seconds]
    return known[-1] if known else ALWAYS_WRONG
