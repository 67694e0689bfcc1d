"""Whether the search has found more than its start, and what another hour of it would bring."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.confirm.certificate import rivals
from hpsearch.report.facts import Facts
from hpsearch.report.surrogate import Array
from hpsearch.seeding import generator
from hpsearch.trial import TrialRecord
from hpsearch.wording import count, interval, percent

HOUR_S = 3600.0
LEAST_TRIALS = 10
"""Scored trials of the second half of a search that a forecast needs."""
DRAWS = 4000
"""Simulated continuations."""


@dataclass(frozen=True)
class Forecast:
    """What more trials would do to the lowest error, if they are as those of the second half.

    Args:
        trials: How many more.
        gain: Mean fall of the lowest error.
        interval: Its 2.5 % and 97.5 % quantiles.
        chance: Probability that any of them has a lower error.
    """

    trials: int
    gain: float
    interval: tuple[float, float]
    chance: float

    def in_words(self) -> str:
        """Return the forecast as a sentence."""
        return (
            f"Another hour, {count(self.trials, 'trial')} at this pace, finds a lower error with "
            f"probability {percent(self.chance, 0)}; it lowers the lowest one by "
            f"{100 * self.gain:.1f} points on average {interval(self.interval)}."
        )


def forecast(errors: Sequence[float], lowest: float, trials: int, seed: int) -> Forecast | None:
    """Forecast the lowest error after more trials.

    The k lowest errors lie below a threshold by amounts that follow a generalised Pareto
    distribution, whatever the errors' own. Its shape is between -1 and 0, because errors have a
    lower end. Shape, scale and the share of trials below the threshold are drawn from their
    posterior.

    Args:
        errors: Errors of recent trials, infinity for those that could not be trained.
        lowest: The lowest error of the whole search.
        trials: Number of further trials.
        seed: Seed of the draws.

    Returns:
        None with fewer than `LEAST_TRIALS` finite errors, or if the lowest of them are equal.

    Reference:
        Pickands (1975), "Statistical inference using extreme order statistics".
    """
    known = np.sort([e for e in errors if math.isfinite(e)])
    if len(known) < LEAST_TRIALS or trials < 1:
        return None
    k = max(4, round(math.sqrt(len(known))))
    threshold = known[k]
    below = threshold - known[:k]
    if not below.sum() > 0:
        return None
    rng = generator(seed, "outlook")
    shape, scale = _posterior(below, rng)
    share = rng.beta(k, len(errors) - k + 1, size=DRAWS)
    number = rng.binomial(trials, share)
    # The largest of n amounts, by its distribution function's inverse.
    survival = 1 - rng.random(DRAWS) ** (1 / np.maximum(number, 1))
    largest = scale * (survival**-shape - 1) / shape
    reached = np.where(number > 0, threshold - largest, np.inf)
    gain = np.clip(lowest - reached, 0, lowest)
    low, high = np.quantile(gain, [0.025, 0.975])
    return Forecast(
        trials, float(gain.mean()), (float(low), float(high)), float((gain > 0).mean())
    )


def _posterior(below: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw shapes and scales of the generalised Pareto distribution of positive amounts."""
    shapes, factors = np.linspace(-1, -0.02, 50), np.geomspace(0.2, 20, 120)
    shape, scale = (g.ravel() for g in np.meshgrid(shapes, factors * below.mean(), indexing="ij"))
    left = 1 + shape[:, None] * below / scale[:, None]  # not positive: below the lower end
    inside = (left > 0).all(axis=1)
    logs = np.log(np.where(left > 0, left, 1)).sum(axis=1)
    likelihood = -len(below) * np.log(scale) - (1 / shape + 1) * logs
    weight = np.where(inside, np.exp(likelihood - likelihood[inside].max()), 0)
    drawn = rng.choice(len(weight), size=DRAWS, p=weight / weight.sum())
    return shape[drawn], scale[drawn]


def next_hour(facts: Facts) -> Forecast | None:
    """Forecast another hour of the search; None while too little is known."""
    ended = [t for t in facts.view.trials if t.finished]
    hours = facts.view.driver_seconds / HOUR_S
    if facts.best is None or facts.best.value is None or not hours:
        return None
    recent = ended[len(ended) // 2 :]
    errors = [t.value if t.trainable and t.value is not None else math.inf for t in recent]
    lowest = min(t.value for t in ended if t.state == "complete" and t.value is not None)
    return forecast(errors, lowest, round(len(ended) / hours), facts.view.config.seed)


def found_more(facts: Facts) -> str | None:
    """Return whether the search has found more than the trials it began with, as a sentence."""
    best, start = facts.best, _start(facts)
    if best is None or start is None or best.value is None or start.value is None:
        return None
    if best.number == start.number:
        return f"No trial is better than the start, trial {start.number}."
    confirmed = _confirmed(facts.certificate, start.number)
    if confirmed is not None:
        return confirmed
    return (
        f"The best trial is {100 * (start.value - best.value):.1f} points below the start, trial "
        f"{start.number} ({percent(start.value)}). Part of that is luck, because the best of many "
        "was chosen."
    )


def _start(facts: Facts) -> TrialRecord | None:
    """Return the best of the trials that the study file enqueues; None before one has ended."""
    begun = facts.view.trials[: len(facts.view.config.enqueue)]
    ended = [t for t in begun if t.state == "complete" and t.value is not None]
    return min(ended, key=lambda t: (t.value, t.number), default=None)


def _confirmed(certificate: Mapping[str, Any] | None, start: int) -> str | None:
    """Return what the certificate says about the start, if it was confirmed."""
    candidates = certificate["candidates"] if certificate else []
    known = {int(one["trial"]): one for one in candidates}
    if certificate is None or start not in known:
        return None
    if start in [one["trial"] for one in rivals(certificate)]:
        return f"The best trial cannot be told apart from the start, trial {start}."
    return (
        f"The best trial is better than the start, trial {start}, whose error on fresh tasks is "
        f"{percent(known[start]['error'])} {interval(known[start]['interval'])}."
    )
