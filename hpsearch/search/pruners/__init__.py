"""Pruners by name: pure functions of the history that say whether a trial should stop."""

from __future__ import annotations

from hpsearch.search.config import PrunerConfig
from hpsearch.search.pruners.asha import AshaPruner
from hpsearch.search.pruners.base import NoPruner, Pruner
from hpsearch.search.pruners.hyperband import HyperbandPruner
from hpsearch.search.pruners.median import MedianPruner

__all__ = ["AshaPruner", "HyperbandPruner", "MedianPruner", "NoPruner", "Pruner", "make_pruner"]


def make_pruner(config: PrunerConfig, max_epochs: int) -> Pruner:
    """Return the pruner of a study.

    Args:
        config: Which pruner, and its rungs.
        max_epochs: Epochs of a whole trial; there nothing is pruned any more.
    """
    if config.name == "median":
        return MedianPruner(config.min_resource, config.startup_trials, max_epochs)
    if config.name == "asha":
        return AshaPruner(
            config.min_resource, config.reduction_factor, config.startup_trials, max_epochs
        )
    if config.name == "hyperband":
        return HyperbandPruner(
            config.min_resource, config.reduction_factor, config.startup_trials, max_epochs
        )
    return NoPruner()
