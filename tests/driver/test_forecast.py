"""Forecasts of time and gain, and the study's end, on simulated searches."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hpsearch.driver.forecast import (
    NO_GAIN,
    forecast_gain,
    remaining_seconds,
    standard_error,
    time_model,
)
from hpsearch.driver.progress import Progress
from hpsearch.driver.stopping import Stopping, forecast_study, why_over
from hpsearch.space.resource import Resource
from hpsearch.study.config import Budget, StudyConfig
from hpsearch.trial import TrialRecord
from tests.support.problems import base_config, shipped_study

BASE = base_config([3, 3], [True, False], 20, max_epochs=10)


def trial(number: int, state: str = "complete", value: float = 0.5, **more: object) -> TrialRecord:
    fields = {"params": {}, "values": {1: value + 0.1, 2: value}, **more}
    return TrialRecord(number, state, value=value, **fields)  # type: ignore[arg-type]


def study(**budget: object) -> StudyConfig:
    config = shipped_study("quickstart")
    return config.model_copy(update={"budget": Budget(**budget)})  # type: ignore[arg-type]


def stopping(n_tasks: int = 320, **budget: object) -> Stopping:
    config = study(**budget)
    return Stopping(config, n_tasks)


def test_the_time_of_an_epoch_is_its_fixed_part_and_its_multiply_adds() -> None:
    resource = Resource("epochs", BASE)
    history = []
    for number, count in enumerate((16, 32, 64, 128)):
        params = {"conv2.filter_count": count}
        seconds = 2 * (0.5 + 1e-9 * resource.cost(params))
        history.append(trial(number, params=params, seconds=seconds))
    assert time_model(history, resource) == pytest.approx((0.5, 1e-9))


def test_one_kind_of_network_gives_its_mean_time() -> None:
    resource = Resource("epochs", BASE)
    fixed, slope = time_model([trial(0, seconds=4.0), trial(1, seconds=6.0)], resource)
    assert fixed + slope * resource.cost({}) == pytest.approx(2.5)


def test_what_is_left_is_the_new_trials_and_the_rest_of_the_running_ones() -> None:
    resource = Resource("epochs", BASE)
    done = [trial(0, seconds=4.0), trial(1, seconds=4.0)]
    assert remaining_seconds(done[:1], resource, 3, 1.0) is None
    assert remaining_seconds(done, resource, 3, 1.0) == pytest.approx(12)
    assert remaining_seconds(done, resource, 3, 2.0) == pytest.approx(6)
    running = trial(2, "running", values={1: 0.5}, seconds=2.0)
    assert remaining_seconds([*done, running], resource, 0, 1.0) == pytest.approx(2)
    assert remaining_seconds([*done, running], resource, 0, 2.0) == pytest.approx(
        2
    )  # on one worker


def skewed(rng: np.random.Generator) -> float:
    return float(0.2 + 0.1 * rng.gamma(2))


def normal(rng: np.random.Generator) -> float:
    return float(abs(rng.normal(0.4, 0.06)))


def mixed(rng: np.random.Generator) -> float:
    """Half of the configurations do not train."""
    return float(0.15 + 0.25 * rng.beta(2, 2) if rng.random() < 0.5 else 0.95 - 0.1 * rng.random())


KINDS = {"skewed": skewed, "normal": normal, "mixed": mixed}
Kind = Callable[[np.random.Generator], float]


def draw(kind: Kind, rng: np.random.Generator, count: int) -> list[TrialRecord]:
    """A study whose every fourth trial is pruned."""
    return [trial(n, "pruned" if n % 4 == 3 else "complete", kind(rng)) for n in range(count)]


def best_of(history: list[TrialRecord]) -> float:
    return min(t.value for t in history if t.state == "complete" and t.value is not None)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_the_forecast_gain_comes(kind: Kind) -> None:
    """The interval covers what more trials bring; mean and chance are right on average."""
    rng = np.random.default_rng(0)
    covered, bias, better, chances = 0, [], [], []
    for _ in range(150):
        history = draw(kind, rng, 80)
        told = forecast_gain(history[:40], 40)
        assert told is not None
        came = best_of(history[:40]) - best_of(history)
        covered += told.interval[0] <= came <= told.interval[1]
        bias.append(told.mean - came)
        better.append(came > 0)
        chances.append(told.chance)
    assert covered >= 0.92 * 150
    assert abs(np.mean(bias)) < 0.01
    assert abs(np.mean(chances) - np.mean(better)) < 0.12


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_stopping_without_expected_gain_loses_less_than_a_standard_error(kind: Kind) -> None:
    rng = np.random.default_rng(2)
    rule = stopping(trials=80, stop_when="no expected gain")
    regrets, ends = [], []
    for _ in range(100):
        history = draw(kind, rng, 80)
        for k in range(28, 81):
            if rule.reason(history[:k], 1.0):
                regrets.append(best_of(history[:k]) - best_of(history))
                ends.append(k)
                break
    assert len(ends) >= 80
    assert np.mean(ends) < 79
    assert np.mean(regrets) < standard_error(0.25, 320)
    assert np.mean(np.array(regrets) <= standard_error(0.25, 320)) >= 0.65


def test_the_forecast_gain_grows_with_the_trials_and_is_unknown_at_first() -> None:
    history = draw(skewed, np.random.default_rng(1), 40)
    gains = [forecast_gain(history, k) for k in (0, 1, 10, 100)]
    means = [gain.mean for gain in gains if gain is not None]
    assert means[0] == 0
    assert means == sorted(means)
    assert len(means) == 4
    assert forecast_gain(history[:12], 10) is None  # nine are complete
    equal = [trial(n, value=0.3) for n in range(20)]
    assert forecast_gain(equal, 10) == NO_GAIN
    assert forecast_gain([trial(n, "pruned") for n in range(30)], 10) is None


def test_trials_that_end_early_lower_the_gain() -> None:
    values = np.linspace(0.3, 0.5, 20).tolist()
    alone = [trial(n, value=v) for n, v in enumerate(values)]
    beside = [*(trial(n, "pruned") for n in range(20, 50)), *alone]
    with_all, with_few = forecast_gain(alone, 20), forecast_gain(beside, 20)
    assert with_all is not None
    assert with_few is not None
    assert with_few.mean < with_all.mean
    assert with_few.chance < with_all.chance


def test_no_expected_gain_is_no_reason_unless_asked_for_or_too_early() -> None:
    equal = [trial(n, value=0.3) for n in range(30)]
    assert stopping(trials=60).reason(equal, 1.0) is None
    asked = stopping(trials=60, stop_when="no expected gain")
    assert (asked.reason(equal, 1.0) or "").startswith("no expected gain: with a")
    assert asked.reason(equal[:8], 1.0) is None  # the sampler still starts
    assert asked.reason([*equal, *(trial(n) for n in range(30, 60))], 1.0) is None  # spent


def test_hours_and_compute_end_a_study() -> None:
    assert stopping(hours=1).reason([], 3599.0) is None
    assert stopping(hours=1).reason([], 3600.0) == "the budget of 1 hour is spent"
    config = study(trials=1)
    cost = Resource("epochs", config.trial).cost({})
    history = [trial(0), trial(1, "pruned"), trial(2, "running")]  # two epochs each
    assert stopping(compute=6.5 * cost).reason(history, 1.0) is None
    assert "multiply-adds is spent" in (stopping(compute=6 * cost).reason(history, 1.0) or "")


def test_the_forecast_takes_the_limit_that_comes_first() -> None:
    history = [trial(n, seconds=10.0) for n in range(10)]
    both = stopping(trials=40, hours=0.1).forecast(history, 100.0, 1)
    assert both.trials == 26  # ten in 100 s leave 26 for the other 260 s
    assert both.seconds == pytest.approx(260)
    trials = stopping(trials=40).forecast(history, 100.0, 1)
    assert trials.trials == 30
    assert trials.seconds == pytest.approx(300)
    halved = stopping(trials=40).forecast(history, 50.0, 2)
    assert halved.seconds == pytest.approx(150)
    assert halved.standard_error == pytest.approx(math.sqrt(0.25 / 320))


def test_no_running_trial_is_taken_to_be_longer_than_it_may_train() -> None:
    config = study(trials=4)
    resource = Resource("compute", config.trial)
    costly = {"conv1.filter_count": 256, "conv2.filter_count": 256}
    length = resource.length(costly)
    assert length < config.trial.max_epochs
    long = {e: 0.5 for e in range(1, config.trial.max_epochs + 1)}
    history = [trial(n, values=long, seconds=float(len(long))) for n in range(3)]
    done = {e: 0.5 for e in range(1, length)}
    history.append(trial(3, "running", params=costly, values=done, seconds=10.0 * len(done)))
    left = remaining_seconds(history, resource, 0, 1.0)
    fixed, slope = time_model(history, resource)
    assert left == pytest.approx(fixed + slope * resource.cost(costly))


def test_more_workers_than_before_are_counted() -> None:
    done = [trial(n, seconds=100.0) for n in range(4)]  # one after the other
    running = [trial(n, "running", values={}, seconds=None) for n in range(4, 12)]
    left = stopping(trials=20).forecast([*done, *running], 400.0, 8).seconds
    assert left == pytest.approx(200)  # eight running, eight to come, eight at once


def test_when_the_budget_is_spent_the_running_trials_are_left() -> None:
    done = [trial(n, values={e: 0.5 for e in range(1, 7)}, seconds=12.0) for n in range(3)]
    history = [*done, trial(3, "running", values={1: 0.5}, seconds=2.0)]
    for budget in ({"hours": 0.01}, {"compute": 1.0}, {"trials": 4}):
        left = stopping(**budget).forecast(history, 38.0, 1)
        assert left.seconds == pytest.approx(10)  # five epochs of two seconds
        over = stopping(**budget).forecast(done, 36.0, 1)
        assert over.seconds == pytest.approx(0 if "trials" not in budget else 12)


def test_a_study_that_is_only_read_is_forecast_by_the_workers_it_had() -> None:
    history = [trial(n, seconds=10.0) for n in range(10)]
    for workers in ("auto", 2):
        config = study(trials=40).model_copy(update={"workers": workers})
        view = SimpleNamespace(config=config, dataset={}, trials=history, driver_seconds=50.0)
        assert forecast_study(view).seconds == pytest.approx(150)  # type: ignore[arg-type]


def test_a_study_that_is_only_read_is_over_once_its_budget_is_spent() -> None:
    ended, still = (
        [trial(n) for n in range(4)],
        [*(trial(n) for n in range(3)), trial(3, "running")],
    )
    for trials, history, expected in (
        (4, ended, "the budget of 4 trials is spent"),
        (5, ended, None), (4, still, None), (4, [], None),
    ):  # fmt: skip
        config = study(trials=trials)
        view = SimpleNamespace(config=config, dataset={}, trials=history, driver_seconds=5.0)
        assert why_over(view) == expected  # type: ignore[arg-type]


def test_the_standard_error_is_the_binomials_and_never_zero() -> None:
    assert standard_error(0.1, 400) == pytest.approx(0.015)
    assert standard_error(0.0, 320) > 0


def test_compute_gives_a_costly_network_fewer_epochs() -> None:
    resource = Resource("compute", BASE)
    unit = resource.cost({})
    for count in (16, 32, 64, 128, 256):
        params = {"conv2.filter_count": count, "conv1.filter_count": count}
        cost = resource.cost(params)
        length = resource.length(params)
        assert length * cost <= 10 * unit or length == 1
        assert (length + 1) * cost > 10 * unit or length == 10
        assert resource.config(params).max_epochs == length
        for amount in (1, 3, 9):
            epoch = resource.epoch_at(params, amount)
            assert epoch * cost >= amount * unit
            assert (epoch - 1) * cost < amount * unit
    assert resource.length({"conv2.filter_count": 256, "conv1.filter_count": 256}) == 1
    assert Resource("epochs", BASE).length({"conv2.filter_count": 256}) == 10


def test_an_epoch_costs_what_training_counts() -> None:
    """Three passes over every image; the loop's own count is tested against torch's counter."""
    config = base_config([3], [True], 12, images_per_epoch=1000, batch_pairs=32)
    maps = 10 * 10 * 16 * 9 + 5 * 5 * 16 * 64
    assert Resource("epochs", config).cost({}) == 3 * maps * 16 * 64  # 16 steps of 64 images


@pytest.mark.parametrize("budget", [{"trials": 60}, {"hours": 0.5}, {"compute": 1e14}])
def test_a_paused_trial_counts_as_a_pruned_one(budget: dict[str, Any]) -> None:
    """Under asha-promotion most trials stay paused until the study ends."""

    def history(state: str) -> list[TrialRecord]:
        complete = [trial(n, value=0.3 + n / 100, seconds=20.0) for n in range(12)]
        return [*complete, *(trial(n, state, seconds=5.0) for n in range(12, 30))]

    config, paused, pruned = study(**budget), history("paused"), history("pruned")
    judge = stopping(**budget)
    forecast = judge.forecast(pruned, 300.0, 1)
    assert forecast.trials
    assert judge.forecast(paused, 300.0, 1) == forecast
    shares = {
        Progress.of(trials, {}, config, 300.0, 1, forecast).share for trials in (paused, pruned)
    }
    assert len(shares) == 1
    early = stopping(stop_when="no expected gain", **budget)
    assert early.reason(paused, 1.0) == early.reason(pruned, 1.0)
