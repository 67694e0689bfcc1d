"""One trial's complete settings, whatever trains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.trainers.command import CommandTrial
from hpsearch.training.config import TrialConfig

Recipe = TrialConfig | CommandTrial
"""What trains a trial, apart from data and seed. Both have `plain`, `with_parameters`, `value`,
`to_yaml` and `max_epochs`."""


def is_command(values: object) -> bool:
    """Return whether plain values are those of a command."""
    return isinstance(values, Mapping) and "command" in values


def read_recipe(values: Any, source: str = "configuration") -> Recipe:
    """Validate what `plain` returned.

    Raises:
        InputError: One line with source, key, value and what is allowed.
    """
    kind = CommandTrial if is_command(values) else TrialConfig
    return kind.from_values(values, source)
