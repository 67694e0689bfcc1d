"""A snapshot of a search, for the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpsearch.driver.forecast import Forecast
from hpsearch.front.growth import growth
from hpsearch.front.order import front_of
from hpsearch.measure import VALIDATION_ERROR, Measure
from hpsearch.study.config import StudyConfig
from hpsearch.training.epoch import EpochResult
from hpsearch.trial import TrialRecord, best_trial


@dataclass(frozen=True)
class RunningTrial:
    """A trial on a worker.

    Args:
        number: Its number.
        began: Its start, by the driver's clock.
        device: The device that trains it.
        curve: Its epochs so far.
        provenance: The worker's software and machine.
    """

    number: int
    began: float
    device: str = ""
    curve: tuple[EpochResult, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def last(self) -> EpochResult | None:
        """Its last epoch, None before one has ended."""
        return self.curve[-1] if self.curve else None


@dataclass(frozen=True)
class Progress:
    """A snapshot of the search.

    Args:
        running: The trials on workers, by number.
        counts: Trials by state.
        best: The best complete trial.
        seconds: The driver's time at work over all runs.
        forecast: The rest of the search.
        lengths: Epochs of each running trial if it is trained to its end.
        trials: The budget in trials, None without one.
        hours: The budget in hours, None without one.
        slots: Trials that can run at once.
        best_values: Best validation error of each running trial.
        now: The time by the driver's clock.
        shown: How values are shown.
        lowest: The trial of the lowest error, complete or not; None before an epoch has ended.
        front: With several objectives the trials on the front, lowest error first.
        hypervolume: The share of the box of values that they dominate, see `growth`.
    """

    running: tuple[RunningTrial, ...]
    counts: Mapping[str, int]
    best: TrialRecord | None
    seconds: float
    forecast: Forecast
    lengths: Mapping[int, int]
    trials: int | None
    hours: float | None
    slots: int
    best_values: Mapping[int, float]
    now: float = 0.0
    shown: Measure = VALIDATION_ERROR
    lowest: TrialRecord | None = None
    front: tuple[TrialRecord, ...] | None = None
    hypervolume: float = 0.0

    @property
    def share(self) -> float | None:
        """Share of the budget that is spent, from 0 to 1; None while unknown."""
        shares = list[float]()
        if self.trials:
            part = sum(r.last.epoch / self.lengths[r.number] for r in self.running if r.last)
            shares.append((self.settled + part) / self.trials)
        if self.hours:
            shares.append(self.seconds / (3600 * self.hours))
        if not shares and self.forecast.seconds is not None and self.seconds > 0:
            shares.append(self.seconds / (self.seconds + self.forecast.seconds))
        return min(1.0, max(shares)) if shares else None

    @property
    def settled(self) -> int:
        """Trials that count against the budget, paused ones too."""
        states = ("complete", "pruned", "failed", "paused")
        return sum(self.counts.get(state, 0) for state in states)

    @classmethod
    def of(
        cls,
        history: Sequence[TrialRecord],
        running: Mapping[int, RunningTrial],
        config: StudyConfig,
        seconds: float,
        slots: int,
        forecast: Forecast,
        now: float = 0.0,
    ) -> Progress:
        """Take a snapshot."""
        counts = Counter[str](t.state for t in history)
        counts["running"] = len(running)
        budget = config.budget
        resource = config.resource
        tried = [t for t in history if t.trainable and t.value is not None]
        goals = config.goals
        volumes = growth(history, goals)[1] if goals.several else []
        return cls(
            running=tuple(running[n] for n in sorted(running)),
            counts=dict(counts),
            best=best_trial(history),
            seconds=seconds,
            forecast=forecast,
            lengths={n: resource.length(history[n].params) for n in running},
            trials=budget.trials,
            hours=budget.hours,
            slots=slots,
            best_values={n: value for n in running if (value := history[n].value) is not None},
            now=now,
            shown=config.shown,
            lowest=min(tried, key=lambda t: (t.value, t.number), default=None),
            front=tuple(front_of(history, goals)) if goals.several else None,
            hypervolume=volumes[-1] if volumes else 0.0,
        )
