"""Pruners against Optuna's decisions on random curves, and the promises every pruner keeps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from hpsearch.execution import Decision
from hpsearch.pruners import AshaPruner, HyperbandPruner, Pruner, make_pruner
from hpsearch.pruners.asha import is_promoted
from hpsearch.pruners.base import value_at
from hpsearch.pruners.config import PrunerConfig, PrunerName
from hpsearch.space.resource import Resource
from hpsearch.trial import TrialRecord
from tests.support.problems import base_config

EPOCHS = 27
NAMES: tuple[PrunerName, ...] = (
    "median",
    "percentile",
    "asha",
    "asha-promotion",
    "hyperband",
    "hyperband-promotion",
)


def pruner_of(
    name: PrunerName, peers: int = 1, min_resource: int = 1, reduction_factor: int = 3
) -> Pruner:
    config = PrunerConfig(
        name=name,
        min_resource=min_resource,
        reduction_factor=reduction_factor,
        startup_trials=peers,
    )
    return make_pruner(config, resource_of(EPOCHS))


def resource_of(epochs: int) -> Resource:
    return Resource("epochs", base_config([3], [True], 20, max_epochs=epochs))


def curve(rng: np.random.Generator, *, nan: bool = False, finite: int = 0) -> list[float]:
    """Return a noisy falling curve; with `nan` one in five ends in NaN, after `finite` epochs."""
    end, noise = rng.uniform(0.1, 0.9), rng.normal(0, 0.05, EPOCHS)
    values = end + 0.3 / np.arange(1, EPOCHS + 1) + noise
    if nan and rng.random() < 0.2:
        values[rng.integers(finite, EPOCHS) :] = np.nan
    return [float(v) for v in values]


def play(
    pruner: Pruner,
    curves: list[list[float]],
    workers: int,
    params: Sequence[dict[str, Any]] | None = None,
    length: Callable[[Mapping[str, Any]], int] = lambda _: EPOCHS,
) -> tuple[list[TrialRecord], list[tuple[int, int, bool]]]:
    """Run trials side by side, epoch by epoch; return the history and every decision.

    Paused trials are promoted before new ones begin; what is never promoted ends as pruned.
    """
    history: list[TrialRecord] = []
    decisions = []

    def running() -> int:
        return sum(t.state == "running" for t in history)

    def fill() -> bool:
        while running() < workers:
            number = pruner.promote(history)
            if number is not None:
                assert history[number].state == "paused"
                history[number] = replace(history[number], state="running")
            elif len(history) < len(curves):
                own = params[len(history)] if params else {}
                history.append(TrialRecord(len(history), "running", own))
            else:
                break
        return running() > 0

    while fill():
        for number, trial in enumerate(history):
            if trial.state != "running":
                continue
            epoch = len(trial.values) + 1
            values = {**trial.values, epoch: curves[number][epoch - 1]}
            finite = [v for v in values.values() if math.isfinite(v)]
            trial = replace(trial, values=values, value=min(finite, default=None))
            history[number] = trial
            decision = pruner.decide(history, trial, epoch)
            decisions.append((number, epoch, decision is not Decision.GO))
            if decision is Decision.STOP:
                history[number] = replace(trial, state="pruned")
            elif decision is Decision.PAUSE:
                history[number] = replace(trial, state="paused")
            elif epoch == length(trial.params):
                history[number] = replace(trial, state="complete")
    ended = [replace(t, state="pruned") if t.state == "paused" else t for t in history]
    return ended, decisions


@dataclass(frozen=True)
class AtRungs:
    """Halving as Optuna has it: it judges at a rung alone, and once one other has come there."""

    rule: AshaPruner

    def decide(self, history: Sequence[TrialRecord], trial: TrialRecord, epoch: int) -> Decision:
        others = [t for t in history if t.number != trial.number]
        if epoch not in self.rule.rungs() or all(value_at(t, epoch) is None for t in others):
            return Decision.GO
        return self.rule.decide(history, trial, epoch)

    def promote(self, history: Sequence[TrialRecord]) -> int | None:
        return self.rule.promote(history)


def optuna_decisions(
    pruner: optuna.pruners.BasePruner, curves: list[list[float]], workers: int
) -> list[tuple[int, int, bool]]:
    """Run the same with Optuna, which is shown the lowest error so far."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="minimize", pruner=pruner)
    trials: list[Any] = []
    running: list[int] = []
    decisions = []
    while running or len(trials) < len(curves):
        while len(trials) < len(curves) and len(running) < workers:
            running.append(len(trials))
            trials.append(study.ask())
        for number in list(running):
            trial = trials[number]
            epoch = len(study.get_trials()[number].intermediate_values) + 1
            value = float(np.nanmin(curves[number][:epoch]))
            trial.report(value, epoch)
            stop = trial.should_prune() if epoch < EPOCHS else False
            decisions.append((number, epoch, stop))
            if stop:
                study.tell(trial, state=TrialState.PRUNED)
                running.remove(number)
            elif epoch == EPOCHS:
                study.tell(trial, value)
                running.remove(number)
    return decisions


@pytest.mark.parametrize("nan", [False, True])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    ("first", "factor"), [(2, 3), (1, 2), (3, 2), (1, 3), (1, 4), (2, 4), (5, 5)]
)
def test_asha_decides_as_optunas_successive_halving(
    first: int, factor: int, workers: int, nan: bool
) -> None:
    """With NaN after a number: what never gave a number Optuna stops before it has any peer."""
    rng = np.random.default_rng(factor)
    curves = [curve(rng, nan=nan, finite=1) for _ in range(24)]
    theirs = optuna.pruners.SuccessiveHalvingPruner(
        min_resource=first, reduction_factor=factor, min_early_stopping_rate=0, bootstrap_count=0
    )
    expected = optuna_decisions(theirs, curves, workers)
    asha = pruner_of("asha", min_resource=first, reduction_factor=factor)
    assert isinstance(asha, AshaPruner)
    _, decisions = play(AtRungs(asha), curves, workers)
    assert decisions == expected
    if workers == 1:  # nobody comes late
        assert play(asha, curves, workers)[1] == expected
    assert 5 < sum(stop for *_, stop in decisions) < 24


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_percentile_decides_as_optunas_percentile(seed: int, workers: int) -> None:
    rng = np.random.default_rng(seed)
    curves = [curve(rng, nan=seed > 1, finite=1) for _ in range(20)]
    theirs = optuna.pruners.PercentilePruner(
        30.0, n_startup_trials=2, n_warmup_steps=2, interval_steps=1, n_min_trials=2
    )
    expected = optuna_decisions(theirs, curves, workers)
    config = PrunerConfig(name="percentile", percentile=30, min_resource=2, startup_trials=2)
    _, decisions = play(make_pruner(config, resource_of(EPOCHS)), curves, workers)
    assert decisions == expected
    assert 3 < sum(stop for *_, stop in decisions) < 20


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_median_decides_as_optunas_median(seed: int, workers: int) -> None:
    rng = np.random.default_rng(seed)
    curves = [curve(rng, nan=seed > 1, finite=1) for _ in range(20)]
    theirs = optuna.pruners.MedianPruner(
        n_startup_trials=3, n_warmup_steps=4, interval_steps=1, n_min_trials=3
    )
    expected = optuna_decisions(theirs, curves, workers)
    _, decisions = play(pruner_of("median", peers=3, min_resource=4), curves, workers)
    assert decisions == expected
    assert 3 < sum(stop for *_, stop in decisions) < 20


def test_who_came_before_its_peers_is_judged_once_they_are_there() -> None:
    """A costly trial at chance that passed its rung alone went on for its 60 epochs."""
    pruner = pruner_of("asha", peers=2, min_resource=3)
    early = TrialRecord(0, "running", {}, {e: 0.95 - e / 1000 for e in range(1, 13)}, 0.938)
    good = [TrialRecord(n, "running", {}, {1: 0.9, 2: 0.8, 3: 0.7}, 0.7) for n in (1, 2)]
    alone = [replace(early, values={e: v for e, v in early.values.items() if e <= 3}), good[0]]
    assert pruner.decide(alone, alone[0], 3) is Decision.GO
    assert (
        pruner.decide([early, *good], early, 12) is Decision.STOP
    )  # of the rung at 9 nobody knows
    learning = replace(early, values={**early.values, 12: 0.69}, value=0.69)
    assert pruner.decide([learning, *good], learning, 12) is Decision.GO
    assert pruner.decide([early, good[0]], early, 12) is Decision.GO


def test_who_paused_between_rungs_goes_on_when_it_belongs_to_the_best_share() -> None:
    pruner = pruner_of("asha-promotion", peers=2, min_resource=3)
    late = TrialRecord(0, "paused", {}, dict.fromkeys(range(1, 6), 0.6), 0.6)
    peers = [TrialRecord(n, "complete", {}, {3: 0.5}, 0.5) for n in (1, 2)]
    worse = [TrialRecord(n, "pruned", {}, {3: 0.8}, 0.8) for n in range(3, 9)]
    assert pruner.promote([late, *peers]) is None
    assert pruner.promote([late, *peers, *worse[:5]]) is None
    assert pruner.promote([late, *peers, *worse]) == 0


def test_none_never_stops() -> None:
    rng = np.random.default_rng(0)
    _, decisions = play(pruner_of("none"), [curve(rng, nan=True) for _ in range(6)], 2)
    assert not any(stop for *_, stop in decisions)


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_that_never_gave_a_number_is_the_worst(name: PrunerName) -> None:
    pruner = pruner_of(name, peers=2)
    number = 0
    if isinstance(pruner, HyperbandPruner):
        own = [n for n in range(200) if pruner.bracket(n) == 0]
        numbers = own[:4]
    else:
        numbers = list(range(4))
    history = [
        TrialRecord(n, "complete", {}, dict.fromkeys(range(1, EPOCHS + 1), 0.5), 0.5)
        for n in numbers[1:]
    ]
    number = numbers[0]
    lost = TrialRecord(number, "running", {}, {1: math.nan}, None)
    assert pruner.decide([*history, lost], lost, 1) is not Decision.GO
    assert pruner.decide([*history[:1], lost], lost, 1) is Decision.GO


def test_the_lowest_error_so_far_is_compared() -> None:
    trial = TrialRecord(0, "running", {}, {1: 0.5, 2: 0.9, 3: math.nan}, 0.5)
    assert [value_at(trial, e) for e in (1, 2, 3, 4)] == [0.5, 0.5, 0.5, None]
    ended_early = replace(trial, state="complete")
    assert value_at(ended_early, 20) == 0.5
    assert value_at(TrialRecord(1, "running", {}, {1: math.nan}), 1) == math.inf
    assert value_at(TrialRecord(1, "running", {}), 1) is None


def test_one_in_the_reduction_factor_is_promoted_and_at_least_one() -> None:
    assert is_promoted(0.1, [], 3)
    assert is_promoted(0.1, [0.2], 3)
    assert not is_promoted(0.3, [0.2], 3)
    assert is_promoted(0.3, [0.2, 0.4, 0.5, 0.6, 0.7], 3)
    assert not is_promoted(0.45, [0.2, 0.4, 0.5, 0.6, 0.7], 3)
    assert not is_promoted(math.inf, [], 3)


def test_hyperbands_brackets_are_halving_from_ever_later_rungs() -> None:
    pruner = pruner_of("hyperband")
    assert isinstance(pruner, HyperbandPruner)
    assert [rungs_of(b) for b in pruner.brackets] == [[1, 3, 9], [3, 9], [9], []]
    # Li et al. (2018), table 1 (eta 3): n = 27, 12, 6, 4 for R = 27
    assert Counter(pruner.order) == {0: 27, 1: 12, 2: 6, 3: 4}
    assert [pruner.bracket(n) for n in range(49)] == [pruner.bracket(n + 49) for n in range(49)]
    first = Counter(pruner.order[:12])
    assert set(first) == {0, 1, 2, 3}
    assert first[0] > first[1] > first[2]


def rungs_of(bracket: Pruner) -> list[int]:
    assert isinstance(bracket, AshaPruner)
    return bracket.rungs()


def test_hyperband_compares_within_a_bracket_only() -> None:
    pruner = pruner_of("hyperband")
    assert isinstance(pruner, HyperbandPruner)
    rng = np.random.default_rng(3)
    curves = [curve(rng) for _ in range(40)]
    history, decisions = play(pruner, curves, 2)
    for number, epoch, stop in decisions:
        own = pruner.bracket(number)
        if stop:
            assert epoch >= min(rungs_of(pruner.brackets[own]))
    assert all(t.state == "complete" for t in history if pruner.bracket(t.number) == 3)


def test_a_whole_trial_shorter_than_the_first_rung_is_never_stopped() -> None:
    config = PrunerConfig(name="hyperband", min_resource=9, startup_trials=1)
    pruner = make_pruner(config, resource_of(4))
    worst = TrialRecord(1, "running", {}, {4: 0.9}, 0.9)
    best = TrialRecord(0, "complete", {}, {4: 0.1}, 0.1)
    assert pruner.decide([best, worst], worst, 4) is Decision.GO
