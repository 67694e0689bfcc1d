"""The live view of a search in a terminal, and plain lines where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hpsearch.cli.console import make_console
from hpsearch.cli.terminal import Edge
from hpsearch.search.forecast import Forecast
from hpsearch.search.progress import Progress
from hpsearch.search.surroundings import Observer


@contextmanager
def make_observer(name: str) -> Iterator[Observer]:
    """Yield a live view where stdout is a terminal, plain lines elsewhere.

    A terminal that is stopped, or a pipe that nobody reads, holds up no search.
    """
    out = sys.stdout
    with out.unwaited() if isinstance(out, Edge) else nullcontext():
        if not out.isatty():
            yield PlainLines()
            return
        with Live(console=make_console(), refresh_per_second=4, transient=False) as live:
            yield LiveView(name, live)


def duration(seconds: float) -> str:
    """Return seconds as 12s, 3m05s or 2h07m."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _counts(progress: Progress) -> str:
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


def _best(progress: Progress) -> str:
    best = progress.best
    if best is None or best.value is None:
        return "best: no complete trial yet"
    error = progress.forecast.standard_error
    sure = "" if error is None else f" ± {100 * error:.1f}"
    return f"best: trial {best.number}, validation error {best.value:.1%}{sure} (unconfirmed)"


class PlainLines:
    """One line for each thing that happens."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._epochs: dict[int, int] = {}
        self._told = time.monotonic()

    def update(self, progress: Callable[[], Progress]) -> None:
        """Tell new epochs at most every ten seconds, so that logs stay readable."""
        if time.monotonic() - self._told < 10:
            return
        self._told, now = time.monotonic(), progress()
        parts = [
            f"{r.number}: epoch {r.last.epoch}, error {r.last.validation_error:.3f}"
            for r in now.running
            if r.last is not None
        ]
        running = "; ".join(parts) or "starting"
        sys.stdout.write(f"{_counts(now)} | {running}\n")
        sys.stdout.flush()

    def message(self, text: str) -> None:
        """Print the line."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


class LiveView:
    """A table of running trials that redraws itself, finished trials above it."""

    def __init__(self, name: str, live: Live) -> None:
        """Note where to draw."""
        self._name, self._live = name, live
        self._drawn = 0.0

    def update(self, progress: Callable[[], Progress]) -> None:
        """Draw, at most four times a second."""
        if time.monotonic() - self._drawn < 0.25:
            return
        self._drawn, now = time.monotonic(), progress()
        table = Table(title=None, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for header in ("trial", "epoch", "error", "best", "time"):
            table.add_column(header, justify="right")
        table.add_column("progress")
        for running in now.running:
            last = running.last
            best = now.best_values.get(running.number)
            epoch = last.epoch if last else 0
            length = now.lengths[running.number]
            filled = round(24 * epoch / length)
            table.add_row(
                str(running.number),
                f"{epoch}/{length}",
                f"{last.validation_error:.1%}" if last else "-",
                f"{best:.1%}" if best is not None else "-",
                duration(time.monotonic() - running.began),
                Text("━" * filled, style="green") + Text("─" * (24 - filled), style="dim"),
            )
        head = Text(self._name, style="bold")
        lines = [head, Text(_counts(now)), Text(_best(now), style="cyan")]
        self._live.update(Group(*lines, table))

    def message(self, text: str) -> None:
        """Print the line above the table."""
        self._live.console.print(Text(text), highlight=False)
