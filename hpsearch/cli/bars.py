"""Progress bars of commands that are no search."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hpsearch.wording import duration


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield what shows progress bars on a terminal's stderr, and nothing elsewhere.

    It is called with a label, the steps done and the steps in all.
    """
    from rich.progress import Progress

    from hpsearch.cli.console import make_console

    console = make_console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        shown: dict[str, Any] = {}

        def progress(label: str, done: int, total: int) -> None:
            if label not in shown:
                shown[label] = bars.add_task(label)
            bars.update(shown[label], completed=done, total=total)

        yield progress


def say(text: str, *, err: bool) -> None:
    """Print a line above the bar there may be: typer.echo would write through it."""
    out = sys.stderr if err else sys.stdout
    out.write(text + "\n")
    out.flush()


class Forecast:
    """How long the rest of some work takes, by what was done since it began."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin."""
        self._start: float | None = None
        self._clock, self._began = clock, clock()

    def left(self, done: float, total: float) -> str:
        """Return the time that is left, e.g. about 3m05s left; empty while nothing is known.

        Args:
            done: Steps that are done; in the first call those that were done before.
            total: Steps in all.
        """
        if self._start is None:
            self._start = done
        gone = done - self._start
        if gone <= 0 or done >= total:
            return ""
        return f"about {duration((self._clock() - self._began) * (total - done) / gone)} left"


@contextmanager
def forecast_bar(label: str) -> Iterator[Callable[[float, float], str]]:
    """Yield what shows one bar with a forecast on a terminal's stderr, and nothing elsewhere.

    It is called with the steps done and in all, the first time with what was done before, and
    returns the forecast in words.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    from hpsearch.cli.console import make_console

    console = make_console(stderr=True)
    left_column = TextColumn("{task.fields[left]}")
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), left_column)
    with Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # a file or pipe gets its lines, the bar stays here
    ) as bars:
        shown, forecast = bars.add_task(label, left=""), Forecast()

        def progress(done: float, total: float) -> str:
            left = forecast.left(done, total)
            bars.update(shown, completed=done, total=total, left=left)
            return left

        yield progress
