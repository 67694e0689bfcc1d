"""`hpsearch check`: runs a command's program for a moment, as a search would, and judges it.

Read `check_study` first. It uses the executor of a search, in a folder that is deleted afterwards.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from hpsearch.app.command import check_trusted, find_program, in_words
from hpsearch.app.executors import find_workplace
from hpsearch.app.search import interrupts
from hpsearch.errors import InputError, one_line
from hpsearch.execution import Decision, Ended, Ending, EpochEnded, Executor, Job, Lost
from hpsearch.output import say, unwaited
from hpsearch.paths import StudyFolder, user_path
from hpsearch.seeding import trial_seed
from hpsearch.study.plan import StudyPlan, plan_study
from hpsearch.trainers.report import ReportError, Step, parse
from hpsearch.training.epoch import EpochResult
from hpsearch.trial import Value
from hpsearch.waiting import Caught

TICK_S = 0.05
WAITS_S = 20.0
"""Seconds without a report after which the user is told what is waited for."""
LEAST_S = 0.3
"""Seconds before a program that reports only in its end is killed."""


@dataclass
class Seen:
    """One run of the program.

    Args:
        steps: What it reported.
        ended: How it ended; None where it was killed.
        seconds: To its first report.
    """

    steps: list[EpochResult] = field(default_factory=list)
    ended: Ended | Lost | None = None
    seconds: float = 0.0


def check_study(study: str, *, trust: bool) -> int:
    """Check the program of a study; print a line for each part of the protocol.

    Returns:
        The exit code: 0, or 128 and the signal that stopped it.

    Raises:
        InputError: The study cannot be searched.
    """
    caught = Caught()
    with ExitStack() as stack:
        for stream in (sys.stdout, sys.stderr):
            stack.enter_context(unwaited(stream, lambda: caught.count))
        stack.enter_context(interrupts(caught))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hpsearch-check-")))
        is_folder = user_path(study).is_dir()
        plan = plan_study(study, None if is_folder else folder / "study", {"workers": 1})
        if plan.config.trainer is None:
            raise InputError(
                f"{study}: its trainer is siamese; hpsearch search --dry-run checks it"
            )
        check_trusted(plan, study, trust=trust)
        _line("program", find_program(plan.config.trainer))
        _line("runs", in_words(plan.config))
        _ = plan.enqueued  # refuses what cannot be enqueued
        _Check(plan, folder, caught).run()
    return caught.exit_code


def _line(what: str, text: str) -> None:
    say(f"{what:10} {one_line(text)}")


class _Check:
    """The runs of one check, in order."""

    def __init__(self, plan: StudyPlan, folder: Path, caught: Caught) -> None:
        self._plan = replace(plan, folder=StudyFolder(folder / "study"))
        self._folder, self._caught = folder, caught
        self._shown, self._jobs = plan.config.shown, count()

    def run(self) -> None:
        """Run the program at the middle twice, at an edge, and killed; tell what was seen."""
        job = self._job(0.5)
        first = self._run(job)
        if self._caught.count:
            return
        if not first.steps:
            raise InputError(f"it cannot be searched: {_why(first)}")
        _line("middle", f"{self._value(first)}, after {first.seconds:.1f} s")
        last = _steps(job.checkpoint.parent / "report.jsonl")[-1:]
        _line("verdict", _obeys(first, done=last >= [self._plan.resource.whole]))
        for what, judge in (
            ("again", self._again),
            ("edge", self._edge),
            ("killed", self._killed),
        ):
            text = judge(first)
            if self._caught.count:
                return
            _line(what, text)
        say("it can be searched")

    def _job(self, share: float) -> Job:
        number = next(self._jobs)
        return Job(
            trial=number,
            config=self._plan.resource.config(self._params(share)).plain(),
            seed=trial_seed(self._plan.config.seed, 0),
            data=Path(),
            study_seed=self._plan.config.seed,
            checkpoint=self._folder / f"{number:05d}" / "checkpoint",
            decided=0,
            run=self._plan.run,
        )

    def _params(self, share: float) -> dict[str, Value]:
        """Return the parameters at this share of each range; those nearest to it if forbidden."""
        problem = self._plan.problem
        for away in (part / 100 for part in range(101)):
            for near in (share - away, share + away):
                params = problem.cube.params([min(max(near, 0.0), 1.0)] * len(problem.cube.names))
                if problem.over_limits(params) is None:
                    return params
        raise InputError("space: forbidden: leaves nothing between the lowest and highest values")

    def _value(self, seen: Seen) -> str:
        one = seen.steps[0]
        return f"step {one.epoch}, {self._shown.name} {self._shown.text(one.validation_error)}"

    def _run(self, job: Job, most: int | None = None, kill_s: float | None = None) -> Seen:
        """Run the program to its first new step, then tell it to stop; or kill it.

        Args:
            job: What to run.
            most: Steps after which it is killed instead.
            kill_s: Seconds after which it is killed.
        """
        with closing(find_workplace(self._plan, self._caught).make()) as executor:
            decision = Decision.STOP if most is None else Decision.GO
            return self._follow(executor, job, decision, most or sys.maxsize, kill_s)

    def _again(self, first: Seen) -> str:
        seen = self._run(self._job(0.5), most=1)
        if not seen.steps:
            return f"FAILS the second time: {_why(seen)}"
        if seen.steps[0].validation_error == first.steps[0].validation_error:
            return "the same seed gives the same value"
        return f"the same seed gives another value, {self._value(seen)}: use HPSEARCH_SEED"

    def _edge(self, _: Seen) -> str:
        seen = self._run(self._job(1.0), most=1)
        return self._value(seen) if seen.steps else f"FAILS at the highest values: {_why(seen)}"

    def _killed(self, first: Seen) -> str:
        """Kill the program, start it again, and see where it goes on."""
        job = self._job(0.5)
        whole = self._plan.resource.whole == 1
        kill_s = max(LEAST_S, first.seconds / 2) if whole else None
        seen = self._run(job, 1, kill_s)
        if seen.ended is not None:
            return "it ended before it could be killed"
        known = tuple(one.to_json() for one in seen.steps)
        last = max((one.epoch for one in seen.steps), default=0)
        after = self._run(replace(job, decided=last, known=known), most=1)
        if isinstance(after.ended, Ended) and after.ended.ending in (Ending.FAILED, Ending.LIMIT):
            return f"FAILS when it is started again: {_why(after)}"
        if not any(job.checkpoint.iterdir()):
            return "it keeps no checkpoint: a trial that is interrupted or paused starts again"
        begins = _steps(job.checkpoint.parent / "report.jsonl")
        if not begins or begins[0] > last:
            return f"it goes on from its checkpoint, after step {last}"
        return f"it starts again at step {begins[0]}, although it keeps a checkpoint"

    def _follow(
        self,
        executor: Executor,
        job: Job,
        decision: Decision,
        most: int,
        kill_s: float | None,
    ) -> Seen:
        """Run a job until it ends, has this many steps, or has run for `kill_s`."""
        seen, began, told, stopping = Seen(), time.monotonic(), False, False
        executor.submit(job)
        while seen.ended is None and len(seen.steps) < most:
            passed = time.monotonic() - began
            if kill_s is not None and passed > kill_s:
                break
            if self._caught.count and not stopping:
                executor.interrupt()
                stopping = True
            if passed > WAITS_S and not told and not seen.steps:
                say("waiting for the program's report; Ctrl-C ends the check")
                told = True
            for event in executor.events(TICK_S):
                if isinstance(event, EpochEnded):
                    seen.steps.append(event.result)
                    executor.decide(job.trial, decision)
                    seen.seconds = seen.seconds or event.result.seconds
                elif isinstance(event, Ended | Lost):
                    seen.ended = event
        return seen


def _obeys(seen: Seen, *, done: bool) -> str:
    """Say how the program ended when it was told to stop; it may have been done before."""
    if done:
        return "it was done before it could be stopped"
    by = seen.ended.ended_by if isinstance(seen.ended, Ended) else None
    return {
        "verdict": "it ends by itself when it is told to stop",
        "SIGTERM": "it does not look at HPSEARCH_VERDICT; SIGTERM ends it",
        "SIGKILL": "it ignores SIGTERM; SIGKILL ends it",
    }.get(by or "", "it reports once, in its end: there is nothing to stop")


def _why(seen: Seen) -> str:
    return (seen.ended.cause if seen.ended is not None else None) or "it reported nothing"


def _steps(path: Path) -> list[int]:
    """Return the steps of the last run in a report."""
    found = []
    for line in path.read_bytes().split(b"\n\n")[-1].split(b"\n"):
        try:
            one = parse(line)
        except ReportError:
            break
        found += [one.step] if isinstance(one, Step) else []
    return found
