"""Optuna's private tables and calls. No other module of the program uses them.

Everything done in one `transaction` is committed together.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from hpsearch.storage.optuna_trial import CONSTRAINT, STATES
from hpsearch.trial import TrialRecord


def transaction(storage: RDBStorage) -> AbstractContextManager[Session]:
    """Return one transaction: committed at its end, rolled back on an exception."""
    return _create_scoped_session(storage.scoped_session)


def study_id_of(study: optuna.Study | FrozenStudy) -> int:
    """Return a study's id in its database."""
    return study._study_id


def trial_id_of(trial: FrozenTrial) -> int:
    """Return a trial's id in its database."""
    return trial._trial_id


def lock_study(session: Session, study_id: int) -> None:
    """Keep other transactions from adding trials until this one ends.

    Raises:
        KeyError: The study was removed.
    """
    models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)


def lock_trial(session: Session, trial_id: int) -> Any:
    """Return a trial's row, and keep other transactions from changing it until this one ends."""
    return models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)


def count_trials(session: Session, study_id: int) -> int:
    """Return how many trials a study has."""
    trials = models.TrialModel
    return session.query(trials).filter(trials.study_id == study_id).count()


def find_trial(session: Session, study_id: int, number: int) -> int | None:
    """Return the id of a study's trial, None where it has none of this number."""
    trials = models.TrialModel
    own = session.query(trials).filter(trials.study_id == study_id)
    found = own.filter(trials.number == number).one_or_none()
    return None if found is None else int(found.trial_id)


def read_trials(
    storage: RDBStorage, study_id: int, ids: Collection[int], newest: int
) -> list[FrozenTrial]:
    """Return the trials of some ids, and all whose id is above `newest`."""
    return storage._get_trials(study_id, None, set(ids), newest)


def insert_trial(storage: RDBStorage, session: Session, study_id: int, trial: FrozenTrial) -> int:
    """Insert a trial as it is, under the study's next number; return its id."""
    return int(storage._get_prepared_new_trial(study_id, trial, session).trial_id)


def insert_reports(session: Session, reports: Iterable[tuple[int, int, float]]) -> None:
    """Insert intermediate values, given by trial id and step; those that are there stay."""
    kind = models.TrialIntermediateValueModel
    rows = []
    for trial_id, step, value in reports:
        stored, stored_type = kind.intermediate_value_to_stored_repr(value)
        row = {"trial_id": trial_id, "step": step, "intermediate_value": stored}
        rows.append({**row, "intermediate_value_type": stored_type})
    if rows:
        dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
        insert = dialect.insert(kind.__table__)
        session.execute(insert.on_conflict_do_nothing(), rows)


def report_of(stored: float, stored_type: str) -> float:
    """Return an intermediate value from its two columns."""
    kind = models.TrialIntermediateValueModel
    of = kind.TrialIntermediateValueType[stored_type]
    return kind.stored_repr_to_intermediate_value(stored, of)


def set_attribute(
    storage: RDBStorage, session: Session, trial_id: int, key: str, value: Any
) -> None:
    """Set a user attribute of a trial."""
    kind = models.TrialUserAttributeModel
    storage._set_trial_attr_without_commit(session, kind, trial_id, key, value)


def end_trial(
    storage: RDBStorage,
    session: Session,
    row: Any,
    trial: TrialRecord,
    attributes: Mapping[str, Any],
) -> None:
    """Write how a trial ended into its row, with user attributes."""
    for key, value in attributes.items():
        set_attribute(storage, session, row.trial_id, key, value)
    if not trial.trainable:
        kind = models.TrialSystemAttributeModel
        storage._set_trial_attr_without_commit(session, kind, row.trial_id, CONSTRAINT, 1.0)
    if trial.value is not None and trial.state != "failed":
        storage._set_trial_value_without_commit(session, row, 0, trial.value)
    row.state = STATES[trial.state]
    now = datetime.datetime.now(datetime.UTC)  # or later: the clock may have been set back
    row.datetime_complete = max(now, (row.datetime_start or now).astimezone(datetime.UTC))


def start(storage: RDBStorage, session: Session, trial_id: int, trial: FrozenTrial) -> None:
    """Let a waiting trial run, with the parameters and user attributes of another."""
    row, kind = lock_trial(session, trial_id), models.TrialParamModel
    if row.state != TrialState.WAITING:
        return  # a first attempt was committed, and its answer was lost
    session.query(kind).filter(kind.trial_id == trial_id).delete()
    for name, distribution in trial.distributions.items():
        stored = distribution.to_internal_repr(trial.params[name])
        storage._set_trial_param_without_commit(session, trial_id, name, stored, distribution)
    for key, value in trial.user_attrs.items():
        set_attribute(storage, session, trial_id, key, value)
    row.state, row.datetime_start = trial.state, trial.datetime_start


def has_study(session: Session, name: str) -> bool:
    """Return whether a database holds a study of this name."""
    return models.StudyModel.find_by_name(name, session) is not None


def insert_study(
    storage: RDBStorage,
    session: Session,
    name: str,
    user_attributes: Mapping[str, Any],
    system_attributes: Mapping[str, Any],
    trials: Iterable[FrozenTrial],
) -> None:
    """Insert a whole study: its attributes and its trials as they are."""
    direction = models.StudyDirectionModel(direction=StudyDirection.MINIMIZE, objective=0)
    study = models.StudyModel(study_name=name, directions=[direction])
    session.add(study)
    session.flush()
    for kind, attributes in (
        (models.StudyUserAttributeModel, user_attributes),
        (models.StudySystemAttributeModel, system_attributes),
    ):
        for key, value in attributes.items():
            session.add(kind(study_id=study.study_id, key=key, value_json=json.dumps(value)))
    for trial in trials:
        insert_trial(storage, session, int(study.study_id), trial)


def holds(distribution: BaseDistribution, value: Any) -> bool:
    """Return whether a value lies in a distribution."""
    return distribution._contains(distribution.to_internal_repr(value))
