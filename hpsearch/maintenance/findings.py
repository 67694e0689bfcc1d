"""The input and the output of the checks of a study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hpsearch.paths import StudyFolder, TrialFolder
from hpsearch.storage.view import StudyView


@dataclass(frozen=True)
class Findings:
    """The result of a check: errors, what the next run fixes, and a line if it found neither."""

    broken: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    fine: str = ""


@dataclass(frozen=True)
class Study:
    """The study that is checked."""

    folder: StudyFolder
    view: StudyView
    rows: tuple[dict[str, Any], ...]
    holder: str | None

    def trial(self, number: int) -> TrialFolder:
        """Return a trial's folder."""
        return self.folder.trial(number)

    @property
    def own_rows(self) -> list[dict[str, Any]]:
        """The rows that a search wrote, without those that Optuna's functions added."""
        added = {trial.number for trial in self.view.trials if trial.added}
        return [row for row in self.rows if row["number"] not in added]


Check = Callable[[Study], Findings]
