"""Forecasts the rest of a search from its past trials: time, number of trials and gain.

Every function is a pure function of the history. Forecasts of time are only shown, because seconds
differ from run to run. The gain depends on validation errors alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.seeding import generator
from hpsearch.space.resource import Resource
from hpsearch.trial import TrialRecord, best_trial

RECENT = 50
"""Number of last settled trials that represent the next ones, because the sampler learns."""
ENOUGH = 10
"""Complete trials from which on a gain is forecast."""
FEWEST = 4
"""Fewest errors below the threshold."""
DRAWS = 4000
"""Simulated continuations."""


@dataclass(frozen=True)
class Gain:
    """How far the best validation error falls in further trials.

    Args:
        mean: Its mean, at least 0.
        interval: Its 2.5 % and 97.5 % quantiles.
        most: Its 90 % quantile.
        chance: Probability that it falls at all.
    """

    mean: float
    interval: tuple[float, float]
    most: float
    chance: float


NO_GAIN = Gain(0.0, (0.0, 0.0), 0.0, 0.0)


@dataclass(frozen=True)
class Forecast:
    """The rest of a search.

    Args:
        trials: New trials until the budget is spent; None while unknown.
        seconds: Time until the budget is spent and the last trials have ended, with the present
            number of workers; None while unknown.
        gain: Fall of the best validation error by then; None while unknown.
        standard_error: Standard error of the best validation error; None without one.
    """

    trials: int | None
    seconds: float | None
    gain: Gain | None
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
        history: All trials; settled ones show how long a trial lives before it is pruned, or
            paused.
        resource: The lengths of trials.
        new_trials: Number of trials that will be started.
        busy: Average number of trials that train at the same time.

    Returns:
        None before two trials have ended.
    """
    ended = [t for t in history if t.settled and t.values and t.seconds]
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


def forecast_gain(history: Sequence[TrialRecord], new_trials: float) -> Gain | None:
    """Forecast how far the best validation error falls in the next trials.

    The model assumes that the next trials are like the last `RECENT`. Among those, the lowest
    errors of complete trials lie below a threshold by amounts that follow a generalised Pareto
    distribution, whatever the errors' own. Its shape is between -1 and 0, because errors have a
    lower end. Shape, scale and the share of trials below the threshold are drawn from their
    posterior.

    Returns:
        None before `ENOUGH` trials are complete.

    Reference:
        Pickands (1975), "Statistical Inference Using Extreme Order Statistics": peaks over a
        threshold.
    """
    best = best_trial(history)
    settled = [t for t in history if t.settled][-RECENT:]
    values = [t.value for t in settled if t.state == "complete" and t.value is not None]
    complete = sum(t.state == "complete" for t in history)
    if best is None or best.value is None or complete < ENOUGH or len(values) <= FEWEST:
        return None
    lowest = np.sort(values)
    k = max(FEWEST, round(math.sqrt(len(lowest))))
    below = lowest[k] - lowest[:k]
    if not below.any() or new_trials < 1:
        return NO_GAIN
    rng = generator(0, "forecast of the gain")
    shape, scale = _tails(below, rng)
    share = rng.beta(k, len(settled) - k + 1, size=DRAWS)
    number = rng.binomial(round(new_trials), share)
    # The largest of n amounts, by its distribution function's inverse.
    survival = 1 - rng.random(DRAWS) ** (1 / np.maximum(number, 1))
    largest = scale * (survival**-shape - 1) / shape
    reached = np.where(number > 0, lowest[k] - largest, np.inf)
    gain = np.clip(best.value - reached, 0, best.value)
    low, most, high = (float(q) for q in np.quantile(gain, [0.025, 0.9, 0.975]))
    return Gain(float(gain.mean()), (low, high), most, float((gain > 0).mean()))


def _tails(
    below: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw shapes and scales of the generalised Pareto distribution of amounts, at least 0."""
    shapes, factors = np.linspace(-1, -0.02, 50), np.geomspace(0.2, 20, 120)
    shape, scale = (g.ravel() for g in np.meshgrid(shapes, factors * below.mean(), indexing="ij"))
    left = 1 + shape[:, None] * below / scale[:, None]  # not positive beyond the lower end
    inside = (left > 0).all(axis=1)
    logs = np.log(np.where(left > 0, left, 1)).sum(axis=1)
    likelihood = -len(below) * np.log(scale) - (1 / shape + 1) * logs
    weight = np.where(inside, np.exp(likelihood - likelihood[inside].max()), 0)
    drawn = rng.choice(len(weight), size=DRAWS, p=weight / weight.sum())
    return shape[drawn], scale[drawn]


def standard_error(error: float, n_tasks: int) -> float:
    """Return the standard error of a share of wrong tasks; at 0 and 1 use half a task."""
    inner = min(max(error, 0.5 / n_tasks), 1 - 0.5 / n_tasks)
    return math.sqrt(inner * (1 - inner) / n_tasks)
