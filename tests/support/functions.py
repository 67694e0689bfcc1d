"""Functions that train a trial; trials load this file."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpsearch.trainer import Trial


def steps(trial: Trial, pause_s: float = 0.0) -> Iterator[tuple[int, float]]:
    """Report 0.8, 0.7, 0.6, ... and go on from the checkpoint."""
    kept = trial.checkpoint / "step"
    done = int(kept.read_text()) if kept.exists() else 0
    for step in range(done + 1, trial.max_steps + 1):
        time.sleep(pause_s)
        yield step, round(0.9 - step / 10, 1)
        kept.write_text(str(step))


def slow_steps(trial: Trial) -> Iterator[tuple[int, float]]:
    """Report the same, each after some tenths of a second."""
    yield from steps(trial, 0.3)


def endless() -> float:
    """Never report."""
    time.sleep(4243)
    return 0.0


def diverging() -> Iterator[float]:
    """Report a value that is not finite, and go on."""
    yield math.nan
    time.sleep(4243)
