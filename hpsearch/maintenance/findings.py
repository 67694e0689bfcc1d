"""The input and the output of the checks of a study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hpsearch.paths import StudyFolder
from hpsearch.storage.view import StudyView


@dataclass
class Findings:
    """The result of a check: errors, what the next run fixes, and a line if it found neither."""

    fine: str = ""
    broken: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)

    def add(self, text: str, *, broken: bool) -> None:
        """Add an error, or something that the next run fixes."""
        (self.broken if broken else self.pending).append(text)


@dataclass(frozen=True)
class Study:
    """The study that is checked."""

    folder: StudyFolder
    view: StudyView
    rows: tuple[dict[str, Any], ...]
    holder: str | None

    @property
    def own_rows(self) -> list[dict[str, Any]]:
        """The rows that a search wrote, without those that Optuna's functions added."""
        added = {trial.number for trial in self.view.trials if trial.added}
        return [row for row in self.rows if row["number"] not in added]


Check = Callable[[Study], Findings]
