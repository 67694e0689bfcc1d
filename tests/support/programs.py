"""Programs that report to a search, as jobs of an executor and as studies."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.app.function import program_of
from hpsearch.configfile import dump_yaml
from hpsearch.execution import Job
from hpsearch.trainers.command import CommandTrial
from tests.support import functions
from tests.support.jobs import Point

STEPS = """\
c=$HPSEARCH_CHECKPOINT/step; step=$(cat "$c" 2>/dev/null || echo 0)
while [ "$step" -lt "$HPSEARCH_MAX_STEPS" ]; do
  step=$((step + 1))
  echo "{\\"step\\": $step, \\"value\\": 0.$((9 - step))}" >>"$HPSEARCH_REPORT"
  echo "$step" >"$c"
done
"""
"""Reports 0.8, 0.7, 0.6, ... and goes on from its checkpoint."""
VALUES = {1: 0.8, 2: 0.7, 3: 0.6, 4: 0.5, 5: 0.4}


@dataclass
class Programs:
    """Makes the jobs of one test; the same trial number means the same folder."""

    folder: Path

    def __call__(self, script: str = STEPS, trial: int = 0, **changes: Any) -> Job:
        run = {"directory": str(self.folder), "maximize": False}
        run |= {"time_limit_s": None, "memory_gb": None}
        run |= {key: changes.pop(key) for key in list(changes) if key in run}
        config = {"command": ["sh", "-c", script], "max_steps": 3, "parameters": {}, **changes}
        return Job(
            trial=trial,
            config=CommandTrial.from_values(config).plain(),
            seed=7,
            data=Path(),
            study_seed=0,
            checkpoint=self.folder / f"{trial:05d}" / "checkpoint",
            decided=0,
            run=run,
        )


@dataclass
class CommandJobs(Programs):
    """Makes the jobs of the trainers' contract: the values of `STEPS`, some slowly."""

    def curve(self, steps: int = 3) -> list[Point]:
        """Return what a job reports, as `point` returns it."""
        return [(n, None, VALUES[n], 0, 0, None) for n in range(1, steps + 1)]

    def endless(self, trial: int = 0) -> Job:
        """Return a job that never reports."""
        return self("sleep 4243 & sleep 4243", trial)

    def long(self, trial: int = 0) -> Job:
        """Return a job of two steps that take some tenths of a second."""
        return self(STEPS.replace("  step=", "  sleep 0.3; step="), trial, max_steps=2)

    def long_curve(self) -> list[Point]:
        """Return the curve of a long one."""
        return self.curve(2)

    def diverging(self) -> Job:
        """Return a job whose first value is not finite."""
        return self('echo \'{"step": 1, "value": nan}\' >>$HPSEARCH_REPORT; sleep 4243')

    def unusable(self) -> tuple[Job, str]:
        """Return a job that this machine cannot run, and a part of the cause."""
        return self(command=["nonesuch"]), "No such file"


@dataclass
class FunctionJobs(CommandJobs):
    """Makes the same jobs as Python functions."""

    def __call__(self, function: Any = functions.steps, trial: int = 0, **changes: Any) -> Job:
        return super().__call__("", trial, **{"command": self._words(function), **changes})

    def _words(self, function: Callable[..., Any]) -> list[str]:
        return [sys.executable, *program_of(function)[0][1:]]

    def endless(self, trial: int = 0) -> Job:
        """Return a job that never reports."""
        return self(functions.endless, trial)

    def long(self, trial: int = 0) -> Job:
        """Return a job of two steps that take some tenths of a second."""
        return self(functions.slow_steps, trial, max_steps=2)

    def diverging(self) -> Job:
        """Return a job whose first value is not finite."""
        return self(functions.diverging)

    def unusable(self) -> tuple[Job, str]:
        """Return a job whose interpreter is gone, and a part of the cause."""
        words = ["/nonesuch/python", *self._words(functions.steps)[1:]]
        return self(command=words), "No such file"


def write_command_study(folder: Path, script: str = STEPS, **changes: Any) -> Path:
    """Write a study of a shell program with two parameters; return its file."""
    values: dict[str, Any] = {
        "name": "program",
        "trainer": {"command": ["sh", "-c", script, "sh", "${args}"], "max_steps": 3},
        "space": {
            "name": "program",
            "parameters": {
                "x": {"type": "float", "low": 0, "high": 1},
                "kind": {"type": "categorical", "choices": ["a", "b"]},
            },
        },
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
        "budget": {"trials": 3},
        "workers": 1,
    }
    for key, value in changes.items():
        part, _, name = key.partition("__")
        if name:
            values[part] = {**values.get(part, {}), name: value}
        else:
            values[part] = value
    path = folder / "study.yaml"
    path.write_text(dump_yaml(values))
    return path
