"""Progress bars of commands that are no search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


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
