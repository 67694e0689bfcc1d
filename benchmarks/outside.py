"""Other systems on the same problem, used as their documentation says, beside our driver.

They see the static box of coordinates, as our samplers do, one worker, the same clock and noise.
Those that share our environment are called; the others run in environments of their own, made by
`python -m benchmarks.outside`, and speak JSON lines (`outside_programs/trainer.py`).
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import PIPE
from typing import Any, Literal

from benchmarks.pick import Look
from benchmarks.replay import Problem, Trace
from benchmarks.simulated import Step
from benchmarks.surrogate import Answer
from hpsearch.seeding import trial_seed
from hpsearch.study.config import Budget
from hpsearch.trial import TrialRecord

PROGRAMS = Path(__file__).parent / "outside_programs"
ENVIRONMENTS = Path("build/outside")
WORST = 1.0
"""What systems without a word for failure are told of a configuration that cannot be trained."""
MOST_TRIALS = 2000
"""Proposals after which a replay ends even where those beyond the limits cost no time."""


class Clock:
    """Trains one trial after another on simulated time, epoch by epoch."""

    def __init__(
        self, problem: Problem, seed: int, budget: Budget, goal: float | None = None
    ) -> None:
        """Begin at second 0."""
        self._goal = goal
        self._problem, self._seed = problem, seed
        self._end = (budget.hours or 0.0) * 3600
        self._search_problem = problem.search_problem
        self.now, self.trials = 0.0, 0
        self.steps: list[Step] = []
        self._answers: dict[int, Answer] = {}
        self._reached: dict[int, int] = {}
        self._looks: list[Look] = []
        self._records: dict[int, TrialRecord] = {}

    @property
    def over(self) -> bool:
        """Whether no further trial begins."""
        reached = self._goal is not None and Trace(self.steps, ()).time_to(self._goal) < math.inf
        return reached or self.now >= self._end or self.trials >= MOST_TRIALS

    def begin(self, point: dict[str, Any]) -> int | None:
        """Begin a trial at a point of the box; None where it lies beyond the limits on cost."""
        params = self._search_problem.decode(point)
        self.trials += 1
        if self._search_problem.over_limits(params) is not None:
            return None
        self._looks.append(self._look())
        answer = self._problem.model.answer(params, trial_seed(self._seed, self.trials))
        self._records[self.trials] = TrialRecord(self.trials, "running", params)
        self._answers[self.trials] = answer
        self._reached[self.trials] = 0
        return self.trials

    def begin_at(self, shares: Sequence[float]) -> int | None:
        """Begin a trial at a point of the unit cube."""
        return self.begin(self._search_problem.cube.coordinates(shares))

    def length(self, trial: int) -> int:
        """Return the epochs of a trial, fewer than a whole one where it diverges."""
        return len(self._answers[trial].errors)

    def diverges(self, trial: int) -> bool:
        """Say whether a trial ends by divergence."""
        return self._answers[trial].diverged

    def train(self, trial: int, epoch: int) -> float:
        """Train a trial up to an epoch from where it stood; return its lowest error so far."""
        answer = self._answers[trial]
        for e in range(self._reached[trial] + 1, min(epoch, len(answer.errors)) + 1):
            self.now += answer.seconds[e - 1] - (answer.seconds[e - 2] if e > 1 else 0.0)
            truth = min(answer.truth[:e])
            self.steps.append(Step(self.now, trial, e, answer.errors[e - 1], truth))
            self._reached[trial] = e
            self._records[trial] = self._records[trial].with_value(e, answer.errors[e - 1])
        if self._reached[trial] == len(answer.errors):
            self._records[trial] = replace(
                self._records[trial],
                state="pruned" if answer.diverged else "complete",
                trainable=not answer.diverged,
            )
        return min(answer.errors[: max(epoch, 1)])

    def trace(self) -> Trace:
        """Return what was done; a trial that is not whole is one that the system has left."""
        truths = {number: min(answer.truth) for number, answer in self._answers.items()}
        return Trace(self.steps, (), looks=(*self._looks, self._look()), truths=truths)

    def _look(self) -> Look:
        return Look(self.now, tuple(self._records.values()))


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

    def run(self, problem: Problem, seed: int, budget: Budget, goal: float | None = None) -> Trace:
        """Search until the budget's simulated hours are spent, or the goal is reached."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        kind = optuna.samplers.TPESampler if self.sampler == "tpe" else optuna.samplers.GPSampler
        study = optuna.create_study(sampler=kind(seed=seed % 2**32))
        box = problem.search_problem.coordinate_distributions()
        clock = Clock(problem, seed, budget, goal)
        pruned = optuna.trial.TrialState.PRUNED
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while not clock.over:
                trial = study.ask(box)
                number = clock.begin(trial.params)
                if number is None:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    continue
                stopped = clock.diverges(number)
                best = math.inf
                for epoch in range(1, clock.length(number) + 1):
                    best = clock.train(number, epoch)
                    trial.report(best, epoch)
                    if trial.should_prune():
                        stopped = True
                        break
                study.tell(trial, state=pruned) if stopped else study.tell(trial, best)
        return clock.trace()


@dataclass(frozen=True)
class PlainSkopt:
    """scikit-optimize by itself: its Optimizer, every default its own; it knows no pruning."""

    def to_json(self) -> dict[str, Any]:
        """Return what decides the search."""
        return {"outside": "scikit-optimize"}

    def run(self, problem: Problem, seed: int, budget: Budget, goal: float | None = None) -> Trace:
        """Search until the budget's simulated hours are spent, or the goal is reached."""
        from skopt import Optimizer

        cube = problem.search_problem.cube
        optimizer = Optimizer([(0.0, 1.0)] * len(cube.names), random_state=seed % 2**31)
        clock = Clock(problem, seed, budget, goal)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while not clock.over:
                point = optimizer.ask()
                trial = clock.begin_at([float(share) for share in point])
                error = WORST if trial is None else clock.train(trial, clock.length(trial))
                failed = trial is None or clock.diverges(trial)
                optimizer.tell(point, WORST if failed else error)
        return clock.trace()


@dataclass(frozen=True)
class Program:
    """A system in an environment of its own.

    Args:
        name: Of its program, `outside_programs/run_NAME.py`.
        requirement: What pip installs into its environment, pinned.
    """

    name: str
    requirement: str

    def to_json(self) -> dict[str, Any]:
        """Return what decides the search."""
        return {"outside": self.requirement, "program": self.program.read_text()}

    @property
    def program(self) -> Path:
        """The file that its environment runs."""
        return PROGRAMS / f"run_{self.name}.py"

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ENVIRONMENTS / self.name / "bin" / "python"

    def install(self) -> None:
        """Make its environment where there is none; minutes, and up to a gigabyte."""
        if self.python.exists():
            return
        venv.create(self.python.parent.parent, with_pip=True)
        command = [self.python, "-m", "pip", "install", "-q", self.requirement]
        if subprocess.run(command, check=False).returncode:
            shutil.rmtree(self.python.parent.parent)
            sys.exit(f"{self.requirement} could not be installed")

    def run(self, problem: Problem, seed: int, budget: Budget, goal: float | None = None) -> Trace:
        """Search until the budget's simulated hours are spent, or the goal is reached.

        Raises:
            RuntimeError: The program ended before that.
        """
        clock = Clock(problem, seed, budget, goal)
        cube = problem.search_problem.cube
        told = {
            "dimensions": len(cube.names),
            "epochs": problem.model.epochs,
            "seed": seed % 2**31,
        }
        command = [self.python, self.program]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen(
                command, stdin=PIPE, stdout=PIPE, stderr=said, env=environment, text=True
            ) as process,
        ):
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("no pipes")
            print(json.dumps(told), file=process.stdin, flush=True)
            while not clock.over:
                line = process.stdout.readline()
                if not line:
                    process.wait()
                    said.seek(0)
                    raise RuntimeError(f"{self.name} ended: {said.read()[-500:].decode()}")
                print(self._answer(clock, json.loads(line)), file=process.stdin, flush=True)
            process.kill()
        return clock.trace()

    @staticmethod
    def _answer(clock: Clock, question: dict[str, Any]) -> str:
        if "begin" in question:
            return json.dumps({"trial": clock.begin_at(question["begin"])})
        trial, epoch = question["trial"], question["epoch"]
        error = clock.train(trial, epoch)
        diverged = clock.diverges(trial) and epoch >= clock.length(trial)
        return json.dumps({"error": error, "diverged": diverged})


PROGRAM_SYSTEMS = {
    "smac": Program("smac", "smac==2.4.1"),
    "ax": Program("ax", "ax-platform==1.3.1"),
    "syne-tune": Program("syne_tune", "syne-tune[extra]==0.16.0"),
    "hyperopt": Program("hyperopt", "hyperopt==0.3.0"),
}


def main() -> None:
    """Make the environments of all programs."""
    for name, system in PROGRAM_SYSTEMS.items():
        sys.stdout.write(f"{name}: {system.requirement}\n")
        sys.stdout.flush()
        system.install()


if __name__ == "__main__":
    main()
