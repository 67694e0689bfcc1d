"""Tree-structured Parzen estimator, multivariate, by Optuna.

Reference: Watanabe (2023), "Tree-Structured Parzen Estimator: Understanding Its Algorithm
Components and Their Roles for Better Empirical Performance".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from hpsearch.samplers.base import Observation, expected_end
from hpsearch.samplers.config import TpeOptions
from hpsearch.samplers.optuna_study import SEEDS, OptunaStudy, frozen
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import Value


class TpeSampler:
    """Optuna's TPE on the joint coordinates.

    Complete trials rank by value. Paused trials, and running ones that have ended an epoch, rank
    among them by the final error expected of them. Pruned trials follow, ordered by their last
    epoch and lowest error. Bad trials are last. A running trial without an epoch counts among the
    worse trials (constant liar), so that workers spread. An unfinished trial with a good curve
    must not be counted there: it would push the search off the optimum.

    With several objectives complete trials rank by non-domination and hypervolume. Optuna then
    knows no pruned trials: they enter with what they had reached.
    """

    redraws = 64

    def __init__(
        self, problem: SearchProblem, observations: Sequence[Observation], options: TpeOptions
    ) -> None:
        """Enter the history."""
        self._options = options
        distributions = problem.coordinate_distributions()
        enter = _trial_of_several if problem.goals.several else _trial
        trials = [
            enter(one, problem.encode(one.params), observations, distributions)
            for one in observations
        ]
        self._study = OptunaStudy(problem, trials)

    def draw(self, seed: int) -> dict[str, Value]:
        """Return the candidate with the highest expected improvement."""
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
    point: Mapping[str, Value],
    others: Sequence[Observation],
    distributions: dict[str, BaseDistribution],
) -> FrozenTrial:
    if observation.kind == "complete":
        return frozen(point, distributions, TrialState.COMPLETE, observation.value)
    if observation.kind == "bad":
        return _bad(observation, point, distributions)
    if observation.value is None:
        return frozen(point, distributions, TrialState.RUNNING, None)
    if observation.kind != "pruned":
        expected = expected_end(observation, others)
        if expected is not None:
            return frozen(point, distributions, TrialState.COMPLETE, expected)
    last = max(observation.curve)
    reached = {last: observation.curve[last]}  # Optuna ranks pruned trials by the last epoch only
    return frozen(point, distributions, TrialState.PRUNED, None, intermediate_values=reached)


def _trial_of_several(
    observation: Observation,
    point: Mapping[str, Value],
    others: Sequence[Observation],
    distributions: dict[str, BaseDistribution],
) -> FrozenTrial:
    rest = observation.rest
    if observation.kind == "bad":
        return _bad(observation, point, distributions)
    if observation.value is None or rest is None:
        return frozen(point, distributions, TrialState.RUNNING, None)
    error = observation.value
    if observation.kind in ("paused", "running"):
        expected = expected_end(observation, others)
        error = error if expected is None else expected
    return frozen(point, distributions, TrialState.COMPLETE, (error, *rest))


def _bad(
    observation: Observation,
    point: Mapping[str, Value],
    distributions: dict[str, BaseDistribution],
) -> FrozenTrial:
    broken = {"constraint": observation.excess} if observation.excess > 0 else {"trainable": 1.0}
    state = TrialState.PRUNED
    return frozen(point, distributions, state, None, constraints=broken)
