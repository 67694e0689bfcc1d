"""What every pruner promises (docs/pruning.md), on random curves and costs, in plain sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.execution import Decision
from hpsearch.pruners import HyperbandPruner, fewest_trials, make_pruner
from hpsearch.pruners.config import PrunerConfig, PrunerName
from hpsearch.space.resource import Resource
from hpsearch.trial import TrialRecord
from tests.support.problems import base_config

from .test_pruners import EPOCHS, NAMES, curve, play, pruner_of

FACTOR = 3
TRIALS = 16
COUNTS = (4, 8, 16, 24, 48, 160)
"""Filters of a trial; 16 cost an epoch's unit, 160 ten of them, 4 a quarter."""


class Checked:
    """A pruner whose every decision is held against its promises."""

    def __init__(self, name: PrunerName, peers: int, kind: Any) -> None:
        config = PrunerConfig(
            name=name, reduction_factor=FACTOR, startup_trials=peers, resource=kind
        )
        self.resource = Resource(kind, base_config([3], [True], 20, max_epochs=EPOCHS))
        self.inner = make_pruner(config, self.resource)
        self.name, self.peers, self.kind = name, peers, kind

    def decide(self, history: Any, trial: TrialRecord, epoch: int) -> Decision:
        decision = self.inner.decide(history, trial, epoch)
        assert decision is self.inner.decide(list(reversed(history)), trial, epoch)
        if decision is not Decision.GO:
            assert decision is (Decision.PAUSE if "promotion" in self.name else Decision.STOP)
            self.keeps(history, trial, epoch)
        return decision

    def promote(self, history: Any) -> int | None:
        number = self.inner.promote(history)
        assert number == self.inner.promote(list(reversed(history)))
        return number

    def keeps(self, history: list[TrialRecord], trial: TrialRecord, epoch: int) -> None:
        """Never the best so far, never at the last epoch, never before enough peers."""
        others = [t for t in history if t.number != trial.number]
        lowest = np.nanmin([np.inf, *(v for t in others for v in t.values.values())])
        assert trial.value is None or trial.value > lowest
        assert epoch < self.resource.length(trial.params)
        assert self.reached(others, trial, epoch) >= self.peers

    def cost(self, trial: TrialRecord) -> int:
        """Return an epoch's cost in sixteenths of a unit: the only layer's filters say it."""
        return int(trial.params["conv1.filter_count"]) if self.kind == "compute" else 16

    def reached(self, others: list[TrialRecord], trial: TrialRecord, epoch: int) -> int:
        """Count peers: complete ones, or those of the bracket that have spent a rung's amount."""
        if self.name in ("median", "percentile"):
            return sum(t.state == "complete" for t in others)
        first = 1
        if isinstance(self.inner, HyperbandPruner):
            own = self.inner.bracket(trial.number)
            others = [t for t in others if self.inner.bracket(t.number) == own]
            first = FACTOR**own
        amounts = [first * FACTOR**k for k in range(4) if first * FACTOR**k < EPOCHS]
        here = [a for a in amounts if 16 * a <= epoch * self.cost(trial)]
        counts = [
            sum(t.state == "complete" or len(t.values) * self.cost(t) >= 16 * a for t in others)
            for a in here
        ]
        return max(counts, default=-1)  # it has reached none of its rungs: it may not end


def played(checked: Checked, seed: int, workers: int) -> list[TrialRecord]:
    rng = np.random.default_rng(seed)
    curves = [curve(rng, nan=True) for _ in range(TRIALS)]
    params = [{"conv1.filter_count": int(c)} for c in rng.choice(COUNTS, TRIALS)]
    history, _ = play(checked, curves, workers, params, checked.resource.length)
    return history


@pytest.mark.parametrize("kind", ["epochs", "compute"])
@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 2**32 - 1), peers=st.integers(1, 5), workers=st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_every_pruner_keeps_its_promises(
    name: PrunerName, kind: str, seed: int, peers: int, workers: int
) -> None:
    checked = Checked(name, peers, kind)
    history = played(checked, seed, workers)
    for trial in history:
        if trial.state == "pruned":  # also those that were paused and never promoted
            checked.keeps(history, trial, len(trial.values))


@pytest.mark.parametrize("kind", ["epochs", "compute"])
@pytest.mark.parametrize("name", NAMES)
def test_every_pruner_ends_some_and_lets_some_through(name: PrunerName, kind: str) -> None:
    for seed in range(3):
        states = [t.state for t in played(Checked(name, 1, kind), seed, 2)]
        assert states.count("complete") >= 1
        assert states.count("pruned") >= 3


@pytest.mark.parametrize("state", ["running", "paused", "pruned", "complete"])
@pytest.mark.parametrize("name", NAMES)
def test_whom_a_pruner_counts_as_peers(name: PrunerName, state: Any) -> None:
    """Median and percentile: complete ones. Halving: whoever came as far, of the own bracket."""
    pruner = pruner_of(name, peers=3)
    numbers = list(range(20))
    if isinstance(pruner, HyperbandPruner):
        numbers = [n for n in range(60) if pruner.bracket(n) == 0]
        strangers = [n for n in range(60) if pruner.bracket(n) == 1]
    last, *own = numbers[:4]
    trial = TrialRecord(last, "running", {}, {1: 0.9}, 0.9)
    peers = [TrialRecord(n, state, {}, {1: 0.5}, 0.5) for n in own]
    counted = state == "complete" or name not in ("median", "percentile")
    ends = pruner.decide([*peers, trial], trial, 1) is not Decision.GO
    assert ends == counted
    assert pruner.decide([*peers[:2], trial], trial, 1) is Decision.GO
    if isinstance(pruner, HyperbandPruner):
        more = [TrialRecord(n, state, {}, {1: 0.5}, 0.5) for n in strangers]
        assert pruner.decide([*peers[:2], *more, trial], trial, 1) is Decision.GO


@pytest.mark.parametrize("peers", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_fewest_trials_is_where_pruning_may_begin(name: PrunerName, peers: int) -> None:
    config = PrunerConfig(name=name, startup_trials=peers)
    resource = Resource("epochs", base_config([3], [True], 20, max_epochs=EPOCHS))
    fewest = fewest_trials(config, resource)
    assert fewest is not None

    def ended(trials: int, seed: int) -> bool:
        curves = [curve(np.random.default_rng([seed, n])) for n in range(trials)]
        history, _ = play(pruner_of(name, peers), curves, 1)
        return any(t.state == "pruned" for t in history)

    assert not any(ended(fewest - 1, seed) for seed in range(20))
    assert any(ended(fewest, seed) for seed in range(20))


def test_a_pruner_without_a_rung_ends_none() -> None:
    resource = Resource("epochs", base_config([3], [True], 20, max_epochs=EPOCHS))
    found = {
        name: fewest_trials(PrunerConfig(name=name, min_resource=EPOCHS), resource)
        for name in NAMES
    }
    assert set(found.values()) == {None}
    assert fewest_trials(PrunerConfig(name="none"), resource) is None
