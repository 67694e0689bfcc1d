"""Text of `hpsearch search --dry-run`: the plan, and its time on this machine."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from hpsearch.app.command import find_program, in_words
from hpsearch.app.executors import Workplace
from hpsearch.app.watch import forecast_line
from hpsearch.driver.stopping import forecast_study, why_over
from hpsearch.execution.devices import default_workers
from hpsearch.results.best import best_in_words
from hpsearch.samplers.config import SamplerConfig
from hpsearch.samplers.suggest import suggest
from hpsearch.space.resource import TRAINING_PASSES, epoch_cost
from hpsearch.storage.engine import Database
from hpsearch.storage.view import read_study
from hpsearch.study.config import Budget, StudyConfig
from hpsearch.study.plan import StudyPlan
from hpsearch.trial import Value
from hpsearch.wording import count, long_time, percent

TYPICAL = 64
"""Number of random configurations that a study's cost is estimated from."""
LONG_S = 86_400.0
"""Longest trial without a warning."""
CORE = 3e10
"""Multiply-adds per second that a core reaches at best, for an estimate without a measurement."""


def describe(plan: StudyPlan, workplace: Workplace, notices: Sequence[str]) -> list[str]:
    """Return what a search would do, without starting it."""
    config = plan.config
    held = len(plan.space.parameters) - len(plan.problem.free)
    learns = []
    if config.warm_start is not None:
        learns.append(
            f"learns from {config.warm_start.study}: from all of its trials if data and settings "
            "are the same, else its best configuration is tried first"
        )
    shared = Database(plan.folder, config.storage).is_server
    begun = plan.folder.study_file if shared else plan.folder.database
    return [
        f"{config.name} in {plan.folder.root}: {config.description}",
        f"{count(len(plan.space.parameters), 'parameter')}{f' ({held} frozen)' if held else ''}, "
        f"sampler {config.sampler.name}, pruner {config.pruner.name}, {workplace.words}, "
        f"seed {config.seed}",
        *(f"NOTE: {text}" for text in notices),
        *_network(plan),
        *learns,
        f"{_length(config)}; budget: {_budget(config.budget)}",
        *(_so_far(plan) if begun.exists() else _expected(plan, workplace)),
    ]


def _network(plan: StudyPlan) -> list[str]:
    if plan.config.trainer is not None:
        return [f"program {find_program(plan.config.trainer)}, in {plan.config.trainer.directory}"]
    return [f"feasible share of the filter sizes: {percent(plan.problem.feasible_share())}"]


def _length(config: StudyConfig) -> str:
    if config.trial is None:
        return in_words(config)
    images = config.trial.images_per_epoch
    return f"{count(config.trial.max_epochs, 'epoch')} of {images} images at most"


def _budget(budget: Budget) -> str:
    limits = {"trials": budget.trials, "hours": budget.hours, "multiply-adds": budget.compute}
    parts = [
        f"{limit:g} {name[:-1] if limit == 1 else name}"
        for name, limit in limits.items()
        if limit is not None
    ]
    return ", ".join([*parts, *([f"or {budget.stop_when}"] if budget.stop_when else [])])


def _so_far(plan: StudyPlan) -> list[str]:
    """Return the state of a begun study and the rest of its budget."""
    view = replace(read_study(plan.folder), config=plan.config)
    over, left = why_over(view), forecast_line(forecast_study(view))
    rest = f"over: {over}" if over else left or "too few for a forecast"
    done = f"{count(len(view.trials), 'trial')} so far, {rest}"
    return [done, best_in_words(view)]


def too_long(plan: StudyPlan, workplace: Workplace) -> list[str]:
    """Return a warning if one trial of the study's own configuration takes days on a CPU."""
    config = plan.config.siamese
    seconds = epoch_cost(config) * config.max_epochs / (CORE * workplace.threads)
    if workplace.device != "cpu" or seconds < LONG_S:
        return []
    return [
        f"on a CPU a whole trial of {plan.config.name} takes {long_time(seconds)} at best; "
        "--dry-run measures this machine"
    ]


def typical_trials(plan: StudyPlan) -> list[tuple[float, dict[str, Value]]]:
    """Return the multiply-adds and parameters of random whole trials, the cheapest first."""
    drawn = []
    for number in range(TYPICAL):
        params = suggest(plan.problem, SamplerConfig(name="random"), [], plan.config.seed, number)
        drawn.append((float(plan.resource.cost(params) * plan.resource.length(params)), params))
    return sorted(drawn, key=lambda one: one[0])


def _expected(plan: StudyPlan, workplace: Workplace) -> list[str]:
    """Return the cost of a trial, and the time of a trial and the study on this machine."""
    if plan.config.trainer is not None:
        return ["its time is known after the first trials; hpsearch check runs the program once"]
    drawn = typical_trials(plan)
    low, middle, high = statistics.quantiles([cost for cost, _ in drawn], n=4)
    half = f"{low:.2g} to {high:.2g} for half of them"
    cost = f"a whole trial costs about {middle:.2g} multiply-adds ({half})"
    if workplace.device is None:
        return [f"{cost}; its time is known after the first trials"]
    from hpsearch.app.pace import image_seconds

    config = plan.config.siamese.with_parameters(dict(drawn[len(drawn) // 2][1]))
    an_image = image_seconds(config, workplace.device, workplace.threads)
    pace = an_image / (TRAINING_PASSES * config.shape().multiply_adds)
    trial = middle * pace
    slots = workplace.slots
    if workplace.device == "cuda":  # what trials gain by sharing a card is not known
        slots = min(slots, default_workers("cuda"))
    lines = [
        cost,
        f"on this machine ({workplace.device}) a whole trial takes {long_time(trial)}, estimated "
        f"from a few steps; {_whole(plan.config.budget, drawn, pace, slots)}",
    ]
    if trial > LONG_S and workplace.device == "cpu":
        lines.append(
            f"NOTE: {plan.config.name} is too large for this processor: use a GPU (--device "
            "cuda), or search a smaller study, e.g. quickstart"
        )
    return lines


def _whole(
    budget: Budget, drawn: Sequence[tuple[float, dict[str, Value]]], pace: float, slots: int
) -> str:
    """Return the time of the budget, or its number of trials, without pruning."""
    mean = statistics.fmean(cost for cost, _ in drawn)
    seconds = []
    if budget.trials is not None:
        seconds.append(mean * pace * budget.trials / min(slots, budget.trials))
    if budget.compute is not None:
        seconds.append(budget.compute * pace / slots)
    if budget.hours is not None and (not seconds or budget.hours * 3600 < min(seconds)):
        held = budget.hours * 3600 * slots / (mean * pace)
        hours = "hour is" if budget.hours == 1 else "hours are"
        enough = f"the budget's {budget.hours:g} {hours} enough for about {held:.2g} trials"
        return f"{enough}, and for more with pruning"
    return f"the whole study takes {long_time(min(seconds))}, and less with pruning"
