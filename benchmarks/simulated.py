"""The simulated half of a replay: workers on a clock that jumps, and asking in this process."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.pick import Look
from benchmarks.surrogate import Answer
from hpsearch.driver.environment import Observer
from hpsearch.driver.progress import Progress
from hpsearch.execution import Decision, Ended, Ending, EpochEnded, Event, Job, Started
from hpsearch.samplers.suggest import suggest
from hpsearch.space.problem import SearchProblem
from hpsearch.study.config import StudyConfig
from hpsearch.training.epoch import EpochResult
from hpsearch.trial import TrialRecord, Value


class Model(Protocol):
    """Says what a trial would have said: a surrogate, or the nearest recorded row."""

    epochs: int

    def answer(self, params: Mapping[str, Value], seed: int) -> Answer:
        """Return a trial's curve, seconds and truth."""
        ...


@dataclass(frozen=True)
class Step:
    """One simulated epoch.

    Args:
        seconds: Simulated time of its end.
        trial: The trial's number.
        epoch: Its epoch, from 1.
        error: The observed validation error.
        truth: Lowest validation error without noise that the trial has had up to this epoch.
    """

    seconds: float
    trial: int
    epoch: int
    error: float
    truth: float


@dataclass
class Simulated:
    """A trial on a simulated worker, or waiting paused."""

    answer: Answer
    done: int = 0
    ends: float = 0.0
    waits: bool = False


class SimulatedExecutor:
    """Runs trials on a simulated clock, which jumps to the next end of an epoch."""

    def __init__(self, model: Model, slots: int) -> None:
        """Begin at second 0 with all slots free."""
        self._model, self._slots = model, slots
        self._trials: dict[int, Simulated] = {}
        self._running: set[int] = set()
        self._events: deque[Event] = deque()
        self.now = 0.0
        self.steps: list[Step] = []

    @property
    def slots(self) -> int:
        """Trials that can run at once."""
        return self._slots

    def submit(self, job: Job) -> None:
        """Start or continue a trial on a free slot.

        Raises:
            RuntimeError: No slot is free.
        """
        if len(self._running) >= self._slots:
            raise RuntimeError("no slot is free")
        trial = self._trials.get(job.trial)
        if trial is None:
            trial = Simulated(self._model.answer(job.config, job.seed))
            self._trials[job.trial] = trial
        self._running.add(job.trial)
        curve = tuple(self._result(trial, epoch) for epoch in range(1, trial.done + 1))
        self._events.append(Started(job.trial, 0, "simulated", curve))
        self._begin_epoch(trial)

    def decide(self, trial: int, decision: Decision) -> None:
        """Answer the trial's last epoch."""
        state = self._trials[trial]
        state.waits = False
        if decision is not Decision.GO:
            self._end(trial, Ending.STOPPED if decision is Decision.STOP else Ending.PAUSED)
        elif state.done == len(state.answer.errors):
            self._end(trial, Ending.DIAGNOSED if state.answer.diverged else Ending.FINISHED)
        else:
            self._begin_epoch(state)

    def events(self, timeout_s: float) -> list[Event]:  # noqa: ARG002
        """Return what has happened; only where nothing has, time passes."""
        if not self._events:
            self._advance()
        events = list(self._events)
        self._events.clear()
        return events

    def interrupt(self) -> None:
        """End every running trial at once."""
        for trial in sorted(self._running):
            self._end(trial, Ending.INTERRUPTED)

    def close(self) -> None:
        """Nothing is held."""

    def whole(self) -> dict[int, float]:
        """Return each trial's lowest error over its whole training; infinity if it diverged."""
        return {
            number: math.inf if trial.answer.diverged else min(trial.answer.errors)
            for number, trial in self._trials.items()
        }

    def truths(self) -> dict[int, float]:
        """Return the lowest error without noise of each trial's configuration, trained whole."""
        return {number: min(trial.answer.truth) for number, trial in self._trials.items()}

    def _advance(self) -> None:
        training = [n for n in sorted(self._running) if not self._trials[n].waits]
        if not training:
            return
        number = min(training, key=lambda n: self._trials[n].ends)
        trial = self._trials[number]
        self.now = trial.ends
        trial.done += 1
        trial.waits = True
        result = self._result(trial, trial.done)
        truth = min(trial.answer.truth[: trial.done])
        self.steps.append(Step(self.now, number, trial.done, result.validation_error, truth))
        self._events.append(EpochEnded(number, result))

    def _begin_epoch(self, trial: Simulated) -> None:
        seconds = trial.answer.seconds
        if trial.done < len(seconds):
            before = seconds[trial.done - 1] if trial.done else 0.0
            trial.ends = self.now + seconds[trial.done] - before

    def _end(self, trial: int, ending: Ending) -> None:
        self._running.discard(trial)
        self._events.append(Ended(trial, ending))

    @staticmethod
    def _result(trial: Simulated, epoch: int) -> EpochResult:
        answer = trial.answer
        last = answer.diverged and epoch == len(answer.errors)
        error, seconds = answer.errors[epoch - 1], answer.seconds[epoch - 1]
        diagnosis = "diverged: as recorded" if last else None
        return EpochResult(epoch, math.nan if last else error, error, seconds, 0, 0, diagnosis)


class RememberingProblem(SearchProblem):
    """A search problem that encodes each configuration once.

    Every ask encodes the whole history anew, in a search of seconds to hours as in a replay, of
    which it would be a fifth of the time.
    """

    def __init__(self, problem: SearchProblem) -> None:
        """Remember nothing yet."""
        super().__init__(
            problem.space, problem.base, problem.limits, problem.goals, problem.resource.kind
        )
        self._encoded: dict[tuple[Value | None, ...], dict[str, Value]] = {}

    def encode(self, params: Mapping[str, Value]) -> dict[str, Value]:
        """Return the coordinates of parameters."""
        key = tuple(params.get(name) for name in self.space.parameters)
        if key not in self._encoded:
            self._encoded[key] = super().encode(params)
        return dict(self._encoded[key])


class DirectAsker:
    """Asks in this process; the suggestions are those of the helper process."""

    def __init__(
        self, problem: SearchProblem, config: StudyConfig, clock: Callable[[], float]
    ) -> None:
        """Note the problem and the clock of the replay, in simulated seconds."""
        self._problem, self._config, self._clock = problem, config, clock
        self.looks: list[Look] = []
        self._asked: tuple[Sequence[TrialRecord], int] = ((), 0)
        self.pending: int | None = None
        self.seen: Mapping[str, Any] | None = None

    def ask(self, history: Sequence[TrialRecord], n: int) -> None:
        """Note what is asked, and what is known by then."""
        self.looks.append(Look(self._clock(), tuple(history)))
        self.pending, self._asked = n, (history, n)

    def answer(self, timeout_s: float) -> dict[str, Any] | None:  # noqa: ARG002
        """Suggest; the simulated clock stands still meanwhile."""
        self.pending = None
        history, n = self._asked
        config = self._config
        return suggest(self._problem, config.sampler, history, config.seed, n)

    def close(self) -> None:
        """Nothing is held."""


class Silent(Observer):
    """Shows nothing."""

    def update(self, progress: Callable[[], Progress]) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Tell nothing."""
