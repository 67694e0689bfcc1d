"""Forecasts the rest of a search from its past trials: time, number of trials and gain.

Every function is a pure function of the history. Forecasts of time are only shown, because seconds
differ from run to run. The expected gain depends on validation errors alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpsearch.pruners.resource import Resource
from hpsearch.trial import TrialRecord, best_trial

RECENT = 50
"""Number of last finished trials that represent the next ones, because the sampler learns."""
ENOUGH = 20
"""Complete trials from which on a gain is forecast."""
GRID = 400


@dataclass(frozen=True)
class Forecast:
    """The rest of a search.

    Args:
        trials: New trials until the budget is spent; None while unknown.
        seconds: Time until the budget is spent and the last trials have ended, with the present
            number of workers; None while unknown.
        gain: Expected fall of the best validation error by then, rather too high than too low;
            None while unknown.
        standard_error: Standard error of the best validation error; None without one.
    """

    trials: int | None
    seconds: float | None
    gain: float | None
    standard_error: float | None


def time_model(history: Sequence[TrialRecord], resource: Resource) -> tuple[float, float]:
    """Fit the seconds of an epoch, by least squares of the relative errors.

    Args:
        history: All trials; those with `seconds` are used, running ones too. At least one.
        resource: Counts multiply-adds.

    Returns:
        A fixed part, and the part of each multiply-add; neither is negative.
    """
    from scipy.optimize import nnls

    timed = [t for t in history if t.seconds and t.values]
    costs = np.array([resource.cost(t.params) for t in timed], float)
    seconds = np.array([(t.seconds or 0.0) / len(t.values) for t in timed])
    if len({*costs.tolist()}) == 1:
        return 0.0, float(seconds.mean() / costs[0])
    scale = costs.mean()
    design = np.stack([np.ones_like(costs), costs / scale], axis=1) / seconds[:, None]
    (fixed, slope), _ = nnls(design, np.ones_like(seconds))
    return float(fixed), float(slope / scale)


def remaining_seconds(
    history: Sequence[TrialRecord], resource: Resource, new_trials: int, busy: float
) -> float | None:
    """Return the seconds until the new trials and all unfinished ones have ended.

    Args:
        history: All trials; finished ones show how long a trial lives before it is pruned.
        resource: The lengths of trials.
        new_trials: Number of trials that will be started.
        busy: Average number of trials that train at the same time.

    Returns:
        None before two trials have ended.
    """
    ended = [t for t in history if t.finished and t.values and t.seconds]
    if len(ended) < 2:
        return None
    fixed, per_multiply_add = time_model(history, resource)
    rests = []
    for trial in (t for t in history if t.state == "running"):
        done = len(trial.values)
        longer = [len(t.values) - done for t in ended if len(t.values) > done]
        own = resource.length(trial.params) - done
        rest = min(float(np.mean(longer)), own) if longer else own
        rests.append(max(0.0, rest) * (fixed + per_multiply_add * resource.cost(trial.params)))
    seconds = new_trials * float(np.mean([t.seconds for t in ended if t.seconds]))
    # One worker trains one trial: the last one is not faster when other workers are free.
    return max((seconds + sum(rests)) / max(busy, 1e-9), *rests, 0.0)


def expected_gain(history: Sequence[TrialRecord], new_trials: float) -> float | None:
    """Return how far the best validation error is expected to fall in the next trials.

    The model assumes that the next trials are like the last `RECENT`. Among those it assumes an
    exponential distribution of the distance below the median of the complete ones. Real errors
    have a shorter tail, so the forecast is rather too high.

    Returns:
        At least 0; None before `ENOUGH` trials are complete.

    Reference:
        Pickands (1975), "Statistical Inference Using Extreme Order Statistics": peaks over a
        threshold, with shape 0.
    """
    best = best_trial(history)
    finished = [t for t in history if t.finished][-RECENT:]
    values = np.array([t.value for t in finished if t.state == "complete" and t.value is not None])
    complete = sum(t.state == "complete" for t in history)
    if best is None or best.value is None or complete < ENOUGH or not len(values):
        return None
    threshold = float(np.median(values))
    below = threshold - values[values < threshold]
    if not len(below) or new_trials <= 0:
        return 0.0
    scale, share = float(below.mean()), len(below) / len(finished)
    improvement = np.linspace(0, best.value, GRID)
    chance = share * np.exp(-(threshold - best.value + improvement) / scale)
    # E[best - min(best, X1..Xk)] is the integral over t of P(min < best - t).
    return float(np.trapezoid(1 - (1 - chance) ** new_trials, improvement))


def standard_error(error: float, n_tasks: int) -> float:
    """Return the standard error of a share of wrong tasks; at 0 and 1 use half a task."""
    inner = min(max(error, 0.5 / n_tasks), 1 - 0.5 / n_tasks)
    return math.sqrt(inner * (1 - inner) / n_tasks)
