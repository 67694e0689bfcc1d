"""Progress bars of commands other than search."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hpsearch.wording import duration


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that shows progress bars on a terminal's stderr, and nothing elsewhere.

    Its arguments are a label, the steps done and the total steps.
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


class Forecast:
    """Forecasts the remaining time of a task from its pace so far."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._start: float | None = None
        self._clock, self._began = clock, clock()

    def left(self, done: float, total: float) -> str:
        """Return the remaining time, e.g. "about 3m05s left"; empty while it is unknown.

        Args:
            done: Steps done; in the first call, the steps done before this run.
            total: Total steps.
        """
        if self._start is None:
            self._start = done
        gone = done - self._start
        if gone <= 0 or done >= total:
            return ""
        return f"about {duration((self._clock() - self._began) * (total - done) / gone)} left"


@contextmanager
def forecast_bar(label: str) -> Iterator[Callable[[float, float], str]]:
    """Yield a function that shows one bar with a forecast on a terminal's stderr.

    Its arguments are the steps done and the total steps; the first call passes the steps done
    before this run. It returns the forecast as text.
    """
    from rich.progress import Progress, TextColumn

    from hpsearch.cli.console import make_console

    console = make_console(stderr=True)
    with Progress(
        *Progress.get_default_columns()[:-1],
        TextColumn("{task.fields[left]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # a file or pipe gets its lines without the bar
    ) as bars:
        shown, forecast = bars.add_task(label, left=""), Forecast()

        def progress(done: float, total: float) -> str:
            left = forecast.left(done, total)
            bars.update(shown, completed=done, total=total, left=left)
            return left

        yield progress
