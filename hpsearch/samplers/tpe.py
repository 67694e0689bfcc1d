"""Tree-structured Parzen estimator, multivariate, by Optuna.

Reference: Watanabe (2023), "Tree-Structured Parzen Estimator: Understanding Its Algorithm
Components and Their Roles for Better Empirical Performance".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpsearch.samplers.base import Observation, expected_end
from hpsearch.samplers.optuna_study import SEEDS, OptunaStudy, frozen
from hpsearch.trial import Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from hpsearch.samplers.config import TpeOptions
    from hpsearch.space.problem import SearchProblem


class TpeSampler:
    """Optuna's TPE on the joint coordinates.

    Complete trials rank by value; paused ones, and running ones with an epoch behind them, among
    them by the error they are expected to end with; pruned ones after them, by how far they came
    and their lowest error so far; bad ones last. A running trial without an epoch lies among
    the worse trials (the constant liar), so that workers spread. (Filed there with a good curve, an
    unfinished one would push the search off the optimum.)
    """

    redraws = 64

    def __init__(
        self,
        problem: SearchProblem,
        observations: Sequence[Observation],
        options: TpeOptions,
    ) -> None:
        """Tell the history."""
        self._options = options
        distributions = problem.coordinate_distributions()
        trials = [_trial(one, observations, distributions) for one in observations]
        self._study = OptunaStudy(problem, trials)

    def draw(self, seed: int) -> dict[str, Value]:
        """Return the best of the candidates by expected improvement."""
        return self._study.ask(
            optuna.samplers.TPESampler(
                n_startup_trials=0,
                n_ei_candidates=self._options.candidates,
                multivariate=True,
                group=False,
                constant_liar=True,
                seed=seed % SEEDS,
            )
        )


def _trial(
    observation: Observation,
    others: Sequence[Observation],
    distributions: dict[str, BaseDistribution],
) -> FrozenTrial:
    point = observation.point
    if observation.kind == "complete":
        return frozen(point, distributions, TrialState.COMPLETE, observation.value)
    if observation.kind == "bad":
        violated = {"trainable": 1.0}
        return frozen(point, distributions, TrialState.PRUNED, None, constraints=violated)
    if observation.value is None:
        return frozen(point, distributions, TrialState.RUNNING, None)
    if observation.kind != "pruned":
        expected = expected_end(observation, others)
        if expected is not None:
            return frozen(point, distributions, TrialState.COMPLETE, expected)
    last = max(observation.curve)
    reached = {last: observation.curve[last]}  # all that pruned trials are ranked by
    return frozen(point, distributions, TrialState.PRUNED, None, intermediate_values=reached)
