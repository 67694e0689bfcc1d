"""The part of a study's database file that no search wrote. A repair keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder
from hpsearch.storage.engine import Database, closing, open_file
from hpsearch.storage.optuna_queue import cannot_run
from hpsearch.storage.optuna_tables import refuse_waiting, rename_study
from hpsearch.storage.optuna_trial import is_ours
from hpsearch.storage.own_study import renamed
from hpsearch.study.config import StudyConfig
from hpsearch.study.plan import StudyPlan


def name_again(folder: StudyFolder, name: str) -> list[str]:
    """Restore the name of a renamed study; return one line about it, or none.

    Raises:
        InputError: Several studies of the file hold the folder's trials.
    """
    with _opened_whole(folder) as storage:
        if storage is None:
            return []
        found = renamed(storage, folder, name)
        if len(found) > 1:
            raise InputError(
                f"{folder.database}: holds no study {name!r}, and {len(found)} with its trials: "
                f"{', '.join(found)[:100]}; delete all but one in `hpsearch dashboard --write`, "
                "or move the file away: it is then built again from the trials' folders"
            )
        for other in found:
            rename_study(storage, other, name)
    return [f"named the study {name!r} again, which was {other!r}" for other in found]


def entered_elsewhere(folder: StudyFolder, config: StudyConfig) -> dict[int, FrozenTrial]:
    """Return the trials that no search entered, by number, as the database holds them.

    A trial with a folder was entered by a search, even if its row was changed.
    """
    with _opened_whole(folder) as storage:
        trials = []
        if storage and config.name in (study.study_name for study in storage.get_all_studies()):
            study_id = storage.get_study_id_from_name(config.name)
            trials = storage.get_all_trials(study_id, deepcopy=False)
    known = set(folder.trial_numbers())
    others = [t for t in trials if not is_ours(t, config.seed)]
    return {t.number: t for t in others if t.number not in known}


def copy_others(folder: StudyFolder, place: StudyFolder, name: str) -> list[str]:
    """Copy the other studies of a file into the file that is built again.

    Args:
        folder: Folder of the old file; nothing is copied from a damaged one.
        place: Folder of the new file.
        name: The study that was built again.

    Returns:
        What was done, one line each.
    """
    with _opened_whole(folder) as old, closing(open_file(place.database)) as new:
        if old is None:
            return []
        others = [s.study_name for s in old.get_all_studies() if s.study_name != name]
        for other in others:
            optuna.copy_study(from_study_name=other, from_storage=old, to_storage=new)
    return [f"took the other study {other!r} along as it was" for other in others]


def take_out_of_queue(plan: StudyPlan) -> list[str]:
    """End the trials that Optuna's own function enqueued but that cannot be trained."""
    waiting = [
        trial
        for trial in entered_elsewhere(plan.folder, plan.config).values()
        if trial.state is TrialState.WAITING and cannot_run(plan.problem, trial, plan.config.seed)
    ]
    if waiting:
        with closing(open_file(plan.folder.database)) as storage:
            refuse_waiting(storage, waiting, "cannot be trained in this study")
    return [f"trial {trial.number}: took it out of the queue" for trial in waiting]


@contextmanager
def _opened_whole(folder: StudyFolder) -> Iterator[RDBStorage | None]:
    """Open a folder's database, and close it at the end; None if it is missing or damaged."""
    database = Database(folder)
    try:
        database.check(whole=True)
        storage = database.open()
    except Exception:  # Optuna raises many types for a file of another version
        yield None
        return
    with closing(storage):
        yield storage
