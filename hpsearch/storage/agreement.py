"""Compares a trial's parameters in the database, result.json and config.yaml.

So the trial that is searched is also the one that is trained, confirmed and exported.
"""

from __future__ import annotations

from typing import Any

from hpsearch.configfile import read_yaml
from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder
from hpsearch.storage import trial_files
from hpsearch.storage.view import StudyView
from hpsearch.study.trained import config_of
from hpsearch.trainers.recipe import Recipe
from hpsearch.trial import TrialRecord


def trained_config(view: StudyView, trial: TrialRecord) -> dict[str, Any]:
    """Return a trial's config.yaml; if it is missing, write it again from the database.

    Raises:
        InputError: It contradicts the database, or its result does.
        EnvironmentFailure: It cannot be written.
    """
    folder, attributes = view.folder, view.attributes[trial.number]
    refuse_disagreements(folder, [trial])
    keep_config(folder, trial.number, config_of(view.config, trial, attributes))
    return read_yaml(folder.trial(trial.number).config)


def keep_config(folder: StudyFolder, number: int, expected: Recipe) -> None:
    """Write a trial's config.yaml where it is missing.

    Raises:
        InputError: It contradicts the expected configuration.
        EnvironmentFailure: It cannot be written.
    """
    place = folder.trial(number)
    held = trial_files.compare_config(place, expected)
    if held.missing:
        trial_files.write_config(place, expected)
    elif held.problem:
        raise InputError(f"{place.config}: {held.problem}; {folder.repair} repairs it")


def result_difference(folder: StudyFolder, trial: TrialRecord) -> str | None:
    """Return how an ended trial's result differs from the database, None where it does not.

    A missing or invalid result does not contradict the database.
    """
    held = trial_files.read_result(folder.trial(trial.number).result)
    if held is None or trial.added or not trial.finished:
        return None
    found = held.trial
    if problem := trial_files.differing_params(found.params, trial.params):
        return f"{problem} in the database"
    if (found.state, found.value) != (trial.state, trial.value):
        return f"{found.state} {found.value}, {trial.state} {trial.value} in the database"
    if problem := trial_files.differing_params(found.figures, trial.figures):
        return f"{problem} in the database"
    return None


def refuse_disagreements(folder: StudyFolder, trials: list[TrialRecord]) -> None:
    """Refuse a study whose database was edited.

    Raises:
        InputError: A trial's parameters or value differ from its result.
    """
    for trial in trials:
        if problem := result_difference(folder, trial):
            result = folder.trial(trial.number).result
            raise InputError(f"{result}: {problem}; {folder.repair} repairs it")
