"""Pruners by name: pure functions of the history that decide whether a trial goes on."""

from __future__ import annotations

from itertools import accumulate, count

from hpsearch.belief.belief import FEWEST
from hpsearch.front import ONE, Goals
from hpsearch.pruners.asha import AshaPruner
from hpsearch.pruners.base import Pruner
from hpsearch.pruners.config import PrunerConfig
from hpsearch.pruners.expected import ExpectedPruner
from hpsearch.pruners.foreign import make_foreign
from hpsearch.pruners.hyperband import HyperbandPruner
from hpsearch.pruners.percentile import PercentilePruner
from hpsearch.pruners.promotion import PromotionPruner
from hpsearch.space.problem import SearchProblem
from hpsearch.space.resource import Resource

__all__ = [
    "AshaPruner",
    "ExpectedPruner",
    "HyperbandPruner",
    "PercentilePruner",
    "PromotionPruner",
    "Pruner",
    "fewest_trials",
    "make_pruner",
]


def make_pruner(
    config: PrunerConfig,
    resource: Resource,
    problem: SearchProblem | None = None,
    goals: Goals = ONE,
) -> Pruner:
    """Return the pruner of a study.

    Args:
        config: The pruner and its options.
        resource: Lengths of trials; a trial at its full length is never pruned.
        problem: The search problem; only `expected` needs it.
        goals: The study's objectives.

    Raises:
        ValueError: `expected` without a problem.
    """
    if config.name == "expected":
        if problem is None:
            raise ValueError("the pruner expected compares configurations: it needs the problem")
        return ExpectedPruner(config.min_resource, resource, problem, goals)
    if config.name in ("median", "percentile"):
        percentile = 50.0 if config.name == "median" else config.percentile
        return PercentilePruner(percentile, config.min_resource, config.startup_trials, resource)
    if config.name in ("asha", "asha-promotion"):
        return _halving(config, config.min_resource, resource, goals)
    if config.name in ("hyperband", "hyperband-promotion"):
        firsts, first = [config.min_resource], config.min_resource * config.reduction_factor
        while first <= resource.whole:
            firsts.append(first)
            first *= config.reduction_factor
        brackets = tuple(_halving(config, first, resource, goals) for first in firsts)
        return HyperbandPruner(brackets, config.reduction_factor)
    if config.foreign:
        return make_foreign(config, resource, problem)
    return Pruner()


def fewest_trials(config: PrunerConfig, resource: Resource) -> int | None:
    """Return how many trials a study must start before its pruner can end one of them.

    Args:
        config: The pruner and its options.
        resource: Lengths of trials.

    Returns:
        None if it never ends a trial: `none`, or a first rung at or above the full length.
    """
    if config.foreign:
        return 1  # only its class knows
    if config.name == "none" or config.min_resource >= resource.whole:
        return None
    enough = config.startup_trials + 1
    if config.name == "expected":
        return FEWEST
    pruner = make_pruner(config, resource)
    if not isinstance(pruner, HyperbandPruner):
        return enough
    largest = accumulate(pruner.bracket(number) == 0 for number in count())
    return next(n for n, members in enumerate(largest, 1) if members == enough)


def _halving(config: PrunerConfig, first: int, resource: Resource, goals: Goals) -> Pruner:
    rule = AshaPruner(first, config.reduction_factor, config.startup_trials, resource, goals)
    return PromotionPruner(rule) if config.name.endswith("-promotion") else rule
