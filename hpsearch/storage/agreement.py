"""Compares a trial's parameters where they are kept: database, result.json and config.yaml.

What is searched, trained, confirmed and exported must be one and the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.configfile import read_yaml
from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder
from hpsearch.pruners.resource import Resource
from hpsearch.storage.trial_files import (
    config_difference,
    differing_params,
    load_result,
    write_config,
)
from hpsearch.study.config import StudyConfig
from hpsearch.training.config import TrialConfig
from hpsearch.trial import TrialRecord

ASIDE = "trained with "
"""User attributes that hold values no parameter of a migrated study's space can hold."""


def config_of(
    config: StudyConfig, trial: TrialRecord, attributes: Mapping[str, Any] | None = None
) -> TrialConfig:
    """Return what a trial trains, by the study's settings and its parameters.

    Raises:
        InputError: Its parameters are none of a configuration.
    """
    kept = {
        key.removeprefix(ASIDE): value
        for key, value in (attributes or {}).items()
        if key.startswith(ASIDE)
    }
    return Resource(config.pruner.resource, config.trial).config({**kept, **trial.params})


def trained_config(
    folder: StudyFolder,
    config: StudyConfig,
    trial: TrialRecord,
    attributes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a trial's config.yaml, written again from the database where it is gone.

    Raises:
        InputError: It contradicts the database, or its result does.
        EnvironmentFailure: It cannot be written.
    """
    fix = f"{folder.repair} puts it right"
    expected = config_of(config, trial, attributes)
    place = folder.trial(trial.number)
    if problem := result_difference(folder, trial):
        raise InputError(f"{place.result}: {problem}; {fix}")
    try:
        problem, _ = config_difference(place, expected)
    except FileNotFoundError:
        write_config(place, expected)
        return expected.plain()
    except ValueError as error:
        problem = str(error)
    if problem:
        raise InputError(f"{place.config}: {problem}; {fix}")
    return read_yaml(place.config)


def result_difference(folder: StudyFolder, trial: TrialRecord) -> str | None:
    """Say what of an ended trial the database has otherwise than its result; None where nothing.

    A result that is missing or not believed says nothing against the database.
    """
    try:
        found = load_result(folder.trial(trial.number).result).trial
    except (FileNotFoundError, ValueError):
        return None
    if trial.added or not trial.finished:
        return None
    if problem := differing_params(found.params, trial.params):
        return f"{problem} in the database"
    if (found.state, found.value) != (trial.state, trial.value):
        return f"{found.state} {found.value}, {trial.state} {trial.value} in the database"
    return None


def refuse_disagreements(folder: StudyFolder, trials: list[TrialRecord]) -> None:
    """Refuse to go on with a study whose database was changed by another hand.

    Raises:
        InputError: A trial's parameters or value are others in its result.
    """
    for trial in trials:
        if problem := result_difference(folder, trial):
            result = folder.trial(trial.number).result
            raise InputError(f"{result}: {problem}; {folder.repair} puts it right")
