"""Shows a search as lines of text; a front end may show it in another way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from hpsearch.driver.environment import Observer
from hpsearch.driver.forecast import Forecast
from hpsearch.driver.progress import Progress
from hpsearch.output import say
from hpsearch.wording import duration, in_states, percent

LEAST_S, MOST_S = 10.0, 600.0
"""Seconds between two progress lines: at first, and in a search of days."""
NAMED = 4
"""Running trials that a progress line names."""

Watch = Callable[[str, Mapping[str, Any] | None], AbstractContextManager[Observer]]
"""Opens an observer, given the study's name and its certificate."""


def counts_in_words(progress: Progress) -> str:
    """Return the number of trials by state, the time at work and the time left."""
    counts = progress.counts
    states = ["complete", "pruned", "failed", *(["paused"] if counts.get("paused") else [])]
    done = in_states(counts, states)
    total = f"{progress.settled}/{progress.trials}" if progress.trials else str(progress.settled)
    left = f", {text}" if (text := forecast_line(progress.forecast)) else ""
    return f"{total} trials: {done} | {duration(progress.seconds)} at work{left}"


def forecast_line(forecast: Forecast) -> str:
    """Return the forecast in a few words; empty while nothing is known."""
    parts = []
    if forecast.seconds is not None:
        parts.append(f"about {duration(forecast.seconds)} left")
    if forecast.gain is not None and forecast.standard_error is not None:
        parts.append(
            f"expected gain {100 * forecast.gain.mean:.1f} points "
            f"(the best's standard error is {100 * forecast.standard_error:.1f})"
        )
    return ", ".join(parts)


class PlainLines(Observer):
    """Prints one line per event, and a progress line from time to time."""

    def __init__(self) -> None:
        self._began = self._told = time.monotonic()

    def update(self, progress: Callable[[], Progress]) -> None:
        """Print progress every ten seconds, and less often in a long search."""
        told = time.monotonic()
        if told - self._told < min(MOST_S, max(LEAST_S, (told - self._began) / 20)):
            return
        self._told, now = told, progress()
        parts = [
            f"{r.number}: {now.shown.step} {r.last.epoch}, {now.shown.short} "
            f"{now.shown.text(r.last.validation_error)}"
            for r in now.running
            if r.last is not None
        ]
        more = f" and {len(parts) - NAMED} more" if len(parts) > NAMED else ""
        running = "; ".join(parts[:NAMED]) + more or "starting"
        done = "" if now.share is None else f"{percent(now.share, 0)} | "
        say(f"{done}{counts_in_words(now)} | {running}")

    def message(self, text: str) -> None:
        """Print the line."""
        say(text)


def plain_lines(
    _name: str, _certificate: Mapping[str, Any] | None
) -> AbstractContextManager[Observer]:
    """Open an observer that prints plain lines."""
    return nullcontext(PlainLines())
