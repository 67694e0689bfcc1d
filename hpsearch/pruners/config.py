"""Which pruner a study uses, and its options. Knows nothing of how pruners work."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpsearch.configfile import Section

PrunerName = Literal[
    "none", "median", "percentile", "asha", "asha-promotion", "hyperband", "hyperband-promotion"
]


class PrunerConfig(Section):
    """Which pruner ends trials early, on one-shot validation error."""

    name: PrunerName = "asha"
    """asha is asynchronous successive halving, hyperband its brackets: both stop a trial that
    falls behind; with -promotion they pause it, and go on with it when it may. none trains every
    trial to its end."""
    min_resource: int = Field(1, ge=1)
    """Amount at the first rung (asha, hyperband), or before median and percentile may prune."""
    reduction_factor: int = Field(3, ge=2, le=10)
    """One trial in so many goes on from a rung to the next, which lies so many times higher."""
    startup_trials: int = Field(3, ge=1)
    """Peers that must have reached an amount before any trial is pruned there."""
    percentile: Annotated[float, Field(gt=0, lt=100)] = 25.0
    """With percentile: a trial must be among the best so many percent of the complete ones."""
    resource: Literal["epochs", "compute"] = "epochs"
    """What amounts count. epochs: every trial may train max_epochs. compute: multiply-adds, in
    epochs of the study's own `trial` section, so that a costlier network trains fewer epochs."""
    audit_share: float = Field(0.05, ge=0, le=1)
    """Share of the trials the pruner would end that are trained on, to see what pruning loses."""
