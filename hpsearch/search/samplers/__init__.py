"""Samplers by name, each behind the same protocol. A library is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpsearch.search.samplers.base import Observation, Sampler, observe

if TYPE_CHECKING:
    from hpsearch.search.config import SamplerName
    from hpsearch.search.coordinates import Coordinates

__all__ = ["Observation", "Sampler", "make_sampler", "observe"]


def make_sampler(
    name: SamplerName, coordinates: Coordinates, observations: Sequence[Observation]
) -> Sampler:
    """Return the sampler of a name, told what is known so far."""
    if name == "random":
        from hpsearch.search.samplers.random import RandomSampler

        return RandomSampler(coordinates)
    if name == "tpe":
        from hpsearch.search.samplers.tpe import TpeSampler

        return TpeSampler(coordinates, observations)
    if name == "gp":
        from hpsearch.search.samplers.gp import GpSampler

        return GpSampler(coordinates, observations)
    from hpsearch.search.samplers.skopt import SkoptSampler

    return SkoptSampler(coordinates, observations, name)
