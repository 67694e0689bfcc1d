"""Replays a study on a surrogate: the ordinary driver, storage in memory, a simulated clock.

Nothing else is replaced: sampler, pruner, driver and budget are those of a real search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.pick import Look, Pick, sampler_pick
from benchmarks.simulated import (
    DirectAsker,
    Model,
    RememberingProblem,
    Silent,
    SimulatedExecutor,
    Step,
)
from hpsearch.driver.driver import Driver
from hpsearch.driver.environment import Environment
from hpsearch.paths import StudyFolder
from hpsearch.pruners.config import PrunerConfig
from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.storage.memory_store import MemoryStore
from hpsearch.study.config import Budget, SamplerConfig, StudyConfig
from hpsearch.study.enqueue import Enqueued
from hpsearch.study.objectives import Named, goals_of
from hpsearch.study.plan import DataPlace, StudyPlan
from hpsearch.training.config import TrialConfig
from hpsearch.trial import TrialRecord, Value

Until = Callable[[Look, Mapping[int, float]], bool]


@dataclass(frozen=True)
class Problem:
    """What is searched in a replay.

    Args:
        space: The searched parameters.
        base: The configuration they are set in; of a foreign table anything without layers.
        limits: What a configuration may cost.
        model: Answers suggestions.
        objectives: What is searched for, if it is more than the error.
        start: The configuration that is enqueued; None enqueues none.
    """

    space: SearchSpace
    base: TrialConfig
    limits: Limits
    model: Model
    objectives: tuple[str, ...] = ()
    start: Mapping[str, Value] | None = None

    @property
    def trial(self) -> TrialConfig:
        """The base configuration, with the length that recorded trials have."""
        epochs = self.model.epochs
        return self.base.model_copy(update={"max_epochs": epochs, "patience": epochs})

    @property
    def search_problem(self) -> SearchProblem:
        """The box that samplers work in."""
        goals = goals_of([Named(name=name) for name in self.objectives], {}, None)
        return SearchProblem(self.space, self.trial, self.limits, goals)


@dataclass(frozen=True)
class Setup:
    """One way to search.

    Args:
        sampler: Which sampler.
        pruner: Which pruner.
        workers: Trials at once.
    """

    sampler: SamplerConfig
    pruner: PrunerConfig
    workers: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return what decides the search."""
        sampler, pruner = (c.model_dump(mode="json") for c in (self.sampler, self.pruner))
        return {"sampler": sampler, "pruner": pruner, "workers": self.workers}

    def run(self, problem: Problem, seed: int, budget: Budget, goal: float | None = None) -> Trace:
        """Replay it; see `replay`."""
        return replay(problem, self, seed, budget, goal=goal)

    def pick(self, problem: Problem) -> Pick:
        """Return what says which trial this way to search would hand over."""
        return sampler_pick(problem.search_problem, self.sampler)


@dataclass(frozen=True)
class FalsePrunes:
    """How many trials the pruner ended, and how many of them would have beaten all it kept.

    Args:
        audits: Those that were trained on as an audit.
        audits_lost: Audits that beat every trial kept; all that a real study can count.
        ended: All, audited or not.
        ended_lost: Of all, those that would have won; only a replay knows.
    """

    audits: int
    audits_lost: int
    ended: int
    ended_lost: int


@dataclass(frozen=True)
class Trace:
    """What a replay did.

    Args:
        steps: Every epoch in the order of its end.
        history: The trials' final records.
        whole: Lowest observed error of each trial had it been trained to its end, by number;
            infinite for one that diverges.
        looks: What was known whenever a trial was asked for, and at the end.
        truths: Lowest error without noise of each trial's configuration, trained to its end, by
            number; infinite where it is likelier to diverge than not.
    """

    steps: Sequence[Step]
    history: Sequence[TrialRecord]
    whole: Mapping[int, float] = field(default_factory=dict)
    looks: Sequence[Look] = ()
    truths: Mapping[int, float] = field(default_factory=dict)

    def incumbent(self) -> list[tuple[float, float]]:
        """Return (simulated seconds, error without noise) of the best trial, whenever it changes.

        The best trial is the one of the lowest observed error, as a study picks it; its error
        without noise is what the user gets.
        """
        path: list[tuple[float, float]] = []
        best, holder = math.inf, -1
        for step in self.steps:
            if step.error < best or (step.trial == holder and step.truth < path[-1][1]):
                best, holder = min(best, step.error), step.trial
                path.append((step.seconds, step.truth))
        return path

    def false_prunes(self) -> FalsePrunes:
        """Count the trials that pruning ended, or would have, and those that would have won."""
        ended = [t for t in self.history if t.audit is not None or _was_pruned(t)]
        kept = [t.value for t in self.history if t.state == "complete" and t.audit is None]
        best = min((value for value in kept if value is not None), default=math.inf)
        lost = [t for t in ended if self.whole[t.number] < best]
        audited = [t for t in ended if t.audit is not None]
        audits_lost = sum(t.audit is not None for t in lost)
        return FalsePrunes(len(audited), audits_lost, len(ended), len(lost))

    def time_to(self, threshold: float) -> float:
        """Return the simulated seconds until the best trial's error without noise is as low."""
        return next((s for s, error in self.incumbent() if error <= threshold), math.inf)


@dataclass(frozen=True)
class _Plan(StudyPlan):
    """A plan whose start is given, not named: a foreign table's is in no study file."""

    start: Mapping[str, Value] | None = None

    @cached_property
    def enqueued(self) -> list[Enqueued]:
        return [] if self.start is None else [Enqueued(dict(self.start), "enqueued: parameters")]


def replay(
    problem: Problem,
    setup: Setup,
    seed: int,
    budget: Budget,
    work: Path = Path(),
    goal: float | None = None,
    until: Until | None = None,
) -> Trace:
    """Run one study on the model.

    Args:
        problem: What is searched.
        setup: How.
        seed: The study's seed; decides suggestions and noise.
        budget: Its hours are simulated ones.
        work: A folder; nothing is written into it.
        goal: An error without noise at which the best trial ends the replay; None goes on.
        until: Asked whenever a trial was asked for, with what was known and the truths of the
            trace so far; its True ends the replay.
    """
    config = StudyConfig(
        name="replay", space=problem.space.name, trial=problem.trial, sampler=setup.sampler,
        pruner=setup.pruner, budget=budget, limits=problem.limits, seed=seed,
        objectives=tuple(Named(name=name) for name in problem.objectives),
    )  # fmt: skip
    plan = _Plan(StudyFolder(work), config, problem.space, start=problem.start)
    data = DataPlace("", "")
    executor = SimulatedExecutor(problem.model, setup.workers)
    store = MemoryStore(seed)
    asker = DirectAsker(RememberingProblem(problem.search_problem), config, lambda: executor.now)
    around = Environment(store, asker, clock=lambda: executor.now)

    looked, over = 0, False

    def interrupts() -> int:
        nonlocal looked, over
        if goal is not None:
            over = math.isfinite(Trace(executor.steps, ()).time_to(goal))
        if until is not None and not over and looked < len(asker.looks):
            looked, over = len(asker.looks), until(asker.looks[-1], executor.truths())
        return 2 if over else 0

    driver = Driver(plan, data, executor, Silent(), interrupts, around)
    driver.run()
    ended = tuple(store.ended[n] for n in sorted(store.ended))
    looks = (*asker.looks, Look(executor.now, ended))
    return Trace(tuple(executor.steps), ended, executor.whole(), looks, executor.truths())


def _was_pruned(trial: TrialRecord) -> bool:
    return trial.state == "pruned" and trial.trainable
