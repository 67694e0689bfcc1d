"""The configuration of a trial, from the study's settings and the trial's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.study.config import StudyConfig
from hpsearch.trainers.recipe import Recipe
from hpsearch.trial import TrialRecord, Value

ASIDE = "trained with "
"""Prefix of user attributes: values outside the space of a migrated study."""


def config_of(
    config: StudyConfig, trial: TrialRecord, attributes: Mapping[str, Any] | None = None
) -> Recipe:
    """Return the configuration of a trial, from the study's settings and its parameters.

    Raises:
        InputError: Its parameters do not form a configuration.
    """
    params = {**held_aside(attributes or {}), **trial.params}
    return config.resource.config(params)


def held_aside(attributes: Mapping[str, Any]) -> dict[str, Value]:
    """Return the values that the space of a migrated study cannot hold, from attributes."""
    kept = {key: value for key, value in attributes.items() if key.startswith(ASIDE)}
    return {key.removeprefix(ASIDE): value for key, value in kept.items()}
