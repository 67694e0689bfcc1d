"""A command as trainer: the study file's `trainer` section, and one trial of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from hpsearch.configfile import Section, dump_yaml, load_section
from hpsearch.errors import InputError
from hpsearch.trainers.macros import check_words
from hpsearch.trial import Value

Word = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]
NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"


class CommandTrainer(Section):
    """A program that trains one trial. It is started directly: no shell reads the command."""

    command: tuple[Word, ...] = Field(min_length=1, max_length=1000)
    """The program and its arguments, one word each. Macros such as ${args} are replaced."""
    environment: dict[Annotated[str, Field(pattern=NAME)], Word] = Field(default_factory=dict)
    """Variables added to the environment; macros are replaced, except ${args}."""
    directory: Word = "."
    """Where the program runs, from the study file's folder."""
    max_steps: int = Field(1, ge=1, le=100_000)
    """Steps of a full trial. A program may end earlier; later steps end it."""
    time_limit_s: Annotated[float, Field(gt=0, le=10_000_000)] | None = None
    """Longest time of one trial, seconds over all its starts; a trial that takes longer fails."""
    memory_gb: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Most memory of the program and its children, 1e9 bytes; a trial that takes more fails.

    What they share counts once.
    """

    @property
    def place(self) -> dict[str, Any]:
        """Where it runs and how long and large it may become: what a study may change."""
        return {key: getattr(self, key) for key in ("directory", "time_limit_s", "memory_gb")}

    @field_validator("command", "environment", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """Read a number in a command or a variable as text."""
        if isinstance(value, str):
            raise ValueError('must be a list of words: [python, train.py, "${args}"]')
        if isinstance(value, list | tuple):
            return [_text(one) for one in value]
        if isinstance(value, dict):
            return {key: _text(one) for key, one in value.items()}
        return value

    @field_validator("command")
    @classmethod
    def _check_command(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if not words[0].strip():
            raise ValueError("its first word, the program, is empty")
        check_words(words)
        return words

    @field_validator("environment")
    @classmethod
    def _check_environment(cls, variables: dict[str, str]) -> dict[str, str]:
        check_words(variables.values(), several=False)
        return variables


def _text(value: Any) -> Any:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if plain else value


class CommandTrial(Section):
    """All that decides the value of one trial of a command, except its seed."""

    command: tuple[str, ...]
    """As in the study file, macros included."""
    environment: dict[str, str] = Field(default_factory=dict)
    """As in the study file."""
    max_steps: int = Field(1, ge=1)
    """Steps of a full trial."""
    parameters: dict[str, Value] = Field(default_factory=dict)
    """The trial's parameters; those whose condition does not hold are left out."""

    @classmethod
    def of(cls, trainer: CommandTrainer) -> CommandTrial:
        """Return the trial of a trainer, without parameters."""
        return cls(
            command=trainer.command,
            environment=trainer.environment,
            max_steps=trainer.max_steps,
        )

    @property
    def max_epochs(self) -> int:
        """Steps of a full trial, as the search calls them."""
        return self.max_steps

    @classmethod
    def from_values(cls, values: Any, source: str = "configuration") -> CommandTrial:
        """Validate a plain dictionary.

        Raises:
            InputError: One line with source, key, value and what is allowed.
        """
        return load_section(cls, values, source)

    def with_parameters(self, parameters: Mapping[str, Any]) -> CommandTrial:
        """Return a copy with some parameters replaced."""
        return self.model_copy(update={"parameters": {**self.parameters, **parameters}})

    def value(self, path: str) -> Any:
        """Return a parameter.

        Raises:
            InputError: There is none of that name.
        """
        if path not in self.parameters:
            raise InputError(f"parameter {path!r}: the trial has none of that name")
        return self.parameters[path]

    def plain(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Return the trial as YAML."""
        return dump_yaml(self.plain())
