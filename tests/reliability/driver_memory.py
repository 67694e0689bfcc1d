"""A driver in a process of its own that says, every 50 trials, what it holds; see test_loads.

Of its own, because a process that has run other tests has free memory that hides what is lost.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import threading
from pathlib import Path

from hpsearch.execution import Job
from tests.support.cases import search
from tests.support.fake_executor import FakeExecutor

STEP = 50


class Marking(FakeExecutor):
    """Notes memory (bytes), open files and threads whenever so many trials have begun."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[tuple[int, int, int]] = []

    def submit(self, job: Job) -> None:
        """Note and submit."""
        if job.trial % STEP == 0:
            gc.collect()
            files = len(list(Path("/proc/self/fd").iterdir()))
            self.marks.append((resident(), files, threading.active_count()))
        super().submit(job)


def resident() -> int:
    """Return this process's memory, bytes, as Linux tells it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def main(output: Path, last: int) -> None:
    """Search until trial `last`, every trial proposed; print the marks and the origins."""
    executor = Marking()
    settings = {"trial__max_epochs": 1, "budget__trials": last + 1, "sampler__name": "sobol"}
    view = search(output, executor, enqueue=[], **settings)
    origins = sorted({str(a["origin"]) for a in view.attributes.values()})
    print(json.dumps({"marks": executor.marks, "origins": origins}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
