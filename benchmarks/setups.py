"""The ways to search that the benchmark knows, and the project's own tables. Runs none of them."""

from __future__ import annotations

from pathlib import Path

from benchmarks.cells import Source, Way
from benchmarks.outside import PROGRAM_SYSTEMS, PlainOptuna, PlainSkopt
from benchmarks.replay import Setup
from hpsearch.pruners.config import PrunerConfig
from hpsearch.study.config import SamplerConfig

TABLES = Path("benchmarks/tables")
RANDOM = "random-none"
BASELINE = "tpe-asha"
"""What every table is compared with: the default when the yardstick was made."""
LEARNING = ("bayes", "tpe", "gp", "skopt-gp", "skopt-rf", "skopt-et")
"""Samplers that learn: their asks are timed."""


def own_source(name: str) -> Source:
    """Return one of the project's tables, with its study file for geometry and limits."""
    table = name.removesuffix("-second")
    return Source(
        TABLES / f"{table}.csv.gz",
        str(TABLES / f"{table}.space.yaml"),
        TABLES / f"{table}.yaml",
        second=name.endswith("-second"),
    )


OWN = {n: own_source(n) for n in ("siamese35", "modern35", "siamese35-second", "modern35-second")}
"""The project's tables by name, each under both families of surrogates."""

OUTSIDE: dict[str, Way] = {
    "plain-optuna-tpe": PlainOptuna("tpe"),
    "plain-optuna-gp": PlainOptuna("gp"),
    "plain-scikit-optimize": PlainSkopt(),
    **PROGRAM_SYSTEMS,
}
"""Other systems on the same problem; `--cells` runs them, `--all` those that are installed."""


def setups() -> dict[str, Setup]:
    """Return every set-up by name, the default first: one factor at a time around it."""
    sampler, pruner = SamplerConfig(), PrunerConfig()
    found = {default_name(): Setup(sampler, pruner)}
    found[RANDOM] = Setup(SamplerConfig(name="random"), PrunerConfig(name="none"))
    found.setdefault(BASELINE, Setup(SamplerConfig(name="tpe"), PrunerConfig(name="asha")))
    bayes = Setup(SamplerConfig(name="bayes"), PrunerConfig(name="expected"))
    found.setdefault("bayes-expected", bayes)

    def add(name: str, setup: Setup) -> None:
        found.setdefault(name, setup)

    for name in ("random", *LEARNING):
        other = sampler.model_copy(update={"name": name})
        add(f"{name}-{pruner.name}", Setup(other, pruner))
    for name in ("none", "median", "asha", "asha-promotion", "hyperband"):
        other_pruner = pruner.model_copy(update={"name": name})
        add(f"{sampler.name}-{name}", Setup(sampler, other_pruner))
    for start in ("recentred", "sobol", "random"):
        if start != sampler.start:
            begun = sampler.model_copy(update={"start": start})
            add(f"{default_name()}-{start}-start", Setup(begun, pruner))
    for count in (5, 10, 20, 40):
        if count != sampler.startup_trials:
            changed = sampler.model_copy(update={"startup_trials": count})
            add(f"{default_name()}-start{count}", Setup(changed, pruner))
    for factor in (2, 3, 4):
        if factor != pruner.reduction_factor:
            slower = pruner.model_copy(update={"reduction_factor": factor})
            add(f"{default_name()}-factor{factor}", Setup(sampler, slower))
    for name in (default_name(), RANDOM):
        add(f"{name}-4workers", Setup(found[name].sampler, found[name].pruner, workers=4))
    return found


def known() -> dict[str, Way]:
    """Return every way to search by name, the default first."""
    return {**setups(), **OUTSIDE}


def default_name() -> str:
    """Return the name of what a study does that says nothing."""
    return f"{SamplerConfig().name}-{PrunerConfig().name}"
