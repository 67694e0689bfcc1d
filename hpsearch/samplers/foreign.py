"""Samplers that other people wrote: a class of their own, or one of Optuna's `BaseSampler`.

A class of their own is made as `Class(problem, observations, **options)` and has `draw(seed)`.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from hpsearch import extensions
from hpsearch.errors import InputError, one_line
from hpsearch.samplers.base import Observation, Sampler, values_with_worst
from hpsearch.samplers.config import GROUP, SamplerConfig
from hpsearch.samplers.optuna_study import SEEDS, OptunaStudy
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import Value

REDRAWS = 64
"""Draws of a sampler that does not say how many to try."""


class OptunaSampler:
    """Any of Optuna's samplers, made anew for each draw.

    Some keep what they know in themselves or in the attributes of trials. So each draw lets a new
    one live through the history: for each trial it is asked as it was then, gets the parameters
    that were tried, and is told the value. The same history and seed give the same suggestion. The
    cost grows with the number of trials. Pruned and paused trials count with their lowest value,
    bad ones with the worst.
    """

    redraws = 16

    def __init__(
        self,
        problem: SearchProblem,
        observations: Sequence[Observation],
        kind: type[BaseSampler],
        options: Mapping[str, Any],
    ) -> None:
        """Keep what a draw needs."""
        self._problem, self._observations = problem, observations
        self._kind, self._options = kind, dict(options)

    def draw(self, seed: int) -> dict[str, Value]:
        """Return what the sampler proposes after this history."""
        study = _Lived(self._problem, [])
        sampler = make_optuna_sampler(self._kind, self._options, seed)
        values = values_with_worst(self._problem, self._observations)
        for one, value in zip(self._observations, values, strict=True):
            study.live(sampler, self._problem.encode(one.params), value)
        return study.ask(sampler)


class _Lived(OptunaStudy):
    """A study that a sampler takes part in."""

    def live(
        self, sampler: BaseSampler, point: Mapping[str, Value], values: Sequence[float] | None
    ) -> None:
        """Ask the sampler, try this point instead, and tell its values; None while it runs."""
        self._study.sampler = sampler
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study.enqueue_trial(dict(point))
            trial = self._study.ask(self._distributions)
            _ = trial.relative_params  # the sampler notes in the trial what it would have proposed
            if values is not None:
                self._study.tell(trial, list(values))


def make_optuna_sampler(
    kind: type[BaseSampler], options: Mapping[str, Any], seed: int
) -> BaseSampler:
    """Return one of Optuna's samplers.

    Raises:
        InputError: It takes no seed, or other options.
    """
    taken = inspect.signature(kind).parameters
    if "seed" not in taken and all(one.kind is not one.VAR_KEYWORD for one in taken.values()):
        raise InputError(
            f"sampler {kind.__name__}: takes no seed, so its suggestions could not be derived "
            "again; name another"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return kind(**options, seed=seed % SEEDS)  # type: ignore[call-arg]
    except (TypeError, ValueError) as error:
        raise InputError(f"sampler.options: {kind.__name__}: {one_line(str(error))}") from error


def check_foreign(config: SamplerConfig) -> type[Any]:
    """Load the class of a sampler; refuse one that could not propose trials.

    Raises:
        InputError: It cannot be loaded, is no sampler, or takes other options.
    """
    kind = extensions.load(GROUP, config.name)
    if not inspect.isclass(kind):
        raise InputError(f"sampler.name: {config.name}: is no class")
    if issubclass(kind, BaseSampler):
        make_optuna_sampler(kind, config.options, 0)
        return kind
    if not callable(getattr(kind, "draw", None)):
        raise InputError(
            f"sampler.name: {config.name}: has no draw(seed) and is none of Optuna's samplers"
        )
    try:
        inspect.signature(kind).bind(None, None, **config.options)
    except TypeError as error:
        raise InputError(f"sampler.options: {kind.__name__}: {one_line(str(error))}") from error
    return kind


def make_foreign(
    config: SamplerConfig, problem: SearchProblem, observations: Sequence[Observation]
) -> Sampler:
    """Return the sampler that a study names, after it has seen the observations.

    Raises:
        InputError: See `check_foreign`.
    """
    kind = check_foreign(config)
    if issubclass(kind, BaseSampler):
        return OptunaSampler(problem, observations, kind, config.options)
    made: Sampler = _Redrawn(kind(problem, observations, **config.options), problem, config.name)
    return made


class _Redrawn:
    """A sampler of somebody else, whose `redraws` may be missing."""

    def __init__(self, sampler: Any, problem: SearchProblem, name: str) -> None:
        self._sampler, self._problem, self._name = sampler, problem, name
        self.redraws = int(getattr(sampler, "redraws", REDRAWS))

    def draw(self, seed: int) -> dict[str, Value]:
        """Return its proposal; sizes that do not fit move to the nearest that do.

        Raises:
            ValueError: It is no point of the space.
        """
        found: dict[str, Value] = dict(self._sampler.draw(seed))
        if wrong := self._problem.misfits(found):
            raise ValueError(f"{self._name}: draw returned {found}: {wrong[0]}")
        if self._problem.sizes.fits(found):
            return found
        return {**found, **self._problem.nearest_sizes(found)}
