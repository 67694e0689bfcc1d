"""Other systems on the same problem, used as their documentation says, beside our driver.

They see the static box of coordinates, as our samplers do, one worker, the same clock and noise.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.replay import Problem, Trace
from benchmarks.simulated import Step
from benchmarks.surrogate import Answer
from hpsearch.search.config import Budget
from hpsearch.search.ledger import trial_seed

MOST_TRIALS = 2000
"""Proposals after which a replay ends even where those beyond the limits cost no time."""


class Clock:
    """Trains one trial after another on simulated time, epoch by epoch."""

    def __init__(self, problem: Problem, seed: int, budget: Budget) -> None:
        """Begin at second 0."""
        self._problem, self._seed = problem, seed
        self._end = (budget.hours or 0.0) * 3600
        self._coordinates = problem.coordinates
        self.now, self.trials = 0.0, 0
        self.steps: list[Step] = []
        self._answer: Answer | None = None

    @property
    def over(self) -> bool:
        """Whether no further trial begins."""
        return self.now >= self._end or self.trials >= MOST_TRIALS

    def begin(self, point: dict[str, Any]) -> Answer | None:
        """Begin a trial at a point of the box; None where it lies beyond the limits on cost."""
        params = self._coordinates.decode(point)
        self.trials += 1
        if self._coordinates.over_limits(params) is not None:
            return None
        self._answer = self._problem.model.answer(params, trial_seed(self._seed, self.trials))
        return self._answer

    def train(self, epoch: int) -> float:
        """Let an epoch pass; return its validation error."""
        answer = self._answer
        if answer is None:
            raise RuntimeError("no trial was begun")
        before = answer.seconds[epoch - 2] if epoch > 1 else 0.0
        self.now += answer.seconds[epoch - 1] - before
        error = answer.errors[epoch - 1]
        self.steps.append(Step(self.now, self.trials, epoch, error, min(answer.truth[:epoch])))
        return error


@dataclass(frozen=True)
class PlainOptuna:
    """Optuna by itself: every default its own, its median pruner told of each epoch.

    Args:
        sampler: tpe or gp.
    """

    sampler: Literal["tpe", "gp"]

    def to_json(self) -> dict[str, Any]:
        """Return what decides the search."""
        return {"outside": "optuna", "sampler": self.sampler}

    def run(self, problem: Problem, seed: int, budget: Budget) -> Trace:
        """Search until the budget's simulated hours are spent."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        kind = optuna.samplers.TPESampler if self.sampler == "tpe" else optuna.samplers.GPSampler
        study = optuna.create_study(sampler=kind(seed=seed % 2**32))
        box = problem.coordinates.coordinate_distributions()
        clock = Clock(problem, seed, budget)
        pruned = optuna.trial.TrialState.PRUNED
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while not clock.over:
                trial = study.ask(box)
                answer = clock.begin(trial.params)
                if answer is None:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    continue
                stopped = answer.diverged
                best = math.inf
                for epoch in range(1, len(answer.errors) + 1):
                    best = min(best, clock.train(epoch))
                    trial.report(best, epoch)
                    if trial.should_prune():
                        stopped = True
                        break
                study.tell(trial, state=pruned) if stopped else study.tell(trial, best)
        return Trace(clock.steps, ())


@dataclass(frozen=True)
class PlainSkopt:
    """scikit-optimize by itself: its Optimizer, every default its own; it knows no pruning."""

    def to_json(self) -> dict[str, Any]:
        """Return what decides the search."""
        return {"outside": "scikit-optimize"}

    def run(self, problem: Problem, seed: int, budget: Budget) -> Trace:
        """Search until the budget's simulated hours are spent."""
        from skopt import Optimizer

        cube = problem.coordinates.cube
        optimizer = Optimizer([(0.0, 1.0)] * len(cube.names), random_state=seed % 2**31)
        clock = Clock(problem, seed, budget)
        worst = 1.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while not clock.over:
                point = optimizer.ask()
                answer = clock.begin(cube.coordinates([float(share) for share in point]))
                errors = [clock.train(e) for e in range(1, len(answer.errors) + 1)] if answer else []
                failed = answer is None or answer.diverged
                optimizer.tell(point, worst if failed else min(errors))
        return Trace(clock.steps, ())
