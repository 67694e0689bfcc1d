"""An observer of a search, in the place of a terminal."""

from __future__ import annotations

from collections.abc import Callable

from hpsearch.driver.environment import Observer
from hpsearch.driver.progress import Progress


class Silent(Observer):
    """Keeps what it was told, and shows nothing."""

    last: Progress

    def __init__(self) -> None:
        self.messages: list[str] = []

    def update(self, progress: Callable[[], Progress]) -> None:
        """Keep the state of the search."""
        self.last = progress()

    def message(self, text: str) -> None:
        """Keep a message."""
        self.messages.append(text)
