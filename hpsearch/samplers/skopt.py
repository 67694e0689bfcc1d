"""scikit-optimize's Gaussian process, random forest and extra trees.

They work in the unit cube, so their steps and numpy numbers never reach a trial. Gradient boosting
is left out: it raises with this scikit-learn.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hpsearch.samplers.base import Observation, best_and_recent
from hpsearch.samplers.config import SkoptOptions
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import Value

SEEDS = 2**31
CANDIDATES = 10_000
"""Random points at which the acquisition function is compared."""
LOCAL_SEARCHES = 5
"""Number of best candidates from which a local search starts, for the Gaussian process."""


class SkoptSampler:
    """scikit-optimize's acquisition functions on the joint coordinates.

    Pruned and paused trials enter with their lowest error so far, bad trials with the worst value
    seen. A running trial enters with a constant lie: the mean of the values seen, or its own
    lowest error where this is lower (Ginsbourger, Le Riche and Carraro 2010).

    gp_hedge draws EI, LCB or PI with equal probability. Its gains would be a memory beside the
    history, and a suggestion may depend on the history only.
    """

    redraws = 1

    def __init__(
        self,
        problem: SearchProblem,
        observations: Sequence[Observation],
        name: str,
        options: SkoptOptions,
    ) -> None:
        """Store the history as points and values, reduced to the best and most recent trials."""
        self._cube, self._name, self._options = problem.cube, name, options
        kept = best_and_recent(observations)
        self._points = [self._cube.shares(o.params) for o in kept]
        values = _with_lies(kept)
        self._scale = float(np.mean(values)), float(np.std(values)) or 1.0
        self._values: list[Any] = [(value - self._scale[0]) / self._scale[1] for value in values]
        if options.acquisition == "EIps":
            seconds = _comparable_seconds(kept, max(self._values))
            self._values = list(zip(self._values, seconds, strict=True))

    def draw(self, seed: int) -> dict[str, Value]:
        """Fit the model and return the point with the best acquisition value."""
        return self._cube.params([float(share) for share in self._fitted(seed).ask()])

    def predict(self, params: Mapping[str, Value], seed: int) -> tuple[float, float]:
        """Return the expected validation error of a configuration, and its standard deviation."""
        optimizer = self._fitted(seed)
        model = optimizer.models[-1]
        if self._options.acquisition == "EIps":
            model = model.estimators_[0]  # the other one predicts the logarithm of seconds
        point = optimizer.space.transform([self._cube.shares(params)])
        mean, spread = model.predict(point, return_std=True)
        centre, unit = self._scale
        return centre + unit * float(mean[0]), unit * float(spread[0])

    def _fitted(self, seed: int) -> Any:
        """Return scikit-optimize's optimiser, fitted to the history."""
        from skopt import Optimizer

        climbs = self._name == "skopt-gp"
        seed = seed % SEEDS
        optimizer = Optimizer(
            dimensions=[(0.0, 1.0)] * len(self._cube.names),
            base_estimator=self._process(seed) if climbs else self._forest(seed),
            n_initial_points=0,
            initial_point_generator="random",
            n_jobs=1,
            acq_func=self._options.acquisition,
            acq_func_kwargs={"xi": self._options.xi, "kappa": self._options.kappa},
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
        return optimizer

    def _process(self, seed: int) -> Any:
        """Return scikit-optimize's default process, with one fit of its kernel.

        The default's two additional fits from random starts triple the time of an ask.
        """
        from skopt.learning import GaussianProcessRegressor
        from skopt.learning.gaussian_process.kernels import ConstantKernel, Matern

        count = len(self._cube.names)
        return GaussianProcessRegressor(
            kernel=ConstantKernel(1.0, (0.01, 1000.0))
            * Matern(
                length_scale=np.ones(count), length_scale_bounds=[(0.01, 100.0)] * count, nu=2.5
            ),
            normalize_y=True,
            noise="gaussian",
            n_restarts_optimizer=0,
            random_state=seed,
        )

    def _forest(self, seed: int) -> Any:
        """Return trees with single-point leaves; their disagreement is the uncertainty.

        With scikit-optimize's default leaves of three points the spread inside a leaf counts as
        uncertainty. This draws the search to regions where good and bad points lie together.
        """
        from skopt.learning import ExtraTreesRegressor, RandomForestRegressor

        kind = RandomForestRegressor if self._name == "skopt-rf" else ExtraTreesRegressor
        return kind(
            n_estimators=self._options.trees,
            criterion="squared_error",
            min_samples_leaf=1,
            max_features=1.0,
            bootstrap=self._name == "skopt-rf",
            n_jobs=1,
            random_state=seed,
        )


def _with_lies(observations: Sequence[Observation]) -> list[float]:
    """Return the value of each observation, constant lies included."""
    known = [o.value for o in observations if o.value is not None and o.kind != "running"]
    worst, mean = max(known), float(np.mean(known))

    def value(observation: Observation) -> float:
        seen = mean if observation.value is None else observation.value
        if observation.kind == "bad":
            return worst
        return min(mean, seen) if observation.kind == "running" else seen

    return [value(o) for o in observations]


def _comparable_seconds(observations: Sequence[Observation], highest: float) -> list[float]:
    """Return training times in a unit in which their logarithms exceed all values.

    scikit-optimize takes the lowest of all values and logarithms of times for the best value.
    Expected improvement per second ranks equally in any unit of time. A missing time counts as the
    mean.

    Args:
        observations: Observations with their times in seconds.
        highest: The highest value.
    """
    logs = [math.log(o.seconds) if o.seconds else None for o in observations]
    known = [x for x in logs if x is not None]
    mean = float(np.mean(known)) if known else 0.0
    filled = [mean if x is None else x for x in logs]
    shift = highest + 1.0 - min(filled)
    return [math.exp(x + shift) for x in filled]
