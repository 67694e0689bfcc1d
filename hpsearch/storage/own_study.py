"""Finds the folder's study in its database, which may hold other studies.

Optuna Dashboard renames a study by copying it under the new name. Without this check a search
would then start again.
"""

from __future__ import annotations

import optuna
from optuna.storages import RDBStorage

from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder, shell_word
from hpsearch.storage.engine import Database
from hpsearch.storage.optuna_tables import study_id_of
from hpsearch.storage.optuna_trial import is_ours
from hpsearch.study.config import StudyConfig

_SAMPLER, _PRUNER = optuna.samplers.RandomSampler(seed=0), optuna.pruners.NopPruner()
"""Optuna needs them; they are never used."""


def load_own(storage: RDBStorage, database: Database, name: str) -> optuna.Study:
    """Open a study for reading.

    Args:
        storage: The open database.
        database: Its place, and the study's folder.
        name: The study's name.

    Raises:
        InputError: The database knows it under another name.
        KeyError: The database does not know it.
    """
    _refuse_renamed(storage, database, name)
    return optuna.load_study(study_name=name, storage=storage, sampler=_SAMPLER, pruner=_PRUNER)


def create_own(
    storage: RDBStorage, database: Database, name: str, objectives: int = 1
) -> optuna.Study:
    """Open a study for writing, or create a new one. See `load_own`.

    Raises:
        InputError: The database knows it under another name, or has lost it.
    """
    _refuse_renamed(storage, database, name)
    if not database.is_server:  # a server was asked by `check_usable`
        database.refuse_lost(name, _ids(storage))
    return optuna.create_study(
        storage=storage,
        study_name=name,
        directions=["minimize"] * objectives,
        sampler=_SAMPLER,
        pruner=_PRUNER,
        load_if_exists=True,
    )


def _refuse_renamed(storage: RDBStorage, database: Database, name: str) -> None:
    """Refuse a database in which a folder's study has another name."""
    folder = database.folder
    for found in renamed(storage, folder, name):
        way = f"{folder.repair} names it {name!r} again"
        if database.is_server:
            dashboard = f"`hpsearch dashboard {shell_word(folder.root)} --write`"
            way = f"name it {name!r} again, with {dashboard}"
        raise InputError(
            f"{database}: holds no study {name!r}; its trials are those of {found!r}: it was "
            f"renamed; {way}"
        )


def renamed(storage: RDBStorage, folder: StudyFolder, name: str) -> list[str]:
    """Return the studies with a folder's trials; none if a study has the folder's name."""
    if not folder.study_file.is_file():
        return []
    studies = _ids(storage)
    if name in studies or not studies:
        return []
    seed = StudyConfig.from_yaml(folder.study_file).seed
    return [other for other, study_id in studies.items() if _is_of(storage, study_id, seed)]


def _ids(storage: RDBStorage) -> dict[str, int]:
    return {study.study_name: study_id_of(study) for study in storage.get_all_studies()}


def _is_of(storage: RDBStorage, study_id: int, seed: int) -> bool:
    """Return whether a study's trials were entered by a search with this seed."""
    trials = storage.get_all_trials(study_id, deepcopy=False)
    entered = [trial for trial in trials if "seed" in trial.user_attrs]
    return bool(entered) and all(is_ours(trial, seed) for trial in entered)
