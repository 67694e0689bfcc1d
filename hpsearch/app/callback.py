"""What a search calls. Loads nothing: every trial imports the script that defines a callback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpsearch.trial import TrialRecord


class Callback:
    """What a search calls; a subclass overrides what it needs.

    It runs in the process of the search, between two decisions, so it should be quick. The search
    has recorded what it tells of. An exception ends the search with one line; the same call goes
    on.
    """

    def on_trial_start(self, trial: TrialRecord) -> None:
        """Learn that a worker has begun a trial, or goes on with it.

        Args:
            trial: The trial; a resumed one has its earlier values.
        """

    def on_report(
        self, trial: TrialRecord, step: int, value: float, metrics: Mapping[str, float]
    ) -> None:
        """Learn of one reported step.

        Args:
            trial: The trial, with this step's value.
            step: The step, from 1; an epoch of the siamese trainer.
            value: Its value, as the program reported it.
            metrics: What was reported beside it.
        """

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Learn that a trial is complete, pruned or failed.

        Args:
            trial: The trial as it ended.
        """
