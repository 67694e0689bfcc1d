"""What a trial is judged by, as users see it. Inside the search lower is always better."""

from __future__ import annotations

from dataclasses import dataclass

from hpsearch.wording import percent


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
