"""The configuration that a search would hand over, and how good it truly is.

A search is judged by it, not by its luckiest observation. Knows no surrogate and no driver.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hpsearch.samplers import SamplerConfig
from hpsearch.samplers.merit import by_merit, expected_errors
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import TrialRecord, best_trial

Pick = Callable[[Sequence[TrialRecord]], int | None]
"""Returns the number of the trial that a search would hand over, None before there is one."""
ALWAYS_WRONG = 1.0
"""The error of a configuration that cannot be trained, and of a search before its first trial."""
SHARES = ("0.25", "0.5", "1")
"""Shares of the budget after which the pick is judged."""


@dataclass(frozen=True)
class Look:
    """What was known when a trial was asked for.

    Args:
        seconds: Simulated time.
        history: All trials so far.
    """

    seconds: float
    history: tuple[TrialRecord, ...]


def best_number(history: Sequence[TrialRecord]) -> int | None:
    """Return the trial that a study without a model hands over: the one that export takes."""
    best = best_trial(history)
    return best.number if best else None


def sampler_pick(problem: SearchProblem, sampler: SamplerConfig) -> Pick:
    """Return the pick of a sampler: the trial that `hpsearch export` would take."""

    def pick(history: Sequence[TrialRecord]) -> int | None:
        first = next(iter(by_merit(history, expected_errors(problem, sampler, history))), None)
        return None if first is None else first.number

    return pick


def judge(
    looks: Sequence[Look],
    truths: Mapping[int, float],
    pick: Pick,
    goals: Mapping[str, float],
    horizon_s: float,
) -> dict[str, Any]:
    """Return when a search's pick is as good as each goal, and how good it is on the way.

    A pick costs a model as much as an ask, so it is made only where its answer counts: where
    some trial so far is as good as a goal not yet reached, and at the shares of the budget.

    Args:
        looks: What was known, in the order of time.
        truths: Lowest error without noise of each trial's configuration, by number.
        pick: Says which trial is handed over.
        goals: Errors without noise, by name.
        horizon_s: The budget in simulated seconds.

    Returns:
        time_to: simulated seconds by goal, None if it was not reached; pick_error: the pick's
        error without noise by share of the budget. At its end the trials begun within it count.
    """

    @cache
    def error(k: int) -> float:
        number = pick(looks[k].history)
        return ALWAYS_WRONG if number is None else min(truths[number], ALWAYS_WRONG)

    def time_to(goal: float) -> float | None:
        for k, look in enumerate(looks):
            if any(truths[t.number] <= goal for t in look.history) and error(k) <= goal:
                return round(look.seconds, 2)
        return None

    def error_after(share: str) -> float:
        until = math.inf if share == "1" else float(share) * horizon_s
        within = (k for k, look in enumerate(looks) if look.seconds <= until)
        return round(error(max(within, default=0)), 6)  # one trial may take longer than a share

    return {
        "time_to": {name: time_to(goal) for name, goal in goals.items()},
        "pick_error": {share: error_after(share) for share in SHARES},
    }
