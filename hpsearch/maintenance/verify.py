"""Derives a study's suggestions again, and explains them. Writes nothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hpsearch.driver.requests import REQUESTED
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.maintenance.migrate import MIGRATED
from hpsearch.samplers.ask_process import Asker
from hpsearch.samplers.base import Predicts
from hpsearch.samplers.snapshot import recall
from hpsearch.samplers.suggest import choose_sampler, informed_sampler
from hpsearch.seeding import derive_seed
from hpsearch.storage.optuna_queue import ORIGIN
from hpsearch.storage.trial_files import read_curve
from hpsearch.storage.view import StudyView
from hpsearch.study.code_trust import check_code
from hpsearch.study.plan import StudyPlan
from hpsearch.trial import TrialRecord

Kind = Literal["same", "enqueued", "different", "unknown"]
ANSWER_S = 600.0
"""Longest time for one suggestion."""


@dataclass(frozen=True)
class Verdict:
    """One trial's suggestion, derived again.

    Args:
        trial: Its number.
        kind: same; enqueued: stored as in the study file, or
            asked for while it ran; different; unknown: the history of its
            ask was not stored or cannot be read.
        text: The difference, or the reason why it is unknown; empty otherwise.
    """

    trial: int
    kind: Kind
    text: str = ""


@dataclass(frozen=True)
class Reason:
    """Why a trial was proposed.

    Args:
        proposer: The sampler that decided, or "enqueued".
        seen: Number of trials in the history of its ask, by state.
        lowest: Lowest validation error in that history; None without one.
        predicted: Validation error that the sampler's model predicted here, and its standard
            deviation; None where the sampler has no model of values.
    """

    proposer: str
    seen: Mapping[str, int]
    lowest: float | None
    predicted: tuple[float, float] | None


def verify(plan: StudyPlan, view: StudyView) -> Iterator[Verdict]:
    """Yield a verdict for every trial, by number.

    Raises:
        InputError: Its sampler is a class that this user did not begin, or an earlier version
            learnt from another problem.
        EnvironmentFailure: The sampler failed or took longer than ten minutes for one suggestion.
    """
    config = plan.config
    check_code(view.folder, config)
    if plan.prior is not None:
        plan.prior.check(view.folder.prior)
    asker = Asker(plan.problem, config.sampler, config.seed, plan.prior)
    try:
        for trial in view.trials:
            if {"seen", MIGRATED} & view.attributes[trial.number].keys():
                yield _asked_again(asker, view, trial)
            elif trial.number < len(plan.enqueued):
                yield _compared(trial, plan.enqueued[trial.number][0], "enqueued")
            elif view.attributes[trial.number].get("origin") == REQUESTED:
                wrong = plan.problem.reason(trial.params)
                kind: Kind = "different" if wrong else "enqueued"
                yield Verdict(trial.number, kind, wrong or "")
            else:
                text = (
                    "what its ask had seen is not stored: an older version made it, or the study "
                    "was migrated or built again since"
                )
                yield Verdict(trial.number, "unknown", text)
    finally:
        asker.close()


def _asked_again(asker: Asker, view: StudyView, trial: TrialRecord) -> Verdict:
    try:
        history = history_of(view, trial.number)
        asker.ask(history, trial.number)
        params = asker.answer(ANSWER_S)
    except InputError as error:
        return Verdict(trial.number, "unknown", str(error))
    if params is None:
        raise EnvironmentFailure(
            f"trial {trial.number}: no suggestion within {ANSWER_S:g} s; run it again when the "
            "machine is less busy"
        )
    return _compared(trial, params, "same")


def _compared(trial: TrialRecord, params: Mapping[str, Any], kind: Kind) -> Verdict:
    for name in [*params, *(n for n in trial.params if n not in params)]:
        derived, stored = params.get(name), trial.params.get(name)
        if not _is_same(derived, stored):
            return Verdict(
                trial.number, "different", f"{name}: derived {derived}, stored {stored}"
            )
    return Verdict(trial.number, kind)


def _is_same(derived: Any, stored: Any) -> bool:
    """Compare two values, numbers to nine digits: processors round differently."""
    if isinstance(derived, float) and isinstance(stored, float):
        return math.isclose(derived, stored, rel_tol=1e-9)
    return bool(derived == stored)


def history_of(view: StudyView, number: int) -> list[TrialRecord]:
    """Return the history of the ask for a trial.

    Raises:
        InputError: It was not stored, or cannot be read.
    """
    if MIGRATED in view.attributes[number]:
        raise InputError(f"trial {number}: it was proposed before the study's space was changed")
    seen: Any = view.attributes[number].get("seen")
    if not isinstance(seen, Mapping):
        raise InputError("what its ask had seen is not stored")
    opened = [int(n) for n in seen.get("open", {}) if str(n).isdigit()]
    curves = {n: read_curve(view.folder.trial(n).epochs).epochs for n in opened}
    return recall(seen, view.trials, curves, view.config.goals)


def explain(plan: StudyPlan, view: StudyView, number: int) -> Reason:
    """Return why a trial was proposed.

    Raises:
        InputError: The history of its ask was not stored, or cannot be read.
    """
    origin = str(view.attributes[number].get("origin", "unknown"))
    config = plan.config
    if origin in (ORIGIN, REQUESTED) or number < len(plan.enqueued):
        return Reason(origin, {}, None, None)
    check_code(view.folder, config)
    history = history_of(view, number)
    acting = choose_sampler(plan.problem, config.sampler, history, plan.prior)
    sampler = informed_sampler(plan.problem, acting, history, number, plan.prior)
    predicted = None
    if isinstance(sampler, Predicts):
        seed = derive_seed(config.seed, "suggest", number, 0)
        predicted = sampler.predict(view.trials[number].params, seed)
    lowest = min((t.value for t in history if t.value is not None), default=None)
    return Reason(acting.name, dict(Counter(t.state for t in history)), lowest, predicted)
