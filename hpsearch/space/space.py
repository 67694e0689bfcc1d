"""The search space: the searched parameters and their ranges. Must not know samplers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from hpsearch.configfile import Section, dump_yaml, load_section, read_yaml
from hpsearch.errors import InputError
from hpsearch.network.geometry import Comparison
from hpsearch.paths import user_path
from hpsearch.shipped_files import find_shipped
from hpsearch.space.conditions import check_conditions, check_forbidden
from hpsearch.space.effects import leaf_paths, refuse_without_effect
from hpsearch.space.parameter import Choice, Parameter
from hpsearch.trainers.command import CommandTrial
from hpsearch.trainers.macros import named_parameters
from hpsearch.trainers.recipe import Recipe
from hpsearch.training.config import TrialConfig

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)*")
LOGARITHMIC_SIZES = re.compile(r"conv\d+\.filter_size|input_size")


class NetworkFrame(Section):
    """The network of a space file, for showing the feasible share without a study."""

    input_size: int = Field(ge=8, le=224)
    """Height and width of the image, pixels."""
    pools: tuple[bool, ...] = Field(max_length=20)
    """For each convolution, from the image upwards, whether a 2 x 2 pooling follows."""
    padding: Literal["none", "same"] = "none"
    """Padding of every convolution."""
    comparison: Comparison = "weighted_l1"
    """How two images are compared."""


class SearchSpace(Section):
    """A search space file."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
    """Name of the space, for display."""
    description: Annotated[str, Field(max_length=2000)] = ""
    """Origin of the ranges."""
    network: NetworkFrame | None = None
    """Network for which `space show` prints the feasible share; a study uses its own `trial`."""
    parameters: dict[str, Parameter] = Field(min_length=1, max_length=500)
    """Range of each parameter, by its path in the trial's configuration; a command's parameters
    have names of their own."""
    forbidden: tuple[dict[str, tuple[Choice, ...]], ...] = Field((), max_length=1000)
    """With a command: combinations of values that are never proposed."""

    @field_validator("forbidden", mode="before")
    @classmethod
    def _in_lists(cls, entries: Any) -> Any:
        """Read {optimiser: sgd} as {optimiser: [sgd]}."""
        if not isinstance(entries, list | tuple):
            return entries
        return [
            {n: v if isinstance(v, list | tuple) else [v] for n, v in entry.items()}
            if isinstance(entry, dict)
            else entry
            for entry in entries
        ]

    @model_validator(mode="after")
    def _check_conditions(self) -> Self:
        check_conditions(self.parameters)
        check_forbidden(self.forbidden, self.parameters)
        return self

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for name, parameter in self.parameters.items():
            if len(name) > 100 or not NAME.fullmatch(name):
                shown = name if len(name) <= 40 else name[:37] + "..."
                raise ValueError(f"name {shown!r}: write a path such as conv1.filter_size")
            if parameter.log and LOGARITHMIC_SIZES.fullmatch(name):
                raise ValueError(
                    f"{name}: sizes are drawn uniformly over what fits, log would do nothing; "
                    "remove log"
                )
        return self

    @classmethod
    def from_yaml(cls, source: Path | str) -> SearchSpace:
        """Read a space file.

        Args:
            source: A file; text may also be the name of a shipped space.

        Raises:
            InputError: One line with file, key, value and what is allowed.
        """
        path = user_path(source)
        if isinstance(source, str) and path.suffix not in (".yaml", ".yml") and not path.exists():
            path = find_shipped("search_spaces", source)
        return cls.from_values(read_yaml(path), path)

    @classmethod
    def from_values(cls, values: Any, source: str | Path = "search space") -> SearchSpace:
        """Validate a plain dictionary.

        Raises:
            InputError: One line with source, key, value and what is allowed.
        """
        return load_section(cls, values, source)

    def to_yaml(self) -> str:
        """Return the space as a file that reads back as the same space."""
        values: dict[str, Any] = {"name": self.name}
        if self.description:
            values["description"] = self.description
        if self.network is not None:
            values["network"] = self.network.model_dump(mode="json")
        values["parameters"] = {name: p.plain() for name, p in self.parameters.items()}
        if self.forbidden:
            values["forbidden"] = self.model_dump(mode="json")["forbidden"]
        return dump_yaml(values)

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return Optuna's distributions of the decoded values, as stored in the database."""
        return {name: p.distribution() for name, p in self.parameters.items()}

    def frame(self) -> TrialConfig:
        """Return a configuration of `network` with the smallest searched values.

        Raises:
            InputError: The file has no `network`, or a layer's size is not searched.
        """
        if self.network is None:
            raise InputError(
                f"search space {self.name}: network: missing; add input_size and pools to show "
                "what fits"
            )
        layers: dict[str, Any] = {
            f"conv{k}": {
                "filter_size": 1,
                "filter_count": self._smallest(f"conv{k}.filter_count"),
                "pool": pool,
                "padding": self.network.padding,
            }
            for k, pool in enumerate(self.network.pools, start=1)
        }
        for name in layers:
            self._smallest(f"{name}.filter_size")
        code = "projection" if self.network.comparison == "aligned" else "fc"
        layers[code] = {"width": self._smallest(f"{code}.width")}
        values = {
            "input_size": self.network.input_size,
            "layers": layers,
            "comparison": self.network.comparison,
        }
        return TrialConfig.from_values(values, f"search space {self.name}: network")

    def _smallest(self, name: str) -> Any:
        if name not in self.parameters:
            raise InputError(
                f"search space {self.name}: {name} is not searched, so what fits depends on the "
                "study"
            )
        return self.parameters[name].extremes[0]

    def frozen(self, values: Mapping[str, Any]) -> SearchSpace:
        """Return the space with some parameters fixed at one value.

        Args:
            values: Path to value; a value may lie outside the searched range.

        Raises:
            InputError: No parameter of that name, or a value of another type.
        """
        parameters = dict(self.parameters)
        for name, value in values.items():
            if name not in parameters:
                near = difflib.get_close_matches(name, list(parameters), 1)
                hint = f"did you mean {near[0]}?" if near else "it has " + ", ".join(parameters)
                raise InputError(f"freeze.{name}: not a parameter of space {self.name}; {hint}")
            try:
                parameters[name] = parameters[name].frozen(value)
            except ValidationError as error:
                text = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
                raise InputError(f"freeze.{name}: {value!r}: {text}") from None
        return self.model_copy(update={"parameters": parameters})

    def check(self, base: Recipe) -> None:
        """Refuse parameters with an unknown path, a forbidden value, or no effect.

        Args:
            base: The configuration in which the parameters are set.

        Raises:
            InputError: The first such parameter, and the fix.
        """
        if isinstance(base, CommandTrial):
            self._check_command(base)
            return
        of_a_command = any(p.when or p.default is not None for p in self.parameters.values())
        if self.forbidden or of_a_command:
            raise InputError(
                f"search space {self.name}: when, default and forbidden need a command as "
                "trainer; the siamese trainer's parameters always count; remove them"
            )
        known = self.check_paths(base)
        for name, parameter in self.parameters.items():
            try:
                _check_values(name, parameter, base, known[name])
                refuse_without_effect(name, parameter, base, self.parameters)
            except InputError as error:
                raise self._error(name, str(error)) from error

    def _check_command(self, base: CommandTrial) -> None:
        """Refuse a command that names an unknown parameter, or takes none."""
        words = [*base.command, *base.environment.values()]
        for name in named_parameters(words):
            if name not in self.parameters:
                raise InputError(
                    f"trainer: ${{parameter:{name}}}: search space {self.name} has no such "
                    f"parameter; it has {', '.join(self.parameters)}"
                )

    def settings(self, base: Recipe) -> dict[str, Any]:
        """Return the values of parameters, by name, in trials that are run without them.

        A network's are all in its configuration; a command's are the defaults that are given.
        """
        if isinstance(base, TrialConfig):
            return leaf_paths(base)
        defaults = {name: p.default for name, p in self.parameters.items()}
        return {name: value for name, value in defaults.items() if value is not None}

    def check_paths(self, base: TrialConfig) -> dict[str, Any]:
        """Refuse unknown paths; return every setting of the configuration by path.

        Raises:
            InputError: The first unknown path, and the nearest known one.
        """
        known = leaf_paths(base)
        for name in self.parameters:
            if name not in known:
                raise self._error(name, self._unknown(name, base, known))
        return known

    def _unknown(self, name: str, base: TrialConfig, known: Mapping[str, Any]) -> str:
        if name.removeprefix("layers.") in known:
            return f"write {name.removeprefix('layers.')}"
        near = difflib.get_close_matches(name, list(known), 1)
        hint = f"did you mean {near[0]}?" if near else f"layers are {', '.join(base.layers.all)}"
        return f"names nothing in a trial's configuration; {hint}"

    def _error(self, name: str, text: str) -> InputError:
        return InputError(f"search space {self.name}: parameters.{name}: {text}")


def _check_values(name: str, parameter: Parameter, base: TrialConfig, value: Any) -> None:
    """Check a parameter's type, and each extreme value in a network in which all filters fit."""
    kind = type(value)
    for extreme in parameter.extremes:
        fits = type(extreme) is kind or (kind is float and type(extreme) is int)
        if not fits:
            needs = {bool: "true or false", int: "int", float: "float", str: "text"}[kind]
            raise InputError(f"is {needs}, but {extreme!r} is {type(extreme).__name__}")
    roomy: dict[str, Any] = {"input_size": max(105, base.input_size)}
    for layer in base.layers.convolutions:
        roomy |= {f"{layer}.filter_size": 1, f"{layer}.pool": False}
    for extreme in parameter.extremes:
        try:
            base.with_parameters({**roomy, name: extreme})
        except InputError as error:
            raise InputError(f"{extreme}: {_reason(error)}") from error


def _reason(error: InputError) -> str:
    return str(error).split(": ", 2)[-1]
