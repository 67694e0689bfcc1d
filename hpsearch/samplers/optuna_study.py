"""An Optuna study in memory that holds a history in coordinates."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from hpsearch.space.problem import SearchProblem
from hpsearch.trial import Value

SEEDS = 2**32
"""Optuna's seeds are smaller than this."""


class _SharedTrial(FrozenTrial):
    """A trial whose deep copy shares its distributions.

    Optuna's in-memory storage copies them, although nothing changes them: two thirds of the time
    of an ask after 1,000 trials.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenTrial:
        """Copy only the trial itself."""
        return copy.copy(self)


class OptunaStudy:
    """Asks Optuna samplers for suggestions from a fixed history."""

    def __init__(self, problem: SearchProblem, trials: Sequence[FrozenTrial]) -> None:
        """Add the trials to a study, in the order of the history; all objectives are minimised."""
        self._problem = problem
        self._distributions = problem.coordinate_distributions()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(
            directions=["minimize"] * max(1, len(problem.goals.objectives)),
            storage=optuna.storages.InMemoryStorage(),
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=optuna.pruners.NopPruner(),
        )
        self._study.add_trials(trials)

    def ask(self, sampler: BaseSampler) -> dict[str, Value]:
        """Return the parameters that a new sampler proposes; the study does not change."""
        self._study.sampler = sampler
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._study.ask(self._distributions)
            self._study.tell(trial, state=TrialState.FAIL)  # otherwise it would count as pending
        return self._problem.decode(trial.params)


def frozen(
    point: Mapping[str, Value],
    distributions: Mapping[str, BaseDistribution],
    state: TrialState,
    value: float | Sequence[float] | None,
    constraints: Mapping[str, float] | None = None,
    intermediate_values: Mapping[int, float] | None = None,
) -> FrozenTrial:
    """Return an Optuna trial.

    Optuna's `create_trial` would also look for distributions of older versions and check each
    value, which adding the trial to a study does again: a quarter of the time of an ask.
    """
    now = datetime.now()
    values = [value] if isinstance(value, int | float) else value
    trial = _SharedTrial(
        number=-1, trial_id=-1, state=state, value=None, values=values, datetime_start=now,
        datetime_complete=now if state.is_finished() else None, params=dict(point),
        distributions=dict(distributions), user_attrs={}, system_attrs={},
        intermediate_values=dict(intermediate_values or {}),
    )  # fmt: skip
    for name, violation in (constraints or {}).items():
        trial.set_constraint(name, violation)
    return trial
