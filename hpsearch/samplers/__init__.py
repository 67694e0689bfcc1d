"""Samplers by name, behind one protocol. A sampler's library is imported on first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hpsearch.samplers.base import Observation, Sampler, observe
from hpsearch.samplers.config import (
    BLIND,
    GpOptions,
    Nsga2Options,
    SamplerConfig,
    SkoptOptions,
    TpeOptions,
)
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import Value

__all__ = ["BLIND", "Observation", "Sampler", "SamplerConfig", "make_sampler", "observe"]


def make_sampler(
    config: SamplerConfig,
    problem: SearchProblem,
    observations: Sequence[Observation],
    number: int,
    first: Mapping[str, Value] | None = None,
) -> Sampler:
    """Return a sampler that has learnt from the observations.

    Args:
        config: Its name and options.
        problem: The search problem.
        observations: Trials observed so far, by number.
        number: Number of the trial to propose.
        first: The first trial's parameters, where there is one that could be trained.
    """
    if config.name == "random":
        from hpsearch.samplers.random import RandomSampler

        return RandomSampler(problem)
    if config.name in ("sobol", "recentred", "around"):
        from hpsearch.samplers.sobol import make_sobol

        return make_sobol(config.name, problem, number, first)
    if config.name == "bayes":
        from hpsearch.samplers.bayes import BayesSampler

        return BayesSampler(problem, observations)
    if config.foreign:
        from hpsearch.samplers.foreign import make_foreign

        return make_foreign(config, problem, observations)
    options = config.settings()
    if isinstance(options, TpeOptions):
        from hpsearch.samplers.tpe import TpeSampler

        return TpeSampler(problem, observations, options)
    if isinstance(options, GpOptions):
        from hpsearch.samplers.gp import GpSampler

        return GpSampler(problem, observations, options)
    if isinstance(options, Nsga2Options):
        from hpsearch.samplers.nsga2 import Nsga2Sampler

        return Nsga2Sampler(problem, observations, options)
    if isinstance(options, SkoptOptions):
        from hpsearch.samplers.skopt import SkoptSampler

        return SkoptSampler(problem, observations, config.name, options)
    raise ValueError(f"no sampler of the name {config.name}")
