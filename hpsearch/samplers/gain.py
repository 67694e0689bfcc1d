"""The expected gain of hypervolume of configurations, for the sampler bayes.

Costs that follow from the parameters are used as they are. A figure that training measures has a
belief of its own, as the error has, and its expectation is used: it has next to no noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.belief import Belief, Evidence
from hpsearch.front.improvement import expected_gain
from hpsearch.front.order import dominated_by, ordered, reference_of
from hpsearch.samplers.base import Observation
from hpsearch.space.problem import SearchProblem

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Gain:
    """What configurations add to the front of expected values.

    Args:
        problem: The search problem.
        belief: What is expected of errors.
        places: Those of its trials of which all objectives are known.
        costs: Their other objectives, scaled, float64 [places, objectives - 1].
        measured: A belief of each objective that is measured, by its place among the others.
    """

    problem: SearchProblem
    belief: Belief
    places: list[int]
    costs: Array
    measured: dict[int, Belief]

    @classmethod
    def of(
        cls, problem: SearchProblem, belief: Belief, observations: Sequence[Observation]
    ) -> Gain | None:
        """Learn from the observations; None with one objective, or before any cost is known."""
        if not problem.goals.several:
            return None
        known = {o.number: o.rest for o in observations if o.rest is not None}
        places = [k for k, trial in enumerate(belief.trials) if trial.number in known]
        if not places:
            return None
        costs = np.array([known[belief.trials[k].number] for k in places], np.float64)
        measured = {}
        for place, goal in enumerate(problem.goals.others):
            if not goal.exact:
                told = [_told(o, o.rest[place]) for o in observations if o.rest is not None]
                if not Belief.possible(told):
                    return None
                measured[place] = Belief(problem, told)
        return cls(problem, belief, places, costs, measured)

    @property
    def points(self) -> Array:
        """The expected values of the known trials, scaled, float64 [places, objectives]."""
        return np.column_stack([self.belief.means[self.places], self.costs])

    @property
    def ranked(self) -> list[int]:
        """Places in the belief's trials, best first: by rank, then by the volume they add."""
        return [self.places[k] for k in ordered(self.points.tolist())]

    def expected(self, points: Array, rows: Array) -> Array:
        """Return the expected gain of each configuration, as a share of the largest.

        Args:
            points: In the unit cube, float64 [configurations, coordinates].
            rows: What a model sees of them, float64 [configurations, columns].
        """
        means, deviations = self.belief.predict(rows)
        costs = self._costs(points, rows)
        known, reference = self.points, reference_of(self.points)
        front = known[~dominated_by(known).any(axis=1)]
        gains = expected_gain(front, reference, means, deviations, costs)
        gains = gains * (1 - self.belief.untrainable(rows))
        return np.asarray(gains / (gains.max() or 1.0))

    def _costs(self, points: Array, rows: Array) -> Array:
        goals = self.problem.goals
        columns = np.zeros((len(points), len(goals.others)))
        cube, exact = self.problem.cube, any(goal.exact for goal in goals.others)
        known = [self.problem.costs(cube.params(p)) for p in points.tolist()] if exact else []
        for place, goal in enumerate(goals.others):
            if goal.exact:
                columns[:, place] = [goal.scaled(goal.held(one[goal.name])) for one in known]
            else:
                columns[:, place] = self.measured[place].predict(rows)[0]
        return columns


def _told(observation: Observation, value: float) -> Evidence:
    """Return a measured figure as a curve of one epoch."""
    return Evidence(observation.number, observation.params, {1: value}, length=1, ended=True)
