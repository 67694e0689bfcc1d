"""scikit-optimize behind our protocol: Gaussian process, random forest, extra trees.

It works in the unit cube, so its steps and numpy numbers never reach a trial. Its gradient
boosting is left out: with this scikit-learn it raises.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.samplers.base import Observation, best_and_recent
from hpsearch.trial import Value

if TYPE_CHECKING:
    from hpsearch.samplers.config import SamplerName, SkoptOptions
    from hpsearch.space.problem import SearchProblem

SEEDS = 2**31
CANDIDATES = 10_000
"""Random points whose acquisition value is compared."""
LOCAL_SEARCHES = 5
"""The best candidates from which the Gaussian process climbs on."""


class SkoptSampler:
    """scikit-optimize's acquisition functions on the joint coordinates.

    Pruned and paused trials enter with their lowest error so far, bad ones with the worst value
    seen. Pending trials enter with a lie: the mean of the values seen, or their own lowest error
    where that is lower (constant liar; Ginsbourger, Le Riche and Carraro 2010).

    gp_hedge draws EI, LCB or PI, each as likely: the gains it would weigh them by are a memory
    beside the history, which a suggestion may not depend on.
    """

    redraws = 1

    def __init__(
        self,
        problem: SearchProblem,
        observations: Sequence[Observation],
        name: SamplerName,
        options: SkoptOptions,
    ) -> None:
        """Note the history, thinned to the best and the last trials, as points and values."""
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
        """Fit the model and return the point of the best acquisition value."""
        proposed: list[Any] = self._fitted(seed).ask()
        return self._cube.params([float(share) for share in proposed])

    def predict(self, params: Mapping[str, Value], seed: int) -> tuple[float, float]:
        """Return the validation error expected of parameters, and its standard deviation."""
        optimizer = self._fitted(seed)
        model = optimizer.models[-1]
        if self._options.acquisition == "EIps":
            model = model.estimators_[0]  # the other one predicts the logarithm of seconds
        point = optimizer.space.transform([self._cube.shares(params)])
        mean, spread = model.predict(point, return_std=True)
        centre, unit = self._scale
        return centre + unit * float(mean[0]), unit * float(spread[0])

    def _fitted(self, seed: int) -> Any:
        """Return scikit-optimize's optimiser, told the history."""
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
        """Return scikit-optimize's default process, its kernel fitted once.

        The two more fits of its default, from random beginnings, triple the time of an ask.
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
        """Return trees grown to single points, whose disagreement is the uncertainty.

        scikit-optimize's default leaves of three points count the spread inside a leaf as
        uncertainty, and so draw the search to where good and bad points lie together.
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
    """Return the value of each observation, lies among them."""
    known = [o.value for o in observations if o.value is not None and o.kind != "running"]
    worst, mean = max(known), float(np.mean(known))
    return [_value(o, worst, mean) for o in observations]


def _value(observation: Observation, worst: float, mean: float) -> float:
    if observation.kind == "bad":
        return worst
    if observation.kind == "running":
        return mean if observation.value is None else min(mean, observation.value)
    return mean if observation.value is None else observation.value


def _comparable_seconds(observations: Sequence[Observation], highest: float) -> list[float]:
    """Return training times in a unit that leaves scikit-optimize's best value a value.

    It takes the lowest of all values and logarithms of times for the best value. Expected
    improvement per second ranks alike in any unit of time, so one is chosen in which every
    logarithm lies above every value. Where no time was measured, the mean is taken.

    Args:
        observations: What was measured.
        highest: The highest value.
    """
    logs = [math.log(o.seconds) if o.seconds else None for o in observations]
    known = [x for x in logs if x is not None]
    mean = float(np.mean(known)) if known else 0.0
    filled = [mean if x is None else x for x in logs]
    shift = highest + 1.0 - min(filled)
    return [math.exp(x + shift) for x in filled]
