"""A genetic algorithm for several objectives, by Optuna.

Reference: Deb et al. (2002), "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II".
"""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpsearch.samplers.base import Observation, values_with_worst
from hpsearch.samplers.config import Nsga2Options
from hpsearch.samplers.optuna_study import SEEDS, OptunaStudy, frozen
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import Value

FEASIBLE = 0.0


class Nsga2Sampler:
    """Optuna's NSGA-II on the joint coordinates.

    Optuna notes each trial's generation in its database. Here it follows from the history: the
    first `population` trials with a value are generation 0, the next ones generation 1. So the
    same history gives the same suggestion in any process. Pruned and paused trials enter with
    their lowest error, bad ones with the worst values and a broken constraint.
    """

    redraws = 64

    def __init__(
        self, problem: SearchProblem, observations: Sequence[Observation], options: Nsga2Options
    ) -> None:
        """Enter the history."""
        self._population = options.population
        distributions = problem.coordinate_distributions()
        generation = optuna.samplers.NSGAIISampler._get_generation_key()
        some_bad = any(o.kind == "bad" for o in observations)
        trials = list[FrozenTrial]()
        for one, values in zip(
            observations, values_with_worst(problem, observations), strict=True
        ):
            if values is None:
                continue
            trial = frozen(problem.encode(one.params), distributions, TrialState.COMPLETE, values)
            trial.system_attrs[generation] = len(trials) // self._population
            if some_bad:
                excess = (one.excess or 1.0) if one.kind == "bad" else FEASIBLE
                trial.set_constraint("feasible", excess)
            trials.append(trial)
        self._study = OptunaStudy(problem, trials)

    def draw(self, seed: int) -> dict[str, Value]:
        """Return a child of two good trials; of the first generation a random point."""
        return self._study.ask(
            optuna.samplers.NSGAIISampler(population_size=self._population, seed=seed % SEEDS)
        )
