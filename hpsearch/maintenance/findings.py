"""What a check of a study is given, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hpsearch.paths import StudyFolder, TrialFolder
from hpsearch.storage.view import StudyView


@dataclass(frozen=True)
class Findings:
    """What a check found: what is wrong, what the next run fixes, and what to report otherwise."""

    broken: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    fine: str = ""


@dataclass(frozen=True)
class Study:
    """A study as the checks see it."""

    folder: StudyFolder
    view: StudyView
    rows: tuple[dict[str, Any], ...]
    holder: str | None

    def trial(self, number: int) -> TrialFolder:
        """Return a trial's folder."""
        return self.folder.trial(number)

    @property
    def own_rows(self) -> list[dict[str, Any]]:
        """The rows that a search wrote; what Optuna's functions added may hold anything."""
        added = {trial.number for trial in self.view.trials if trial.added}
        return [row for row in self.rows if row["number"] not in added]


Check = Callable[[Study], Findings]
