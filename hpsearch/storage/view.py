"""Reads a study without changing it: everybody but its driver sees a StudyView."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.errors import HpsearchError
from hpsearch.json_files import read_dataset
from hpsearch.paths import StudyFolder
from hpsearch.storage.engine import Database
from hpsearch.storage.optuna_trial import to_record
from hpsearch.storage.own_study import load_own
from hpsearch.study.begun import EditedError, check_shown, read_as_begun
from hpsearch.study.config import StudyConfig
from hpsearch.trial import TrialRecord, Value


@dataclass(frozen=True)
class StudyView:
    """A study as all readers see it. Only the driver writes."""

    folder: StudyFolder
    name: str
    config: StudyConfig
    dataset: Mapping[str, Any]
    trials: Sequence[TrialRecord]
    attributes: Mapping[int, Mapping[str, Value]]
    driver_seconds: float = 0.0

    @property
    def database(self) -> Database:
        """Where its trials are recorded."""
        return Database(self.folder, self.config.storage)


def check_not_edited(folder: StudyFolder) -> None:
    """Refuse a folder of 0.1.0 whose study file was edited after its first trial.

    Raises:
        EditedError: The seed or the `trial` section was changed.
    """
    if folder.begun.exists() or not folder.database.is_file():
        return  # a newer folder holds its start, and was compared when it was read
    try:
        read_study(folder)
    except EditedError:
        raise
    except HpsearchError:
        pass  # the first user of the database reports it


def read_study(folder: StudyFolder) -> StudyView:
    """Read a study's folder without changing anything.

    Raises:
        InputError: The folder holds no study, or its database cannot be read as one.
        EnvironmentFailure: The machine cannot read it now.
    """
    config = read_as_begun(folder)
    database = Database(folder, config.storage)
    database.check()
    try:
        with database.opened() as storage:
            study = load_own(storage, database, config.name)
            trials = study.get_trials(deepcopy=False)
            driver_seconds = float(study.user_attrs.get("driver_seconds", 0.0))
    except Exception as error:
        raise database.view_failure(config.name, error) from error
    check_shown(folder, config, [(t.number, t.params, t.user_attrs) for t in trials])
    return StudyView(
        folder=folder,
        name=config.name,
        config=config,
        dataset=read_dataset(folder.dataset),
        trials=[to_record(t, config.seed) for t in trials],
        attributes={t.number: dict(t.user_attrs) for t in trials},
        driver_seconds=driver_seconds,
    )
