"""Several objectives: what they and the constraints are, and which trials are the best of all."""

from hpsearch.front.goals import ONE, Bound, Goal, Goals

__all__ = ["ONE", "Bound", "Goal", "Goals"]
