"""An Optuna study in memory that holds a history in coordinates, and one ask of it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpsearch.trial import Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

    from hpsearch.space.problem import SearchProblem

SEEDS = 2**32
"""Optuna takes seeds below it."""


class _Told(FrozenTrial):
    """A trial that a storage in memory takes as it is.

    It would copy each of a trial's distributions, which nothing changes: two thirds of the time of
    an ask after 1,000 trials.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenTrial:
        """Share all but the trial itself."""
        return copy.copy(self)


class OptunaStudy:
    """Asks an Optuna sampler about a fixed history."""

    def __init__(self, problem: SearchProblem, trials: Sequence[FrozenTrial]) -> None:
        """Fill a study with the trials; their order is the order of the history."""
        self._problem = problem
        self._distributions = problem.coordinate_distributions()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(
            direction="minimize",
            storage=optuna.storages.InMemoryStorage(),
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=optuna.pruners.NopPruner(),
        )
        self._study.add_trials(trials)

    def ask(self, sampler: BaseSampler) -> dict[str, Value]:
        """Return the parameters that a fresh sampler proposes; the study stays as it was told."""
        self._study.sampler = sampler
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._study.ask(self._distributions)
            self._study.tell(trial, state=TrialState.FAIL)  # else it would count as pending
        return self._problem.decode(trial.params)


def frozen(
    point: Mapping[str, Value],
    distributions: Mapping[str, BaseDistribution],
    state: TrialState,
    value: float | None,
    **details: Any,
) -> FrozenTrial:
    """Return one trial in Optuna's form; details are intermediate_values or constraints."""
    trial = optuna.trial.create_trial(
        state=state,
        value=value,
        params=dict(point),
        distributions=dict(distributions),
        **details,
    )
    trial.__class__ = _Told
    return trial
