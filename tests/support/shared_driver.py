"""One driver of a shared study, to be run and killed: python -m tests.support.shared_driver."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from hpsearch.configfile import parse_yaml
from hpsearch.driver.driver import Driver
from hpsearch.execution import EpochEnded, Event, Job
from hpsearch.study.plan import DataPlace, plan_study, save_plan

from .fake_executor import FakeExecutor
from .observer import Silent


class Logged(FakeExecutor):
    """Two slots; every epoch takes a while and leaves a line: trial, epoch, who."""

    def __init__(self, log: Path, name: str, epoch_s: float) -> None:
        super().__init__(slots=2)
        self._log, self._name, self._epoch_s = log, name, epoch_s

    def events(self, timeout_s: float) -> list[Event]:
        time.sleep(self._epoch_s)
        events = super().events(timeout_s)
        for event in events:
            if isinstance(event, EpochEnded):
                self._write(f"epoch {event.trial} {event.result.epoch}")
        return events

    def submit(self, job: Job) -> None:
        super().submit(job)
        self._write(f"submit {job.trial} 0")

    def _write(self, line: str) -> None:
        with self._log.open("a") as file:
            file.write(f"{line} {self._name}\n")


class Printing(Silent):
    """An observer that prints what it is told."""

    def message(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def main() -> None:
    """Search a study that other processes search too."""
    folder, storage, log, name, trials, *given = sys.argv[1:]
    given = given or ["workers=2"]
    settings = {
        "storage": storage,
        "lease_s": 2.0,
        "budget.trials": int(trials),
        "trial.max_epochs": 6,
        "sampler.name": "random",
        **parse_yaml("\n".join(pair.replace("=", ": ", 1) for pair in given).encode(), "given"),
    }
    plan = plan_study("quickstart", Path(folder), settings)
    save_plan(plan, {"kind": "glyphs", "fingerprint": "f" * 64, "packed": "/nowhere"})
    place = DataPlace("/nowhere", "f" * 64)
    executor = Logged(Path(log), name, epoch_s=0.01)
    reason = Driver(plan, place, executor, Printing(), lambda: 0).run()
    Printing().message(reason)


if __name__ == "__main__":
    main()
