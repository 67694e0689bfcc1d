"""What the validation tasks of a data set ask for. Must not know images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

RUNS = 16
"""Runs of the paper's tasks: 16 of 20 ways are 320 tasks (Koch et al. 2015, section 4.3)."""
PAIRINGS = 12
"""Pairings of drawings in a group with unknown drawers; as many as 4 drawers give."""
MANY_TASKS, MANY_QUERIES = 320, 1000
"""Tasks, and dense queries, that are enough to tell models apart."""


@dataclass(frozen=True)
class TaskSize:
    """The size of validation tasks, and how many of them there are."""

    ways: int
    """Candidates of a task; chance is 1 / ways."""
    shots: int = 1
    """Support images of each candidate."""
    many: bool = False
    """Whether few ways or few classes get more tasks: own images from rule 4 on."""

    @property
    def runs(self) -> int:
        """The number of runs of one-shot tasks; each run has `ways` tasks."""
        return max(RUNS, math.ceil(MANY_TASKS / self.ways)) if self.many else RUNS

    def pairings(self, classes: int, pictures: int) -> int:
        """Return how often each class of a group pairs its pictures in dense validation.

        Args:
            classes: Number of classes of all groups.
            pictures: Largest number of pictures of a class; more pairings than it has ordered
                pairs would repeat the same queries.
        """
        if not self.many:
            return PAIRINGS
        wanted = math.ceil(MANY_QUERIES / classes)
        return max(PAIRINGS, min(wanted, pictures * (pictures - 1)))

    def one_shot(self) -> TaskSize:
        """Return the same with one support image."""
        return replace(self, shots=1)

    def left_out(self, classes: int, asked: int) -> list[str]:
        """Return a line if tasks ask for fewer classes of own images than there are."""
        if asked == classes:
            return []
        few = f"fewer than {self.shots + 1} pictures"
        small = f"their group has fewer than {self.ways} such classes"
        return [
            f"{classes - asked} of {classes} validation classes are in no task: they have {few}, "
            f"or {small}"
        ]
