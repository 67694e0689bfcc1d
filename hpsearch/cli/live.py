"""The live view of a search in a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpsearch.app.watch import PlainLines, counts_in_words
from hpsearch.cli.console import make_console
from hpsearch.driver.environment import Observer
from hpsearch.driver.progress import Progress
from hpsearch.intervals import around
from hpsearch.results.best import describe_best
from hpsearch.trial import TrialRecord
from hpsearch.wording import count, duration, interval, percent

LEAST_SHARE = 0.02
"""Minimum spent share of the budget from which the remaining time is extrapolated."""


@contextmanager
def live_view(name: str, certificate: Mapping[str, Any] | None) -> Iterator[Observer]:
    """Yield an observer that draws on a terminal, and prints plain lines elsewhere."""
    if not sys.stdout.isatty():
        yield PlainLines()
        return
    with Live(console=make_console(), refresh_per_second=4, transient=True) as live:
        yield LiveView(name, live, certificate)


def _best(progress: Progress, certificate: Mapping[str, Any] | None = None) -> str:
    """Return what is known of the best trial: as confirmed, as searched, or as trained so far."""
    best, error = progress.best, progress.forecast.standard_error
    if progress.front is not None:
        return _front(progress, progress.front)
    held = certificate if best and certificate and best.number in certificate["compared"] else None
    value = None if best is None else best.value
    sure = f" {interval(around(value, error))}" if value is not None and error is not None else ""
    return describe_best(best, progress.lowest, held, sure, progress.shown)


def _front(progress: Progress, front: Sequence[TrialRecord]) -> str:
    """Return the front's size, its errors, and the share of the box that it dominates."""
    if not front:
        return "no complete trial yet: no front"
    ends = [progress.shown.text(t.value or 0.0) for t in (front[0], front[-1])]
    errors = ends[0] if len(front) == 1 else " to ".join(ends)
    covered = f"hypervolume {percent(progress.hypervolume, 0)}"
    return f"front: {count(len(front), 'trial')}, {progress.shown.short} {errors}, {covered}"


def _overall(progress: Progress, share: float) -> Table:
    """Draw the spent share of the budget."""
    text = f"{percent(share, 0)} of the budget"
    if progress.forecast.seconds is None and share > LEAST_SHARE:  # no better forecast yet
        text += f", about {duration(progress.seconds * (1 - share) / share)} left"
    line = Table.grid(padding=(0, 1))
    line.add_row(ProgressBar(1.0, share, width=40), Text(text))
    return line


def _running(progress: Progress) -> Table:
    """Draw the running trials."""
    table = Table(title=None, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    shown = progress.shown
    for header in ("trial", shown.step, shown.short, "best", "time"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("progress")
    for running in progress.running:
        last = running.last
        best = progress.best_values.get(running.number)
        epoch = last.epoch if last else 0
        length = progress.lengths[running.number]
        table.add_row(
            str(running.number),
            f"{epoch}/{length}",
            progress.shown.text(last.validation_error) if last else "-",
            progress.shown.text(best) if best is not None else "-",
            duration(progress.now - running.began),
            ProgressBar(length, epoch, width=24),
        )
    return table


class LiveView(Observer):
    """Draws the search's progress and a table of running trials, below the finished trials."""

    def __init__(self, name: str, live: Live, held: Mapping[str, Any] | None = None) -> None:
        self._name, self._live, self._certificate = name, live, held
        self._drawn = 0.0

    def update(self, progress: Callable[[], Progress]) -> None:
        """Draw, at most four times a second."""
        if time.monotonic() - self._drawn < 0.25:
            return
        self._drawn, now = time.monotonic(), progress()
        head = Text(self._name, style="bold")
        overall = [] if now.share is None else [_overall(now, now.share)]
        best = Text(_best(now, self._certificate), style="cyan")
        counts = Text(counts_in_words(now))
        self._live.update(Group(head, *overall, counts, best, _running(now)))

    def message(self, text: str) -> None:
        """Print the line above the table."""
        self._live.console.print(Text(text), highlight=False)
