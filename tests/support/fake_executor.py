"""An executor that trains nothing: a curve is a function of the parameters and the seed."""

from __future__ import annotations

import math
from collections import deque

from hpsearch.execution import Decision, Ended, Ending, EpochEnded, Event, Job, Lost, Started
from hpsearch.seeding import generator
from hpsearch.training.checkpoint_file import unwrap, wrap
from hpsearch.training.epoch import EpochResult


def fake_curve(job: Job, max_epochs: int) -> list[float]:
    """A falling validation error that depends on the first layer's learning rate."""
    rate = job.config["layers"]["conv1"]["learning_rate"]
    floor = 0.2 + 0.1 * abs(math.log10(rate) + 1.5)
    noise = generator(job.seed, "fake").normal(0, 0.01, max_epochs)
    return [
        float(min(0.95, max(0.0, floor + 0.6 * math.exp(-epoch / 4) + noise[epoch])))
        for epoch in range(max_epochs)
    ]


def fake_scores(job: Job) -> dict[str, float]:
    """The accuracy on fresh tasks of two alphabets, which the search's own noise is not in."""
    rate = job.config["layers"]["conv1"]["learning_rate"]
    truth = 0.8 - 0.1 * abs(math.log10(rate) + 1.5)
    noise = generator(job.seed, "fresh", str(rate)).normal(0, 0.004)
    return {"One": float(truth + noise + 0.02), "Two": float(truth + noise - 0.02)}


class FakeExecutor:
    """Runs epochs one at a time, oldest trial first; checkpoints are numbers in files."""

    def __init__(
        self, slots: int = 1, *, die_after_epochs: int | None = None, unreported: bool = False
    ) -> None:
        self._slots = slots
        self._running: dict[int, tuple[Job, int]] = {}
        self._waiting: set[int] = set()
        self._events: deque[Event] = deque()
        self.die_after_epochs, self.unreported = die_after_epochs, unreported
        self.epochs = 0
        self.failing: dict[int, Ending] = {}
        self.losing: set[int] = set()
        self.submitted: list[int] = []

    @property
    def slots(self) -> int:
        return self._slots

    def submit(self, job: Job) -> None:
        if len(self._running) >= self._slots:
            raise RuntimeError("no free slot")
        self.submitted.append(job.trial)
        if job.trial in self.losing:
            self._events.append(Lost(job.trial, "killed by signal 9"))
            return
        done = int(unwrap(job.checkpoint.read_bytes())) if job.checkpoint.exists() else 0
        decided = done if job.decided is None else min(done, job.decided)
        curve = tuple(self._result(job, epoch) for epoch in range(1, decided + 1))
        self._running[job.trial] = (job, done)
        made_by = {"host": "fake", "device": "cpu", "threads": 1, "seed": job.seed}
        self._events.append(Started(job.trial, 1, "cpu", curve, made_by))
        if done > decided:
            self._waiting.add(job.trial)
            self._events.append(EpochEnded(job.trial, self._result(job, done)))

    def decide(self, trial: int, decision: Decision) -> None:
        self._waiting.discard(trial)
        if trial in self._running and decision is not Decision.GO:
            del self._running[trial]
            ending = Ending.STOPPED if decision is Decision.STOP else Ending.PAUSED
            self._events.append(Ended(trial, ending))

    def events(self, timeout_s: float) -> list[Event]:
        if not self._events:
            for trial in list(self._running):
                if trial not in self._waiting:
                    self._step(trial)
                    break
        events = list(self._events)
        self._events.clear()
        return events

    def _step(self, trial: int) -> None:
        job, done = self._running[trial]
        ending = self.failing.get(trial)
        if ending or done >= job.config["max_epochs"]:
            del self._running[trial]
            scores = fake_scores(job) if job.fresh else None
            cause = "told to" if ending else None
            self._events.append(Ended(trial, ending or Ending.FINISHED, cause, scores))
            return
        if self.die_after_epochs is not None and self.epochs >= self.die_after_epochs:
            if self.unreported:
                job.checkpoint.parent.mkdir(parents=True, exist_ok=True)
                job.checkpoint.write_bytes(wrap(str(done + 1).encode()))
            raise KeyboardInterrupt("the driver is killed here")
        self.epochs += 1
        job.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        job.checkpoint.write_bytes(wrap(str(done + 1).encode()))
        self._running[trial] = (job, done + 1)
        self._waiting.add(trial)
        self._events.append(EpochEnded(trial, self._result(job, done + 1)))

    def _result(self, job: Job, epoch: int) -> EpochResult:
        error = fake_curve(job, job.config["max_epochs"])[epoch - 1]
        return EpochResult(epoch, error, error, float(epoch), 100 * epoch, 1000 * epoch)

    def interrupt(self) -> None:
        for trial in list(self._running):
            self._events.append(Ended(trial, Ending.INTERRUPTED))
        self._running.clear()
        self._waiting.clear()

    def close(self) -> None:
        self._running.clear()
