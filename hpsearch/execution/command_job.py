"""Runs one trial of a command: starts its program, passes its reports on, obeys the driver.

Read `CommandRunner.run` first. The program goes on while the driver decides; see
docs/internals/trainers.md.
"""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpsearch.errors import HpsearchError
from hpsearch.execution import Ended, Ending
from hpsearch.execution.blame import ending_of_words
from hpsearch.execution.driver_pipe import DriverPipe, one_line_of
from hpsearch.trainers.command import CommandTrial
from hpsearch.trainers.macros import expand
from hpsearch.trainers.program import LOOKS_S, End, Guardian, GuardianGoneError
from hpsearch.trainers.report import PROTOCOL, ReportError, ReportFile, Result, Step
from hpsearch.training.epoch import EpochResult

POLL_S = 0.02
"""Seconds between two looks at the report."""
NO_REPORT = (
    'ended without a report; let it append {"result": VALUE} to the file that HPSEARCH_REPORT '
    "names"
)
ANEW = (
    "its program left nothing in its checkpoint folder and starts again; known steps keep their "
    "values"
)


class CommandRunner:
    """Runs the trials of one worker, one after the other."""

    def __init__(self, driver: DriverPipe, device: str, threads: int) -> None:
        """Store the settings; the guardian starts with the first program."""
        self._driver, self._device, self._threads = driver, device, threads
        self._guardian: Guardian | None = None

    def run(self, job: dict[str, Any]) -> Ended:
        """Run one trial to its end, to a decision or to an interrupt."""
        try:
            return _Run(job, self._driver, self._own_guardian(), self._device, self._threads).run()
        except GuardianGoneError as gone:
            self._close()
            return Ended(job["trial"], Ending.FAILED, str(gone))
        except (OSError, HpsearchError) as error:
            self._close()
            return Ended(job["trial"], Ending.ENVIRONMENT, one_line_of(error))

    def _own_guardian(self) -> Guardian:
        if self._guardian is None:
            self._guardian = Guardian()
        return self._guardian

    def _close(self) -> None:
        if self._guardian is not None:
            self._guardian.close()
        self._guardian = None


class _Run:
    """One run of one trial's program."""

    def __init__(
        self,
        job: dict[str, Any],
        driver: DriverPipe,
        guardian: Guardian,
        device: str,
        threads: int,
    ) -> None:
        self._job, self._driver, self._guardian = job, driver, guardian
        self._device, self._threads = device, threads
        self._trial: int = job["trial"]
        self._config = CommandTrial.from_values(job["config"], f"trial {self._trial}")
        self._how: dict[str, Any] = job["run"]
        self._sign = -1.0 if self._how["maximize"] else 1.0
        self._checkpoint = Path(job["checkpoint"])
        self._folder = self._checkpoint.parent
        self._report = ReportFile(self._folder / "report.jsonl")
        self._curve = [EpochResult.from_json(values) for values in job["known"]]
        self._before_s = max((one.seconds for one in self._curve), default=0.0)
        self._began = time.monotonic()
        self._result: Result | None = None
        self._reported = bool(self._curve)

    def run(self) -> Ended:
        """Pass on what earlier runs left, then start the program and follow it."""
        self._checkpoint.mkdir(parents=True, exist_ok=True)
        waiting = self._read_earlier()
        self._send_started()
        for step in waiting:
            if (ending := self._pass_on(step)) is not None:
                return Ended(self._trial, ending, self._diagnosis(step, ending))
        self._report.begin_run()
        self._began = time.monotonic()
        self._start()
        try:
            return replace(self._follow(), memory=self._guardian.memory)
        finally:
            if self._guardian.running:
                self._guardian.kill()
            self._guardian.last_lines()

    def _read_earlier(self) -> list[Step]:
        """Read the reports of earlier runs; return the steps that the driver does not know."""
        decided, known = self._job["decided"] or 0, {one.epoch for one in self._curve}
        waiting = []
        for found in self._report.earlier():
            if found.step > decided:
                waiting.append(found)
            elif found.step not in known:  # the study's own record of it was lost
                self._curve.append(self._as_epoch(found))
        self._curve.sort(key=lambda one: one.epoch)
        return waiting

    def _send_started(self) -> None:
        from hpsearch.provenance import machine, software

        anew = self._curve and not any(self._checkpoint.iterdir())
        self._driver.send(
            event="started",
            trial=self._trial,
            pid=os.getpid(),
            device=self._device,
            curve=[one.to_json() for one in self._curve],
            provenance={
                **software(),
                **machine(self._device, self._threads),
                "seed": self._job["seed"],
                "study_seed": self._job["study_seed"],
            },
            note=ANEW if anew else "",
        )

    def _start(self) -> None:
        config, directory = self._config, Path(self._how["directory"])
        single = {
            "trial": self._trial,
            "seed": self._job["seed"],
            "checkpoint": self._checkpoint.absolute(),
            "max_steps": config.max_steps,
            "device": self._device,
        }
        own = {
            **{f"HPSEARCH_{name.upper()}": str(value) for name, value in single.items()},
            "HPSEARCH_PROTOCOL": str(PROTOCOL),
            "HPSEARCH_PARAMETERS": json.dumps(config.parameters),
            "HPSEARCH_REPORT": str(self._report.path.absolute()),
            "HPSEARCH_VERDICT": str(self._verdict.absolute()),
        }
        given = {
            name: expand([word], config.parameters, single)[0]
            for name, word in config.environment.items()
        }
        if decided := max((self._decided, *(one.epoch for one in self._curve))):
            self._write_verdict(decided, None)  # else a step that it reports again had no answer
        else:
            self._verdict.unlink(missing_ok=True)
        self._words = expand(config.command, config.parameters, single)
        most = int((self._how["memory_gb"] or 0) * 1e9)
        environment = {**os.environ, **own, **given}
        self._guardian.start(self._words, directory, environment, self._folder / "log.txt", most)

    @property
    def _verdict(self) -> Path:
        return self._folder / "verdict.json"

    def _follow(self) -> Ended:
        """Pass reports on until the program ends or is ended."""
        while True:
            end = self._guardian.ended(POLL_S)
            self._driver.mark()
            if self._driver.interrupted.is_set():
                return self._stop(Ending.INTERRUPTED)
            try:
                for found in self._report.lines(last=end is not None):
                    if self._result is not None:
                        continue  # a result is the last word
                    if isinstance(found, Result):
                        self._result = found
                    elif found.step > self._config.max_steps:
                        return self._stop(Ending.FINISHED)
                    elif (ending := self._pass_on(found)) is not None:
                        return self._stop(ending, self._diagnosis(found, ending))
            except ReportError as error:
                self._guardian.kill()
                self._report.cut()
                return self._failed(str(error))
            if end is not None:
                return self._conclude(end)
            limit_s = self._how["time_limit_s"]
            if limit_s is not None and self._seconds() > limit_s:
                cause = f"took more than {limit_s:g} s, its trainer.time_limit_s"
                return self._stop(Ending.LIMIT, cause)

    def _seconds(self) -> float:
        return self._before_s + time.monotonic() - self._began

    def _as_epoch(self, found: Step) -> EpochResult:
        finite = math.isfinite(found.value)
        return EpochResult(
            epoch=found.step,
            loss=math.nan,
            validation_error=self._sign * found.value,
            seconds=self._seconds(),
            images=0,
            multiply_adds=0,
            diagnosis=None if finite else f"diverged: value {found.value}",
            metrics=found.metrics,
        )

    def _pass_on(self, found: Step) -> Ending | None:
        """Report a step to the driver; write its verdict; return how the trial ends by it."""
        self._reported = True
        ending = self._driver.report(self._trial, self._as_epoch(found))
        if not math.isfinite(found.value):
            ending = Ending.DIAGNOSED
        self._write_verdict(found.step, ending)
        return ending

    def _diagnosis(self, found: Step, ending: Ending) -> str | None:
        return self._as_epoch(found).diagnosis if ending is Ending.DIAGNOSED else None

    def _write_verdict(self, step: int, ending: Ending | None) -> None:
        """Replace the verdict: the step that was decided on, and what follows."""
        if ending is None:
            verdict = "go"
        else:
            goes_on = ending in (Ending.PAUSED, Ending.INTERRUPTED)
            verdict = "pause" if goes_on else "stop"
        aside = self._verdict.with_name(".verdict.json.tmp")
        aside.write_text(json.dumps({"step": step, "verdict": verdict}) + "\n", encoding="utf-8")
        aside.replace(self._verdict)
        self._decided = step

    _decided = 0

    def _stop(self, ending: Ending, cause: str | None = None) -> Ended:
        """End the program whole, however long it takes to obey."""
        self._write_verdict(self._decided, ending)
        looks_s = 1.0 if ending is Ending.INTERRUPTED else LOOKS_S
        ended_by = self._guardian.stop(looks_s)
        return Ended(self._trial, ending, cause, ended_by=ended_by)

    def _conclude(self, end: End) -> Ended:
        """Judge a program that has ended by itself."""
        if (failure := self._guardian.log_failure) is not None:
            raise failure
        if end.over:
            most = f"took more than {self._how['memory_gb']:g} GB, its trainer.memory_gb"
            return Ended(self._trial, Ending.OUT_OF_MEMORY, most)
        if end.code:
            return self._failed(end.in_words())
        if self._result is not None and not self._reported:
            step = Step(1, self._result.value, self._result.metrics)
            if (ending := self._pass_on(step)) is not None:
                return Ended(self._trial, ending, self._diagnosis(step, ending))
        if self._result is not None and not math.isfinite(self._result.value):
            return Ended(self._trial, Ending.DIAGNOSED, f"diverged: result {self._result.value}")
        if not self._reported:
            return self._failed(NO_REPORT)
        result = None if self._result is None else self._sign * self._result.value
        return Ended(self._trial, Ending.FINISHED, result=result)

    def _failed(self, what: str) -> Ended:
        """Return a failure of the program, with the last lines of its output."""
        last = self._guardian.last_lines()
        shown = f"{self._words[0]}: {what}" + (f"; its last words: {last}" if last else "")
        return Ended(self._trial, ending_of_words(last), shown)
