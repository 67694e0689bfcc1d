"""Who watches a search, and what is said of one: lines of text, unless a front end draws."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

from hpsearch.driver.environment import Observer
from hpsearch.driver.forecast import Forecast
from hpsearch.driver.progress import Progress
from hpsearch.output import unwaited
from hpsearch.wording import duration, percent

LEAST_S, MOST_S = 10.0, 600.0
"""Seconds between two plain lines: at first, and of a search of days."""
NAMED = 4
"""Running trials that a plain line names."""


class Watcher(Protocol):
    """Shows a person what a search does, from its first check to its last line."""

    def say(self, text: str) -> None:
        """Show one line."""
        ...

    def step(self, text: str) -> None:
        """Show which step of preparing the data has begun."""
        ...

    def unwaited(self, interrupted: Callable[[], int]) -> AbstractContextManager[object]:
        """Let no output inside wait for its reader once an interrupt has come."""
        ...

    def observe(
        self, name: str, certificate: Mapping[str, Any] | None = None
    ) -> AbstractContextManager[Observer]:
        """Yield who is told of a search that runs; `certificate` is of what was confirmed."""
        ...


def counts_in_words(progress: Progress) -> str:
    """Say how many trials there are, in which states, and how long the search has worked."""
    counts = progress.counts
    states = ["complete", "pruned", "failed", *(["paused"] if counts.get("paused") else [])]
    done = ", ".join(f"{counts.get(s, 0)} {s}" for s in states)
    total = f"{progress.finished}/{progress.trials}" if progress.trials else str(progress.finished)
    left = f", {text}" if (text := forecast_line(progress.forecast)) else ""
    return f"{total} trials: {done} | {duration(progress.seconds)} at work{left}"


def forecast_line(forecast: Forecast) -> str:
    """Say what is left in a few words; empty while nothing is known."""
    parts = []
    if forecast.seconds is not None:
        parts.append(f"about {duration(forecast.seconds)} left")
    if forecast.gain is not None and forecast.standard_error is not None:
        parts.append(
            f"expected gain up to {100 * forecast.gain:.1f} points "
            f"(the best's standard error is {100 * forecast.standard_error:.1f})"
        )
    return ", ".join(parts)


class PlainLines:
    """One line for each thing that happens."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._began = self._told = time.monotonic()

    def update(self, progress: Callable[[], Progress]) -> None:
        """Tell how far it is, every ten seconds and later less often, so that logs stay readable."""
        told = time.monotonic()
        if told - self._told < min(MOST_S, max(LEAST_S, (told - self._began) / 20)):
            return
        self._told, now = told, progress()
        parts = [
            f"{r.number}: epoch {r.last.epoch}, error {percent(r.last.validation_error)}"
            for r in now.running
            if r.last is not None
        ]
        more = f" and {len(parts) - NAMED} more" if len(parts) > NAMED else ""
        running = "; ".join(parts[:NAMED]) + more or "starting"
        done = "" if now.share is None else f"{percent(now.share, 0)} | "
        sys.stdout.write(f"{done}{counts_in_words(now)} | {running}\n")
        sys.stdout.flush()

    def message(self, text: str) -> None:
        """Print the line."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


class LinesWatcher:
    """Writes lines to standard output, and steps to standard error."""

    def say(self, text: str) -> None:
        """Write a line."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def step(self, text: str) -> None:
        """Write a line to standard error."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    @contextmanager
    def unwaited(self, interrupted: Callable[[], int]) -> Iterator[None]:
        """Let no output inside wait for its reader once an interrupt has come."""
        with ExitStack() as stack:
            for stream in (sys.stdout, sys.stderr):
                stack.enter_context(unwaited(stream, interrupted))
            yield

    @contextmanager
    def observe(
        self, name: str, certificate: Mapping[str, Any] | None = None
    ) -> Iterator[Observer]:
        """Yield plain lines."""
        del name, certificate
        yield PlainLines()
