"""A sampler that learns from every epoch of every trial, and proposes where least is expected.

Candidates are a finite set: points over the whole box, and the best trials moved a little, much or
crossed. The lowest of mean - beta x standard deviation wins, of equal ones the first. With several
objectives the highest expected gain of hypervolume wins, see `hpsearch.samplers.gain`.

Reference: Srinivas et al. (2010), "Gaussian Process Optimization in the Bandit Setting".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hpsearch.belief import Belief, Evidence
from hpsearch.belief.belief import DECIMALS
from hpsearch.belief.evidence import finite_curve, to_results, whole_length
from hpsearch.samplers.base import Observation
from hpsearch.samplers.gain import Gain
from hpsearch.samplers.sobol import recentre
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import Value

Array = NDArray[np.float64]
CANDIDATES = 400
GLOBAL = 0.25
"""Share of the candidates over the whole box; half of these are pulled towards its middle."""
PARENTS = 6
"""Best trials that the other candidates begin at."""
CROSSED = 0.25
"""Share of these that are crossed with another parent first."""
PULL = 0.5
"""Spread of the points that are pulled towards the middle."""
WIDTHS = (0.03, 0.08, 0.2, 0.4)
"""Standard deviations by which a coordinate moves, as shares of its range."""
BETAS = (0.5, 1.5, 2.5)
"""Standard deviations by which the bound lies below the expected error; a draw takes one of them:
few exploit what is known, many explore, and neither was best everywhere."""


class BayesSampler:
    """Proposes the candidate with the lowest bound of its final error."""

    redraws = 8

    def __init__(self, problem: SearchProblem, observations: Sequence[Observation]) -> None:
        """Learn from the history."""
        self._problem = problem
        self._belief = Belief(problem, evidence(problem, observations))
        self._gain = Gain.of(problem, self._belief, observations)
        own = [o for o in observations if o.number >= 0]  # others are of another study
        self._tried = {problem.key(o.params) for o in own}

    def draw(self, seed: int) -> dict[str, Value]:
        """Return the best new one of the candidates that the seed draws."""
        rng = np.random.default_rng(seed)
        beta = rng.choice(BETAS)
        points = self._candidates(rng)
        rows, belief = self._problem.rows(points), self._belief
        if self._gain is None:
            bounds = belief.bounds(rows, beta)
        else:
            bounds = -self._gain.expected(points, rows)
        found: list[dict[str, Value]] = []
        for place in np.argsort(np.round(bounds, DECIMALS), kind="stable"):
            found.append(self._problem.cube.params(points[place].tolist()))
            if self._new(found[-1]):
                return found[-1]
        return found[0]

    def expected(self) -> dict[int, float]:
        """Return the final error expected of each trial of this study, by number."""
        belief = self._belief
        told = zip(belief.trials, belief.expected.tolist(), strict=True)
        return {trial.number: error for trial, error in told if trial.number >= 0}

    def predict(self, params: Mapping[str, Value], seed: int) -> tuple[float, float]:  # noqa: ARG002
        """Return the expected final error of a configuration, and its standard deviation."""
        means, deviations = self._belief.predict(self._problem.features(params)[None])
        return float(means[0]), float(deviations[0])

    def _new(self, params: Mapping[str, Value]) -> bool:
        problem = self._problem
        return problem.key(params) not in self._tried and problem.over_limits(params) is None

    def _candidates(self, rng: np.random.Generator) -> Array:
        """Return points of the unit cube, float64 [candidates, coordinates]."""
        cube, belief = self._problem.cube, self._belief
        whole = round(GLOBAL * CANDIDATES)
        count, width = CANDIDATES - whole, len(cube.names)
        points = rng.random((whole, width))
        pulled = np.where(cube.ordered, recentre(points[: whole // 2], PULL), points[: whole // 2])
        ranked = belief.ranked if self._gain is None else self._gain.ranked
        best = [belief.trials[k].params for k in ranked[:PARENTS]]
        parents = np.array([cube.shares(params) for params in best])
        # The better parent has more children.
        chosen = np.minimum(rng.exponential(PARENTS / 3, count).astype(int), len(parents) - 1)
        other = parents[rng.integers(len(parents), size=count)]
        crossed = (rng.random(count) < CROSSED)[:, None] & (rng.random((count, width)) < 0.5)
        children = np.where(crossed, other, parents[chosen])
        shares = rng.choice([2 / width, 5 / width, 0.5, 1.0], count)[:, None]
        moved = rng.random((count, width)) < shares
        moved[np.arange(count), rng.integers(width, size=count)] = True
        children = children + moved * rng.normal(
            0, rng.choice(WIDTHS, count)[:, None], moved.shape
        )
        reflected = np.clip(1 - np.abs(1 - np.abs(children)), 0.0, 1.0)
        return np.vstack([pulled, points[whole // 2 :], reflected])


def evidence(problem: SearchProblem, observations: Sequence[Observation]) -> list[Evidence]:
    """Return what a belief learns from observations."""
    results = {o.number: o.result for o in observations if o.result is not None}
    found = [
        Evidence(
            number=o.number,
            params=o.params,
            curve=finite_curve(o.errors or o.curve),
            length=whole_length(
                o.kind == "complete" or not o.errors, o.curve, problem.resource.length(o.params)
            ),
            ended=o.kind != "running",
            trainable=o.kind != "bad",
        )
        for o in observations
    ]
    return to_results(found, results)
