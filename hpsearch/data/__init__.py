"""The packed data sets and their one-shot tasks. Must not know torch."""

from __future__ import annotations

from hpsearch.data.dataset import Characters, Dataset, open_packed
from hpsearch.data.sealed import TestSet, open_test_set
from hpsearch.data.tasks import (
    OneShotTasks,
    score_tasks,
    split_drawers,
    validation_tasks,
    verification_pairs,
)

__all__ = [
    "Characters",
    "Dataset",
    "OneShotTasks",
    "TestSet",
    "open_packed",
    "open_test_set",
    "score_tasks",
    "split_drawers",
    "validation_tasks",
    "verification_pairs",
]
