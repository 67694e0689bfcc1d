"""The Python side of a command as trainer. Standard library only: this file may be copied.

    from hpsearch import trainer

    with trainer.trial() as trial:
        model = make(**trial.parameters)
        for step in range(1, trial.max_steps + 1):
            ...
            if trial.report(step, value).stop:
                break

A script that has its parameters from its command line needs `trainer.report(step, value)` only.
Started by hand, without hpsearch, `trial(parameters={...})` uses these parameters and prints its
reports. The protocol (version 1) is docs/trainer.md.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROTOCOL = 1
WAIT_S = 600.0
"""Longest wait for a verdict; a search that is stopped for longer lets the program go on."""
LOOK_S = 0.005


@dataclass(frozen=True)
class Verdict:
    """The search's answer to a report.

    Args:
        stop: Whether the program shall end now; its checkpoint may be needed again.
        text: go, pause or stop.
    """

    stop: bool
    text: str = "go"


@dataclass
class Trial:
    """One trial.

    Args:
        parameters: Its parameters by name; those whose condition does not hold are missing.
        seed: Its seed, from 0 to 2**32 - 1.
        checkpoint: Its folder, kept while the trial is interrupted or paused.
        max_steps: Steps of a full trial.
        number: Its number in the study.
        device: "cpu" or "cuda".
    """

    parameters: dict[str, Any]
    seed: int = 0
    checkpoint: Path = field(default_factory=Path)
    max_steps: int = 1
    number: int = 0
    device: str = "cpu"
    _report: Path | None = None
    _verdict: Path | None = None

    def report(
        self, step: int, value: float, metrics: Mapping[str, float] | None = None
    ) -> Verdict:
        """Report a step and wait for the verdict.

        Write the checkpoint of the step before: after the report the program may be ended.

        Args:
            step: From 1; steps rise.
            value: What the study searches for; NaN ends the trial as diverged.
            metrics: Other figures, kept beside the value.
        """
        self._append(_with({"step": int(step), "value": _plain(value)}, metrics))
        return self._wait(int(step))

    def result(self, value: float, metrics: Mapping[str, float] | None = None) -> None:
        """Report the value that replaces the best of the steps; it is the last report.

        Args:
            value: What the study searches for.
            metrics: Other figures of a trial without steps.
        """
        self._append(_with({"result": _plain(value)}, metrics))

    def _append(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line) + "\n"
        if self._report is None:
            sys.stdout.write(text)
            return
        with self._report.open("a", encoding="utf-8") as file:  # one write: no half a line
            file.write(text)

    def _wait(self, step: int) -> Verdict:
        until = time.monotonic() + WAIT_S
        while self._verdict is not None and time.monotonic() < until:
            try:
                found = json.loads(self._verdict.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                found = {}
            verdict = str(found.get("verdict", "go"))
            if verdict != "go" or int(found.get("step", 0)) >= step:
                return Verdict(verdict != "go", verdict)
            time.sleep(LOOK_S)
        return Verdict(stop=False)


def _with(line: dict[str, Any], metrics: Mapping[str, float] | None) -> dict[str, Any]:
    if metrics:
        line["metrics"] = {str(name): _plain(one) for name, one in metrics.items()}
    return line


def _plain(value: Any) -> Any:
    """Return a number that JSON can hold, also of numpy, torch and others."""
    return value if isinstance(value, int | float) else float(value)


def _given() -> Trial | None:
    """Return the trial that the environment describes, None for a program started by hand."""
    given = os.environ
    if "HPSEARCH_REPORT" not in given:
        return None
    if given.get("HPSEARCH_PROTOCOL") != str(PROTOCOL):
        raise SystemExit(
            f"hpsearch.trainer speaks protocol {PROTOCOL}, the search {given['HPSEARCH_PROTOCOL']}"
            "; take the trainer.py of the same version"
        )
    return Trial(
        json.loads(given["HPSEARCH_PARAMETERS"]),
        int(given["HPSEARCH_SEED"]),
        Path(given["HPSEARCH_CHECKPOINT"]),
        int(given["HPSEARCH_MAX_STEPS"]),
        int(given["HPSEARCH_TRIAL"]),
        given["HPSEARCH_DEVICE"],
        Path(given["HPSEARCH_REPORT"]),
        Path(given["HPSEARCH_VERDICT"]),
    )


@contextmanager
def trial(
    parameters: Mapping[str, Any] | None = None, *, seed: int = 0, max_steps: int = 1
) -> Iterator[Trial]:
    """Yield this process's trial.

    Args:
        parameters: Used when the program is started by hand; a search's replace them.
        seed: The same for the seed.
        max_steps: The same for the steps.
    """
    yield _given() or Trial(dict(parameters or {}), seed=seed, max_steps=max_steps)


def report(step: int, value: float, metrics: Mapping[str, float] | None = None) -> Verdict:
    """Report a step of this process's trial, for a script that reads its parameters itself.

    Args:
        step: From 1; steps rise.
        value: What the study searches for; NaN ends the trial as diverged.
        metrics: Other figures, kept beside the value.
    """
    return (_given() or Trial({})).report(step, value, metrics)
