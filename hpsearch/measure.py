"""What a trial is judged by, as users see it. Inside the search lower is always better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.wording import interval, percent, points


@dataclass(frozen=True)
class Measure:
    """The value of a trial.

    Args:
        name: Its name.
        maximized: Whether users want it large; the search then holds its negative.
        share: Whether it is a share, from 0 to 1, which is shown in percent.
    """

    name: str
    maximized: bool = False
    share: bool = True

    def of(self, held: float) -> float:
        """Return the user's value of one that the search holds."""
        return -held if self.maximized else held

    def text(self, held: float, digits: int = 1) -> str:
        """Return the user's value as text.

        Args:
            held: The value that the search holds.
            digits: Decimals of a share in percent.
        """
        return percent(held, digits) if self.share else f"{self.of(held):.6g}"

    def interval(self, ends: Sequence[float]) -> str:
        """Return an interval of held values as text; a share's is in percent, without a sign."""
        if self.share:
            return interval(ends)
        return "[{:.4g}, {:.4g}]".format(*self.ends(ends))

    def ends(self, ends: Sequence[float]) -> list[float]:
        """Return the user's interval of one of held values."""
        return [self.of(end) for end in (reversed(ends) if self.maximized else ends)]

    def gained(self, lower_by: float) -> str:
        """Return by how much a value is better than another, as text.

        Args:
            lower_by: How much lower the held value is.
        """
        return points(lower_by) if self.share else f"{lower_by:+.4g}"

    def gained_interval(self, ends: Sequence[float]) -> str:
        """Return an interval of such differences as text."""
        return interval(ends) if self.share else f"[{ends[0]:.4g}, {ends[1]:.4g}]"

    @property
    def lowest(self) -> str:
        """Where the best value lies."""
        return "highest" if self.maximized else "lowest"

    @property
    def stored(self) -> str:
        """The name of what the database holds."""
        return f"minus {self.name}" if self.maximized else self.name

    @property
    def step(self) -> str:
        """What a trial takes one after the other."""
        return "epoch" if self.share else "step"

    @property
    def short(self) -> str:
        """Its name in a line that has little room."""
        return "error" if self.share else self.name


VALIDATION_ERROR = Measure("validation error")
"""The siamese trainer's."""


def measure_of(certificate: Mapping[str, Any]) -> Measure:
    """Return what a certificate measures; the siamese trainer's does not name it."""
    named = certificate.get("measure")
    return VALIDATION_ERROR if named is None else Measure(**named, share=False)
