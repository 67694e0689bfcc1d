"""Decides when a study is over, and forecasts the rest of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.driver.forecast import Forecast, forecast_gain, remaining_seconds, standard_error
from hpsearch.storage.view import StudyView
from hpsearch.study.config import StudyConfig
from hpsearch.trial import TrialRecord, best_trial, counted

N_TASKS = 320
"""One-shot tasks behind a validation error if the data set's description lacks them."""
FORECAST_S = 1.0
"""Seconds for which a shown forecast stays valid."""
DENSE_WORTH = 7
"""Number of the paper's tasks that have the noise of one dense validation task.

Dense validation has 0.37 of their standard error (docs/trust.md); this is one over its square.
"""


class Stopping:
    """Compares a study's history with its budget."""

    def __init__(self, config: StudyConfig, n_tasks: int) -> None:
        """Set the limits.

        Args:
            config: The study; its budget counts over all runs.
            n_tasks: One-shot tasks behind each validation error.
        """
        self._budget, self._startup = config.budget, config.sampler.startup_trials
        self._resource, self._n_tasks = config.resource, n_tasks
        self._share = config.shown.share
        self._one = not config.goals.several
        self._recent: tuple[float, Forecast] | None = None

    def trials_spent(self, settled: int) -> str | None:
        """Return why no new trial may start after this number of them, or None."""
        trials = self._budget.trials
        if trials is None or settled < trials:
            return None
        return f"the budget of {trials} trial{'s' * (trials > 1)} is spent"

    def reason(self, history: Sequence[TrialRecord], seconds: float) -> str | None:
        """Return why no new trial may start, or None. The caller checks the limit in trials.

        Args:
            history: All trials.
            seconds: Driver time of all runs.
        """
        budget = self._budget
        if budget.hours is not None and seconds >= budget.hours * 3600:
            return f"the budget of {budget.hours:g} hour{'s' * (budget.hours != 1)} is spent"
        if budget.compute is not None and self.compute(history) >= budget.compute:
            return f"the budget of {budget.compute:.3g} multiply-adds is spent"
        if budget.stop_when is None or sum(t.settled for t in history) <= self._startup:
            return None
        left = self._new_trials(history, seconds)
        gain = forecast_gain(history, left) if left else None
        error = self._standard_error(history)
        if gain is None or error is None or gain.most >= error:
            return None
        return (
            f"no expected gain: with a probability of 90 % {left:.0f} more trials lower the best "
            f"error by less than {100 * gain.most:.2f} points; its standard error is "
            f"{100 * error:.2f}"
        )

    def compute(self, history: Sequence[TrialRecord]) -> int:
        """Return the multiply-adds of training so far."""
        return sum(len(t.values) * self._resource.cost(t.params) for t in history)

    def forecast(self, history: Sequence[TrialRecord], seconds: float, slots: int) -> Forecast:
        """Forecast the rest of the search.

        Args:
            history: All trials.
            seconds: Driver time of all runs.
            slots: Trials that can run at once.
        """
        left = self._new_trials(history, seconds)
        known = left is not None and self._share and self._one
        return Forecast(
            trials=None if left is None else round(left),
            seconds=self._remaining_seconds(history, seconds, slots),
            gain=forecast_gain(history, left or 0.0) if known else None,
            standard_error=self._standard_error(history),
        )

    def recent_forecast(
        self, history: Sequence[TrialRecord], seconds: float, slots: int
    ) -> Forecast:
        """Return a forecast that is at most `FORECAST_S` old."""
        if self._recent is None or seconds - self._recent[0] > FORECAST_S:
            self._recent = (seconds, self.forecast(history, seconds, slots))
        return self._recent[1]

    def _standard_error(self, history: Sequence[TrialRecord]) -> float | None:
        best = best_trial(history)
        if best is None or best.value is None or not self._share:
            return None
        return standard_error(best.value, self._n_tasks)

    def _new_trials(self, history: Sequence[TrialRecord], seconds: float) -> float | None:
        """Return the number of trials that the budget still allows, None while unknown."""
        budget, estimates = self._budget, list[float]()
        settled = sum(t.settled for t in history)
        if budget.trials is not None:
            estimates.append(budget.trials - counted(history))
        if budget.hours is not None and settled and seconds > 0:
            estimates.append((budget.hours * 3600 / seconds - 1) * settled)
        if budget.compute is not None and settled and (spent := self.compute(history)):
            estimates.append((budget.compute / spent - 1) * settled)
        return max(0.0, min(estimates)) if estimates else None

    def _remaining_seconds(
        self, history: Sequence[TrialRecord], seconds: float, slots: int
    ) -> float | None:
        budget, estimates = self._budget, list[float]()
        if budget.hours is not None:
            estimates.append(budget.hours * 3600 - seconds)
        trained = sum(t.seconds or 0.0 for t in history)
        busy = trained / seconds if trained and seconds > 0 else slots
        busy = min(float(slots), max(busy, sum(t.state == "running" for t in history)))
        if budget.trials is not None:
            new = max(0, budget.trials - counted(history))
            rest = remaining_seconds(history, self._resource, new, busy)
            estimates += [] if rest is None else [rest]
        if budget.compute is not None and (spent := self.compute(history)):
            estimates.append((budget.compute / spent - 1) * seconds)
        running = remaining_seconds(history, self._resource, 0, busy)
        return max(min(estimates), running or 0.0, 0.0) if estimates else None


def tasks_behind(config: StudyConfig, dataset: Mapping[str, Any]) -> int:
    """Return the number of one-shot tasks with the noise of a study's validation errors."""
    n_tasks = int(dataset.get("n_tasks") or N_TASKS)
    worth = n_tasks * DENSE_WORTH if config.objective == "dense" else n_tasks
    return min(worth, int(dataset.get("pictures") or worth))


def why_over(view: StudyView) -> str | None:
    """Return why a study is over, None where the same command would continue it."""
    if not view.trials or any(not t.finished for t in view.trials):
        return None
    limits = _stopping(view)
    spent = limits.trials_spent(counted(view.trials))
    return spent or limits.reason(view.trials, view.driver_seconds)


def _stopping(view: StudyView) -> Stopping:
    return Stopping(view.config, tasks_behind(view.config, view.dataset))


def forecast_study(view: StudyView) -> Forecast:
    """Forecast the rest of a study at its speed so far."""
    workers = view.config.workers
    if isinstance(workers, int):
        slots = workers
    else:  # the average number of workers so far, on any machine
        trained = sum(t.seconds or 0.0 for t in view.trials)
        slots = max(1, math.ceil(trained / view.driver_seconds)) if view.driver_seconds > 0 else 1
    return _stopping(view).forecast(view.trials, view.driver_seconds, slots)
