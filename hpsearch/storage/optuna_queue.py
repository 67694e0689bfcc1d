"""Starts the trials that Optuna's own `enqueue_trial` put into a study.

Parameters that the call left open are drawn from the study's seed and the trial's number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from hpsearch.errors import InputError
from hpsearch.samplers.config import SamplerConfig
from hpsearch.samplers.suggest import REDRAWS, suggest
from hpsearch.seeding import derive_seed, trial_seed
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import TrialRecord, Value

if TYPE_CHECKING:
    from hpsearch.storage.database import StudyRecord
    from hpsearch.study.plan import StudyPlan

ORIGIN = "enqueued with Optuna"
FIXED = "fixed_params"
"""Optuna's name for the parameters of an enqueued trial."""


def enter_waiting(plan: StudyPlan, record: StudyRecord) -> list[TrialRecord]:
    """Give the enqueued trials of a record their parameters, and start them under their numbers.

    Args:
        plan: The study.
        record: Its database, loaded; each trial is one transaction.

    Returns:
        The trials as the search sees them: running, without an epoch.

    Raises:
        InputError: A trial's parameters are outside the study's space, or do not fit together.
        EnvironmentFailure: The database failed.
    """
    seed, chosen = plan.config.seed, dict[int, dict[str, Value]]()
    for trial in record.enqueued:
        found = _completed(plan.problem, trial, seed)
        if isinstance(found, str):
            raise InputError(
                f"{record.database}: trial {trial.number}, {ORIGIN}: {found}; {plan.folder.repair}"
                " takes it out of the queue"
            )
        chosen[trial.number] = found
    entered, distributions = [], plan.space.distributions()
    for number, params in chosen.items():
        figures = plan.problem.costs(params)
        entered.append(TrialRecord(number, "running", params, figures=figures))
        attributes: dict[str, Any] = {"origin": ORIGIN, "seed": trial_seed(seed, number)}
        attributes |= {"figures": figures} if figures else {}
        record.start(entered[-1], distributions, attributes)
        record.notice(f"trial {number} was {ORIGIN}: it is trained as given, the rest drawn")
    return entered


def cannot_run(problem: SearchProblem, trial: FrozenTrial, seed: int) -> bool:
    """Return whether an enqueued trial can never be trained in this study."""
    return isinstance(_completed(problem, trial, seed), str)


def _completed(problem: SearchProblem, trial: FrozenTrial, seed: int) -> dict[str, Value] | str:
    """Return a trial's parameters, or the reason why there are none.

    Parameters that the trial leaves open are drawn so that all fit together.
    """
    given: Any = trial.system_attrs.get(FIXED, {})
    if not isinstance(given, Mapping):
        return "its parameters cannot be read"
    known, fixed = problem.space.parameters, dict[str, Value]()
    for name, value in {**trial.params, **given}.items():
        if name not in known:
            return f"{name} is not a parameter of search space {problem.space.name}"
        if not known[name].contains(value):
            return f"{name} {value!r} is outside {known[name].describe()}"
        fixed[name] = known[name].nearest(name, value)
    random, reason = SamplerConfig(name="random"), None
    for attempt in range(REDRAWS):
        drawn = suggest(problem, random, [], derive_seed(seed, "enqueued", attempt), trial.number)
        params = {name: fixed.get(name, drawn[name]) for name in known}
        reason = problem.reason(params)
        if reason is None:
            return params
    return f"with {', '.join(fixed)} as given {reason}"
