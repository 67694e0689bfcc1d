"""Which pruner a study uses, and its options. Must not know how pruners work."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from hpsearch.configfile import Section
from hpsearch.extensions import check_name

PrunerName = Literal[
    "none",
    "median",
    "percentile",
    "asha",
    "asha-promotion",
    "hyperband",
    "hyperband-promotion",
    "expected",
]


GROUP = "hpsearch.pruners"
"""Entry points of pruners."""
Foreign = Annotated[str, AfterValidator(partial(check_name, GROUP))]


class PrunerConfig(Section):
    """The pruner, which ends trials early by their one-shot validation error."""

    name: Annotated[PrunerName | Foreign, Field(union_mode="left_to_right")] = "expected"
    """expected ends a trial that is unlikely to become the best, by the model of the sampler
    bayes; with any other sampler the default is asha. asha is asynchronous successive halving,
    hyperband runs several brackets of it. Both stop a trial that falls behind; with -promotion
    they pause it, and may resume it later. median and percentile compare with complete trials at
    the same epoch. none never ends a trial. FILE.py:CLASS, MODULE:CLASS or the name of an entry
    point is a class of your own."""
    min_resource: int = Field(1, ge=1)
    """Amount of the first rung (asha, hyperband); first amount at which median and percentile may
    prune."""
    reduction_factor: int = Field(3, ge=2, le=10)
    """Keep the best 1/reduction_factor at each rung; the next rung is reduction_factor times
    higher."""
    startup_trials: int = Field(3, ge=1)
    """Other trials that must have reached an amount before a trial can be pruned there. expected
    needs one complete trial and takes no other number."""
    percentile: Annotated[float, Field(gt=0, lt=100)] = 25.0
    """With percentile: a trial must be among this percentage of the best complete trials."""
    resource: Literal["epochs", "compute"] = "epochs"
    """Unit of amounts. epochs: every trial may train max_epochs. compute: multiply-adds, measured
    in epochs of the study's `trial` section, so that a costlier network trains fewer epochs."""
    audit_share: float = Field(0.05, ge=0, le=1)
    """Share of the trials to prune that train on instead, to measure what pruning loses."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of a class of your own; the others have none."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if self.options and not self.foreign:
            raise ValueError(f"options: {self.name} has none; remove them")
        return self

    @property
    def foreign(self) -> bool:
        """Whether it is a class that is not ours; see hpsearch.pruners.foreign."""
        return self.name not in get_args(PrunerName)
