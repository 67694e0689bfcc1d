"""Trainings of some milliseconds, what they must give, and how a test follows one."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from hpsearch.configfile import dump_yaml, parse_yaml
from hpsearch.data import open_packed
from hpsearch.execution import Decision, Ended, EpochEnded, Event, Executor, Job, Lost
from hpsearch.training.config import TrialConfig
from hpsearch.training.epoch import EpochResult
from hpsearch.training.loop import train
from hpsearch.training.trainingdata import TrainingData

from .trainings import tiny_config

DEADLINE_S = 600.0
"""No step of a test may take longer; on an idle machine each takes one or two seconds."""
SEED = 7
ENDLESS = 10**9
"""Images of an epoch that never ends by itself."""

Point = tuple[int, float | None, float, int, int, str | None]


def quick(**changes: Any) -> TrialConfig:
    """Return a configuration of three epochs that take some milliseconds."""
    return tiny_config({"learning_rate": 0.05}, **{"pairs": "batch", "max_epochs": 3, **changes})


LONG: dict[str, Any] = {"images_per_epoch": 3200, "max_epochs": 2}
"""Epochs of some tenths of a second, so that something can happen inside one."""


def again(job: Job, events: Sequence[Event]) -> Job:
    """Return a job as a driver submits it again that has decided on the epochs among events."""
    results = [event.result for event in events if isinstance(event, EpochEnded)]
    if not results:
        return job
    known = () if job.run is None else tuple(one.to_json() for one in results)
    return replace(job, decided=results[-1].epoch, known=(*job.known, *known))


@dataclass
class Jobs:
    """Makes the jobs of one test; the same trial number means the same checkpoint."""

    data: Path
    folder: Path

    def endless(self, trial: int = 0) -> Job:
        """Return a job that never ends an epoch by itself."""
        return self(trial, images_per_epoch=ENDLESS)

    def long(self, trial: int = 0) -> Job:
        """Return a job of two epochs that take some tenths of a second."""
        return self(trial, **LONG)

    def long_curve(self) -> list[Point]:
        """Return the curve of a long one."""
        return self.curve(**LONG)

    def diverging(self) -> Job:
        """Return a job whose first epoch is not finite."""
        layer = {"filter_size": 4, "filter_count": 4, "learning_rate": 1e6, "l2": 1e3}
        return self(layers={"conv1": layer, "fc": {"width": 8}})

    def unusable(self) -> tuple[Job, str]:
        """Return a job that this machine cannot run, and a part of the cause."""
        missing = self.folder / "no such\ndata"
        return replace(self(), data=missing), "data: no packed data set"

    def __call__(self, trial: int = 0, **changes: Any) -> Job:
        return Job(
            trial=trial,
            config=quick(**changes).plain(),
            seed=SEED,
            data=self.data,
            study_seed=0,
            checkpoint=self.folder / f"{trial:05d}" / "checkpoint",
        )

    def curve(self, **changes: Any) -> list[Point]:
        """Return the curve that training gives without any executor."""
        return _curve(self.data, dump_yaml(quick(**changes).plain()))


@cache
def _curve(data: Path, config: str) -> list[Point]:
    trial = TrialConfig.from_values(parse_yaml(config.encode(), "tiny"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        loaded = TrainingData.from_dataset(open_packed(data), trial, study_seed=0)
        return [point(epoch.result) for epoch in train(trial, loaded, SEED)]
    finally:
        torch.set_num_threads(threads)


def point(result: EpochResult) -> Point:
    """Return everything of an epoch but its seconds, which no two runs share."""
    return (
        result.epoch,
        None if math.isnan(result.loss) else result.loss,
        result.validation_error,
        result.images,
        result.multiply_adds,
        result.diagnosis,
    )


def points(events: list[Event]) -> list[Point]:
    """Return the epochs among events."""
    return [point(event.result) for event in events if isinstance(event, EpochEnded)]


def run(
    executor: Executor, job: Job, decisions: Mapping[int, Decision] | None = None
) -> list[Event]:
    """Run a job to its end and return its events; every epoch not named may go on."""
    executor.submit(job)
    return follow(executor, job.trial, decisions)


def follow(
    executor: Executor,
    trial: int,
    decisions: Mapping[int, Decision] | None = None,
    *,
    hold: Callable[[Event], bool] = lambda _: False,
) -> list[Event]:
    """Answer a trial's epochs until it has ended, or until `hold` is true of an event.

    The event that is held is the last of those returned, and is not answered.
    """
    seen: list[Event] = []
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        for event in executor.events(0.5):
            assert event.trial == trial, f"{event} while only trial {trial} runs"
            seen.append(event)
            if isinstance(event, Ended | Lost) or hold(event):
                return seen
            if isinstance(event, EpochEnded):
                answer = (decisions or {}).get(event.result.epoch, Decision.GO)
                executor.decide(trial, answer)
    raise AssertionError(f"trial {trial} did not end in time; seen: {seen}")


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Poll until something is true."""
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be reaped does not."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
