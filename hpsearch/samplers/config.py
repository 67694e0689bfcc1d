"""Which sampler a study uses, and its options. Knows nothing of how samplers work."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from hpsearch.configfile import Section, in_words

SamplerName = Literal[
    "random", "sobol", "recentred", "tpe", "gp", "skopt-gp", "skopt-rf", "skopt-et"
]
Acquisition = Literal["EI", "LCB", "PI", "gp_hedge", "EIps"]
GP_LIMIT = 300
"""Finished trials above which Gaussian processes, cubic in them, hand over to tpe."""
CUBIC: tuple[SamplerName, ...] = ("gp", "skopt-gp")
BLIND: tuple[SamplerName, ...] = ("random", "sobol", "recentred")
"""Samplers that learn nothing from a history: what starts a search, and baselines."""


class NoOptions(Section):
    """random, sobol and recentred have nothing to set."""


class TpeOptions(Section):
    """Options of tpe."""

    candidates: int = Field(24, ge=1, le=10_000)
    """Points drawn from the good trials' density; the one of the highest density ratio is taken."""


class GpOptions(Section):
    """Options of gp."""

    noise: bool = True
    """Whether equal configurations may score differently; false interpolates every value."""


class SkoptOptions(Section):
    """Options of skopt-gp, skopt-rf and skopt-et."""

    acquisition: Acquisition = "EI"
    """Expected improvement, lower confidence bound, probability of improvement; gp_hedge draws one
    of these three for each trial; EIps is expected improvement per second of training."""
    xi: Annotated[float, Field(ge=0, le=10)] = 0.01
    """EI, PI: the improvement that counts, in standard deviations of the values seen."""
    kappa: Annotated[float, Field(ge=0, le=100)] = 1.96
    """LCB: standard deviations below the mean that a point may be hoped to lie."""
    trees: int = Field(100, ge=10, le=1000)
    """Trees of skopt-rf and skopt-et."""


OPTIONS: dict[SamplerName, type[Section]] = {
    "random": NoOptions,
    "sobol": NoOptions,
    "recentred": NoOptions,
    "tpe": TpeOptions,
    "gp": GpOptions,
    "skopt-gp": SkoptOptions,
    "skopt-rf": SkoptOptions,
    "skopt-et": SkoptOptions,
}


class SamplerConfig(Section):
    """Which sampler proposes configurations."""

    name: SamplerName = "tpe"
    """random; sobol, evenly spread; recentred, most of that nearer to the middle of the box; Optuna's
    tpe or gp; scikit-optimize's gp, rf or et."""
    startup_trials: int = Field(10, ge=1, le=10_000)
    """Finished or paused trials before the model decides; until then `start`. It does not limit the
    search."""
    start: Literal["recentred", "sobol", "random"] = "recentred"
    """What proposes the first trials: the middle of the box, then points of a scrambled Sobol
    sequence, two of three of them pulled towards the middle; the same as they are; or random ones."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the named sampler; those of another sampler are refused."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
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
        """Return the options of the named sampler, checked, with what was left out."""
        return OPTIONS[self.name].model_validate(self.options)

    @property
    def replayable(self) -> bool:
        """Whether the same study on another machine proposes the same trials."""
        return self.options.get("acquisition") != "EIps"
