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
    """Return every set-up by name, the default first: one factor at a time around it.

    Around the baseline too: what is recorded of earlier defaults has its names from there.
    """
    baseline = Setup(SamplerConfig(name="tpe"), PrunerConfig(name="asha"))
    pruner = PrunerConfig(name=PrunerConfig().name)  # named, or it would follow the sampler
    bases = {default_name(): Setup(SamplerConfig(), pruner), BASELINE: baseline}
    found = {
        default_name(): bases[default_name()],
        RANDOM: Setup(SamplerConfig(name="random"), PrunerConfig(name="none")),
        **bases,
    }
    for base, (sampler, pruner) in ((n, (s.sampler, s.pruner)) for n, s in bases.items()):
        near = {
            f"{n}-{pruner.name}": Setup(SamplerConfig(name=n), pruner)
            for n in ("random", *LEARNING)
        }
        for name in ("none", "median", "asha", "asha-promotion", "hyperband"):
            near[f"{sampler.name}-{name}"] = Setup(sampler, PrunerConfig(name=name))
        for start in ("recentred", "sobol", "random"):
            if start != sampler.start:
                begun = sampler.model_copy(update={"start": start})
                near[f"{base}-{start}-start"] = Setup(begun, pruner)
        for count in (5, 10, 20, 40):
            if count != sampler.startup_trials:
                changed = sampler.model_copy(update={"startup_trials": count})
                near[f"{base}-start{count}"] = Setup(changed, pruner)
        found = {**near, **found}
    for factor in (2, 4):
        slower = baseline.pruner.model_copy(update={"reduction_factor": factor})
        found[f"{BASELINE}-factor{factor}"] = Setup(baseline.sampler, slower)
    for name in (default_name(), RANDOM, BASELINE):
        found[f"{name}-4workers"] = Setup(found[name].sampler, found[name].pruner, workers=4)
    return {default_name(): found[default_name()], **found}


def known() -> dict[str, Way]:
    """Return every way to search by name, the default first."""
    return {**setups(), **OUTSIDE}


def default_name() -> str:
    """Return the name of what a study does that says nothing."""
    return f"{SamplerConfig().name}-{PrunerConfig().name}"
