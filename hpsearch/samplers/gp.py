"""Gaussian process with expected improvement, by Optuna. The only sampler that imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from hpsearch.samplers.base import Observation, best_and_recent, values_with_worst
from hpsearch.samplers.config import GpOptions
from hpsearch.samplers.optuna_study import SEEDS, OptunaStudy, frozen
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import Value


class GpSampler:
    """Optuna's Gaussian process on the joint coordinates.

    Optuna's process learns from complete and running trials only. So pruned and paused trials
    enter as complete with their lowest error, and bad trials with the worst value seen. Running
    trials stay pending: the improvement is averaged over their possible results. With several
    objectives each has a process, and the expected gain of hypervolume decides.
    """

    redraws = 2

    def __init__(
        self, problem: SearchProblem, observations: Sequence[Observation], options: GpOptions
    ) -> None:
        """Enter the history, reduced to the best and the most recent trials."""
        self._options = options
        distributions = problem.coordinate_distributions()
        kept = best_and_recent(observations)
        values = values_with_worst(problem, kept)
        trials = [
            frozen(problem.encode(o.params), distributions, TrialState.RUNNING, None)
            if value is None
            else frozen(problem.encode(o.params), distributions, TrialState.COMPLETE, value)
            for o, value in zip(kept, values, strict=True)
        ]
        self._problem = problem
        self._values = [value[0] for value in values if value is not None]
        self._study = OptunaStudy(problem, trials)

    def draw(self, seed: int) -> dict[str, Value]:
        """Return the point with the highest expected improvement."""
        return self._study.ask(self._process(seed))

    def predict(self, params: Mapping[str, Value], seed: int) -> tuple[float, float]:
        """Return the expected validation error of a configuration, and its standard deviation.

        Reads Optuna's fitted process and undoes its scaling; Optuna has no public function for
        this.
        """
        from optuna._gp.search_space import SearchSpace

        sampler = self._process(seed)
        self._study.ask(sampler)
        process: Any = sampler._gprs_cache_list[0] if sampler._gprs_cache_list else None
        # Optuna orders the joint space by name.
        distributions = dict(sorted(self._problem.coordinate_distributions().items()))
        point = frozen(self._problem.encode(params), distributions, TrialState.COMPLETE, 0.0)
        place = SearchSpace(distributions).get_normalized_params([point])
        mean, variance = process.posterior(process._X_train.new_tensor(place))
        centre, unit = float(np.mean(self._values)), float(np.std(self._values)) or 1.0
        expected = centre - unit * float(mean[0])  # it maximises the negative
        return expected, unit * float(variance[0]) ** 0.5

    def _process(self, seed: int) -> optuna.samplers.GPSampler:
        seed = seed % SEEDS
        return optuna.samplers.GPSampler(
            n_startup_trials=0,
            deterministic_objective=not self._options.noise,
            independent_sampler=optuna.samplers.RandomSampler(seed=seed),
            warn_independent_sampling=False,
            seed=seed,
        )
