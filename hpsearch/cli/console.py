"""Rich's console on the program's output: it keeps rich's colours and scrubs the text."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from hpsearch.output import Edge, plain


class _Styled:
    """Writes rich's output unscrubbed; its texts were scrubbed before."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self.encoding = edge.encoding
        self.isatty, self.flush, self.fileno = edge.isatty, edge.flush, edge.fileno

    def write(self, text: str) -> int:
        self._edge.put(text)
        return len(text)


class _PlainLetters(Console):
    """A console that shows no control sequence or link from a text."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            unlinked = style.update_link(None) if style and style.link else style
            yield Segment(text if control else plain(text), unlinked, control)


def make_console(*, stderr: bool = False) -> Console:
    """Return a console on standard output or standard error."""
    stream = sys.stderr if stderr else sys.stdout
    edge = stream if isinstance(stream, Edge) else Edge(stream)
    return _PlainLetters(file=cast(IO[str], _Styled(edge)))
