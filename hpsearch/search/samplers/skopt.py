"""scikit-optimize behind our protocol: Gaussian process, random forest, extra trees.

It works in the unit cube, so its steps and numpy numbers never reach a trial. Its gradient
boosting is left out: with this scikit-learn it raises.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hpsearch.search.history import Value
from hpsearch.search.samplers.base import Observation, best_and_recent

if TYPE_CHECKING:
    from hpsearch.search.coordinates import Coordinates

TREES = 100
SEEDS = 2**31
CANDIDATES = 10_000
"""Random points whose expected improvement is compared."""
LOCAL_SEARCHES = 5
"""The best candidates from which the Gaussian process climbs on."""
XI = 0.01
"""Improvement below which a point is not worth proposing, in standard deviations of values."""


class SkoptSampler:
    """scikit-optimize's expected improvement on the joint coordinates.

    Pruned and paused trials enter with their lowest error so far, bad ones with the worst value
    seen. Pending trials enter with a lie: the mean of the values seen, or their own lowest error
    where that is lower (constant liar; Ginsbourger, Le Riche and Carraro 2010).
    """

    redraws = 2

    def __init__(
        self,
        coordinates: Coordinates,
        observations: Sequence[Observation],
        name: Literal["skopt-gp", "skopt-rf", "skopt-et"],
    ) -> None:
        """Note the history, thinned to the best and the last trials, as points and values."""
        self._cube, self._name = coordinates.cube, name
        kept = best_and_recent(observations)
        known = [o.value for o in kept if o.value is not None and o.kind != "running"]
        worst, mean = max(known), float(np.mean(known))
        self._points = [self._cube.shares(o.params) for o in kept]
        values = [_value(o, worst, mean) for o in kept]
        spread = float(np.std(values))
        self._values = ((np.asarray(values) - np.mean(values)) / (spread or 1.0)).tolist()

    def draw(self, seed: int) -> dict[str, Value]:
        """Fit the model and return the point of the highest expected improvement."""
        from skopt import Optimizer

        climbs = self._name == "skopt-gp"
        seed = seed % SEEDS
        optimizer = Optimizer(
            dimensions=[(0.0, 1.0)] * len(self._cube.names),
            base_estimator="GP" if climbs else self._forest(seed),
            n_initial_points=0,
            initial_point_generator="random",
            n_jobs=1,
            acq_func="EI",
            acq_func_kwargs={"xi": XI},
            acq_optimizer="lbfgs" if climbs else "sampling",
            acq_optimizer_kwargs={
                "n_points": CANDIDATES,
                "n_restarts_optimizer": LOCAL_SEARCHES,
                "n_jobs": 1,
            },
            model_queue_size=1,
            avoid_duplicates=False,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer.tell(self._points, self._values)
            proposed: list[Any] = optimizer.ask()
        return self._cube.params([float(share) for share in proposed])

    def _forest(self, seed: int) -> Any:
        """Return trees grown to single points, whose disagreement is the uncertainty.

        scikit-optimize's default leaves of three points count the spread inside a leaf as
        uncertainty, and so draw the search to where good and bad points lie together.
        """
        from skopt.learning import ExtraTreesRegressor, RandomForestRegressor

        kind = RandomForestRegressor if self._name == "skopt-rf" else ExtraTreesRegressor
        return kind(
            n_estimators=TREES,
            criterion="squared_error",
            min_samples_leaf=1,
            max_features=1.0,
            bootstrap=self._name == "skopt-rf",
            n_jobs=1,
            random_state=seed,
        )


def _value(observation: Observation, worst: float, mean: float) -> float:
    if observation.kind == "bad":
        return worst
    if observation.kind == "running":
        return mean if observation.value is None else min(mean, observation.value)
    return mean if observation.value is None else observation.value
