"""Which sampler a study uses, and its options. Must not know how samplers work."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from hpsearch.configfile import Section, in_words
from hpsearch.extensions import check_name

SamplerName = Literal[
    "random",
    "sobol",
    "recentred",
    "around",
    "bayes",
    "tpe",
    "gp",
    "nsga2",
    "skopt-gp",
    "skopt-rf",
    "skopt-et",
]
Acquisition = Literal["EI", "LCB", "PI", "gp_hedge", "EIps"]
GP_LIMIT = 300
"""Settled trials above which Gaussian processes hand over to tpe: their cost is cubic in them."""
CUBIC: tuple[SamplerName, ...] = ("gp", "skopt-gp")
STARTUP, BAYES_STARTUP = 10, 6
"""Trials before a sampler proposes; the belief of bayes knows how little few trials say."""
BLIND: tuple[SamplerName, ...] = ("random", "sobol", "recentred", "around")
"""Samplers that learn nothing from the history: they start a search and serve as baselines."""


EXPECTS: tuple[SamplerName, ...] = ("bayes",)
"""Samplers with a model of final errors."""
GROUP = "hpsearch.samplers"
"""Entry points of samplers."""
Foreign = Annotated[str, AfterValidator(partial(check_name, GROUP))]


class NoOptions(Section):
    """random, sobol, recentred, around and bayes have no options."""


class TpeOptions(Section):
    """Options of tpe."""

    candidates: int = Field(24, ge=1, le=10_000)
    """Points drawn from the density of the good trials; the highest density ratio wins."""


class GpOptions(Section):
    """Options of gp."""

    noise: bool = True
    """Whether equal configurations may score differently; false fits every value exactly."""


class Nsga2Options(Section):
    """Options of nsga2."""

    population: int = Field(20, ge=2, le=10_000)
    """Trials of a generation; the first one is drawn at random after the start."""


class SkoptOptions(Section):
    """Options of skopt-gp, skopt-rf and skopt-et."""

    acquisition: Acquisition = "EI"
    """EI is expected improvement, LCB the lower confidence bound, PI the probability of
    improvement. gp_hedge draws one of these three for each trial. EIps is expected improvement per
    second of training."""
    xi: Annotated[float, Field(ge=0, le=10)] = 0.01
    """EI, PI: smallest improvement that counts, in standard deviations of the values seen."""
    kappa: Annotated[float, Field(ge=0, le=100)] = 1.96
    """LCB: standard deviations by which the bound lies below the mean."""
    trees: int = Field(100, ge=10, le=1000)
    """Number of trees of skopt-rf and skopt-et."""


OPTIONS: dict[str, type[Section]] = {
    "random": NoOptions,
    "sobol": NoOptions,
    "recentred": NoOptions,
    "around": NoOptions,
    "bayes": NoOptions,
    "tpe": TpeOptions,
    "gp": GpOptions,
    "nsga2": Nsga2Options,
    "skopt-gp": SkoptOptions,
    "skopt-rf": SkoptOptions,
    "skopt-et": SkoptOptions,
}


def startup_of(sampler: str | None) -> int:
    """Return the start trials of a sampler that is given no number."""
    return BAYES_STARTUP if sampler == "bayes" else STARTUP


class SamplerConfig(Section):
    """The sampler that proposes configurations."""

    name: Annotated[SamplerName | Foreign, Field(union_mode="left_to_right")] = "bayes"
    """random draws uniformly. sobol spreads points evenly. recentred pulls most of these points
    towards the middle of the search space, around towards the first trial. bayes learns from
    every epoch, and knows its noise. tpe, gp and nsga2, a genetic algorithm, are Optuna's;
    skopt-gp, skopt-rf and skopt-et are scikit-optimize's and know one objective. FILE.py:CLASS,
    MODULE:CLASS or the name of an entry point is a class of your own, or any of Optuna's
    samplers."""
    startup_trials: int = Field(
        default_factory=lambda given: startup_of(given.get("name")), ge=1, le=10_000
    )
    """Finished or paused trials before the model proposes; `start` proposes until then. It does
    not limit the search. By itself 6 with bayes, 10 with the others."""
    start: Literal["around", "recentred", "sobol", "random"] = "around"
    """Sampler of the first trials. recentred begins with the middle of the search space, then
    takes points of a scrambled Sobol sequence, two of three pulled towards the middle. around does
    the same unless a configuration is enqueued; then all are pulled towards that, and by more.
    sobol takes these points unchanged. random draws uniformly."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the named sampler; options of other samplers are refused."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if self.foreign:
            return self  # its class knows them
        kind = OPTIONS[self.name]
        try:
            kind.model_validate(self.options)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                known = ", ".join(kind.model_fields) or "none"
                raise ValueError(
                    f"options.{key}: not an option of {self.name}; it has: {known}"
                ) from None
            raise ValueError(
                f"options.{key}: {in_words(first)} (found {first['input']!r})"
            ) from None
        return self

    def settings(self) -> Section:
        """Return the options of the named sampler, checked, with defaults filled in."""
        return OPTIONS[self.name].model_validate(self.options)

    @property
    def foreign(self) -> bool:
        """Whether it is a class that is not ours; see hpsearch.samplers.foreign."""
        return self.name not in OPTIONS

    @property
    def replayable(self) -> bool:
        """Whether the same study on another machine proposes the same trials."""
        return self.options.get("acquisition") != "EIps"
