"""The acquisition functions of scikit-optimize's samplers; which trials models are fitted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hpsearch.samplers.base import MOST_BEST, MOST_RECENT
from hpsearch.samplers.config import SamplerConfig, SamplerName
from hpsearch.samplers.suggest import suggest
from hpsearch.trial import TrialRecord, Value
from tests.samplers.test_samplers import bowl, two_dimensions
from tests.support.problems import random_params
from tests.support.slow import rest_slow

SKOPT: tuple[SamplerName, ...] = ("skopt-gp", "skopt-rf", "skopt-et")
PROBLEM = two_dimensions()


def history_of(
    count: int, error: Callable[[Any], float], seconds: Callable[[Any], float]
) -> list[TrialRecord]:
    return [
        TrialRecord(n, "complete", p, {1: error(p)}, error(p), seconds=seconds(p))
        for n, p in enumerate(random_params(PROBLEM, count))
    ]


def answers(
    name: SamplerName, acquisition: str, history: list[TrialRecord]
) -> list[dict[str, Value]]:
    trees = {} if name == "skopt-gp" else {"trees": 20}
    options = {"acquisition": acquisition, **trees}
    config = SamplerConfig(name=name, startup_trials=6, options=options)
    return [suggest(PROBLEM, config, history, seed, len(history)) for seed in range(2)]


def slow_at_high_momentum(params: dict[str, float]) -> float:
    return 100.0 if params["fc.momentum"] > 0.5 else 1.0


@pytest.mark.parametrize("acquisition", rest_slow(["LCB", "EIps", "gp_hedge", "PI"], 2))
@pytest.mark.parametrize("name", SKOPT)
def test_every_acquisition_is_feasible_repeatable_and_its_own(
    name: SamplerName, acquisition: str
) -> None:
    history = history_of(16, bowl, lambda _: 5.0)
    given = answers(name, acquisition, history)
    assert all(PROBLEM.feasible(params) for params in given)
    assert answers(name, acquisition, history) == given
    if acquisition in ("LCB", "PI"):  # in equal times EIps ranks as EI, and gp_hedge may draw it
        assert answers(name, "EI", history) != given
    costly = [
        replace(t, seconds=slow_at_high_momentum(t.params))  # type: ignore[arg-type]
        for t in history
    ]
    assert (answers(name, acquisition, costly) != given) == (acquisition == "EIps")


@pytest.mark.parametrize("name", SKOPT)
def test_improvement_per_second_goes_where_training_is_fast(name: SamplerName) -> None:
    """The error hangs on the rate alone; the time on the momentum alone."""
    history = history_of(24, lambda p: bowl({**p, "fc.momentum": 0.8}), slow_at_high_momentum)
    per_second = [float(p["fc.momentum"]) for p in answers(name, "EIps", history)]
    assert max(per_second) <= 0.5


@pytest.mark.parametrize("name", ["gp", "skopt-et"])
def test_models_are_fitted_on_the_best_50_and_the_last_150(name: SamplerName) -> None:
    """Ten trials lie between both sets: where they were tried changes no answer."""
    drawn = random_params(PROBLEM, MOST_BEST + 10 + MOST_RECENT)
    places = sorted(drawn, key=bowl)  # type: ignore[arg-type]
    last = places[: MOST_BEST - 1 : -1]  # worst first
    history = [
        TrialRecord(n, "complete", p, {1: bowl(p)}, bowl(p))
        for n, p in enumerate([*places[:MOST_BEST], *last])
    ]
    trees = {"trees": 20} if name == "skopt-et" else {}
    config = SamplerConfig(name=name, startup_trials=6, options=trees)

    def answer(
        changed: int | None = None, place: dict[str, Value] | None = None
    ) -> dict[str, Value]:
        trials = [replace(t, params=place) if t.number == changed else t for t in history]
        return suggest(PROBLEM, config, trials, 1, len(trials))

    alone = answer()
    beside = {**alone, "fc.momentum": float(alone["fc.momentum"]) - 0.01}
    assert answer(MOST_BEST + 9, beside) == alone
    assert answer(MOST_BEST - 1, beside) != alone  # the last of the best
    assert answer(MOST_BEST + 10, beside) != alone  # the oldest of the last
