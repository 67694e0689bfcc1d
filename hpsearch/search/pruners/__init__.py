"""Pruners by name: pure functions of the history that say whether a trial should go on."""

from __future__ import annotations

from hpsearch.search.config import PrunerConfig
from hpsearch.search.pruners.asha import AshaPruner
from hpsearch.search.pruners.base import NoPruner, Pruner
from hpsearch.search.pruners.hyperband import HyperbandPruner
from hpsearch.search.pruners.percentile import PercentilePruner
from hpsearch.search.pruners.promotion import PromotionPruner
from hpsearch.search.resource import Resource

__all__ = [
    "AshaPruner",
    "HyperbandPruner",
    "NoPruner",
    "PercentilePruner",
    "PromotionPruner",
    "Pruner",
    "make_pruner",
]


def make_pruner(config: PrunerConfig, resource: Resource) -> Pruner:
    """Return the pruner of a study.

    Args:
        config: Which pruner, and its rungs.
        resource: The lengths of trials; at its end nothing is pruned any more.
    """
    if config.name in ("median", "percentile"):
        percentile = 50.0 if config.name == "median" else config.percentile
        return PercentilePruner(
            percentile, config.min_resource, config.startup_trials, resource
        )
    if config.name in ("asha", "asha-promotion"):
        return _halving(config, config.min_resource, resource)
    if config.name in ("hyperband", "hyperband-promotion"):
        firsts, first = [config.min_resource], config.min_resource * config.reduction_factor
        while first <= resource.whole:
            firsts.append(first)
            first *= config.reduction_factor
        brackets = tuple(_halving(config, first, resource) for first in firsts)
        return HyperbandPruner(brackets, config.reduction_factor)
    return NoPruner()


def _halving(config: PrunerConfig, first: int, resource: Resource) -> Pruner:
    rule = AshaPruner(first, config.reduction_factor, config.startup_trials, resource)
    return PromotionPruner(rule) if config.name.endswith("-promotion") else rule
