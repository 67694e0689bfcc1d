"""Optuna's private calls, and all SQL over its tables. No other module uses them.

Everything done in one `transaction` is committed together. On a server the table hpsearch_leases
stands beside Optuna's: which driver runs which trial, and until when.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from copy import copy
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from hpsearch.front import ONE, Goals
from hpsearch.front.stored import stored_constraints, stored_values
from hpsearch.storage.optuna_trial import STATES
from hpsearch.trial import TrialRecord

CREATE_LEASES = (
    text("SELECT pg_advisory_xact_lock(hashtext('hpsearch_leases'))"),
    text("""
CREATE TABLE IF NOT EXISTS hpsearch_leases (
    trial_id INTEGER PRIMARY KEY REFERENCES trials ON DELETE CASCADE,
    driver TEXT NOT NULL,
    until TIMESTAMPTZ NOT NULL
)"""),
)
"""Statements that create the table of leases; the lock lets one driver at a time do it."""
UNTIL = "clock_timestamp() + make_interval(secs => :lease_s)"
TAKE = text(f"""
INSERT INTO hpsearch_leases (trial_id, driver, until) VALUES (:trial_id, :driver, {UNTIL})
ON CONFLICT (trial_id) DO UPDATE SET driver = excluded.driver, until = excluded.until""")
# After a restart of the server every lease looks expired; drivers get the time of one to renew.
TAKE_FREE = text(f"""
INSERT INTO hpsearch_leases (trial_id, driver, until)
SELECT trials.trial_id, :driver, {UNTIL} FROM trials LEFT JOIN hpsearch_leases USING (trial_id)
WHERE study_id = :study_id AND state = 'RUNNING' AND NOT trials.trial_id = ANY(:but)
AND NOT EXISTS (
    SELECT FROM trial_user_attributes AS marks
    WHERE marks.trial_id = trials.trial_id AND key = 'paused' AND value_json <> 'null'
) AND (
    hpsearch_leases.trial_id IS NULL
    OR until < clock_timestamp()
    AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => :lease_s)
)
ORDER BY trials.trial_id LIMIT :limit
ON CONFLICT (trial_id) DO UPDATE SET driver = excluded.driver, until = excluded.until
RETURNING trial_id""")
CLAIM = text(f"""
INSERT INTO hpsearch_leases (trial_id, driver, until)
SELECT trial_id, :driver, {UNTIL} FROM trials JOIN trial_user_attributes USING (trial_id)
WHERE trial_id = :trial_id AND state = 'RUNNING' AND key = 'paused' AND value_json <> 'null'
ON CONFLICT (trial_id) DO UPDATE SET driver = excluded.driver, until = excluded.until
WHERE hpsearch_leases.driver = excluded.driver OR hpsearch_leases.until < clock_timestamp()
RETURNING trial_id""")
RENEW = text(f"""
UPDATE hpsearch_leases SET until = {UNTIL}
WHERE driver = :driver AND trial_id = ANY(:trials) RETURNING trial_id""")
HELD = text("""
SELECT trial_id FROM hpsearch_leases
WHERE driver = :driver AND trial_id = ANY(:trials) FOR UPDATE""")
END_LEASE = text("DELETE FROM hpsearch_leases WHERE trial_id = :trial_id AND driver = :driver")
END_LEASES = text("DELETE FROM hpsearch_leases WHERE driver = :driver")
LEASED = text("""
SELECT number, driver FROM trials JOIN studies USING (study_id)
JOIN hpsearch_leases USING (trial_id)
WHERE study_name = :name AND until > clock_timestamp()""")

NEW_REPORTS = text("""
SELECT reports.trial_id, step, intermediate_value, intermediate_value_type
FROM trial_intermediate_values AS reports
JOIN unnest(CAST(:trials AS INTEGER[]), CAST(:steps AS INTEGER[])) AS known (trial_id, last)
ON reports.trial_id = known.trial_id AND step > last
ORDER BY reports.trial_id, step""")
ENDED = text("SELECT trial_id FROM trials WHERE trial_id = ANY(:trials) AND state <> 'RUNNING'")
MARKED = text("""
SELECT trial_id, key, value_json FROM trial_user_attributes
WHERE trial_id = ANY(:trials) AND key = ANY(:marks)""")
ADD_SECONDS = text("""
INSERT INTO study_user_attributes (study_id, key, value_json)
VALUES (:study_id, 'driver_seconds', CAST(CAST(:seconds AS DOUBLE PRECISION) AS TEXT))
ON CONFLICT (study_id, key) DO UPDATE SET value_json = CAST(
    CAST(study_user_attributes.value_json AS DOUBLE PRECISION) + :seconds AS TEXT
) RETURNING value_json""")

ROWS = text("""
SELECT t.trial_id, t.number, t.state, t.datetime_start, t.datetime_complete, v.value, v.value_type
FROM trials t JOIN studies s ON s.study_id = t.study_id
LEFT JOIN trial_values v ON v.trial_id = t.trial_id AND v.objective = 0
WHERE s.study_name = :name ORDER BY t.number""")
OTHER_VALUES = text("""
SELECT t.number, v.value FROM trials t JOIN studies s ON s.study_id = t.study_id
JOIN trial_values v ON v.trial_id = t.trial_id
WHERE s.study_name = :name AND v.objective > 0 ORDER BY t.number, v.objective""")
CORRECT_TIMES = text("""
UPDATE trials SET datetime_complete = datetime_start WHERE datetime_complete < datetime_start
AND study_id = (SELECT study_id FROM studies WHERE study_name = :name)""")


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
    own = session.query(trials.trial_id).filter(trials.study_id == study_id)
    found: int | None = own.filter(trials.number == number).scalar()
    return found


def read_trials(
    storage: RDBStorage, study_id: int, ids: Collection[int], newest: int
) -> list[FrozenTrial]:
    """Return the trials of some ids, and all whose id is above `newest`."""
    return storage._get_trials(study_id, None, set(ids), newest)


def insert_trial(storage: RDBStorage, session: Session, study_id: int, trial: FrozenTrial) -> int:
    """Insert a trial as it is, under the study's next number; return its id."""
    bare = copy(trial)  # of what is left out here, Optuna would look for each entry first
    bare.intermediate_values, bare.params, bare.user_attrs = {}, {}, {}
    trial_id = int(storage._get_prepared_new_trial(study_id, bare, session).trial_id)
    params = [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": distribution.to_internal_repr(trial.params[name]),
            "distribution_json": distribution_to_json(distribution),
        }
        for name, distribution in trial.distributions.items()
    ]
    if params:
        session.execute(models.TrialParamModel.__table__.insert(), params)
    set_attributes(session, trial_id, trial.user_attrs)
    insert_reports(session, ((trial_id, *one) for one in trial.intermediate_values.items()))
    return trial_id


def insert_reports(session: Session, reports: Iterable[tuple[int, int, float]]) -> None:
    """Insert intermediate values, given by trial id and step; those that are there stay."""
    kind = models.TrialIntermediateValueModel
    rows = []
    for trial_id, step, value in reports:
        stored, stored_type = kind.intermediate_value_to_stored_repr(value)
        row = {"trial_id": trial_id, "step": step, "intermediate_value": stored}
        rows.append({**row, "intermediate_value_type": stored_type})
    if rows:
        session.execute(_insert(session, kind).on_conflict_do_nothing(), rows)


def _insert(session: Session, kind: Any) -> Any:
    """Return the statement that inserts into a table; it can say what a conflict does."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(kind.__table__)


def report_of(stored: float, stored_type: str) -> float:
    """Return an intermediate value from its two columns."""
    kind = models.TrialIntermediateValueModel
    of = kind.TrialIntermediateValueType[stored_type]
    return kind.stored_repr_to_intermediate_value(stored, of)


def set_attributes(session: Session, trial_id: int, attributes: Mapping[str, Any]) -> None:
    """Set user attributes of a trial."""
    rows = [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        for key, value in attributes.items()
    ]
    if rows:
        insert = _insert(session, models.TrialUserAttributeModel)
        replace = {"value_json": insert.excluded.value_json}
        session.execute(
            insert.on_conflict_do_update(index_elements=["trial_id", "key"], set_=replace), rows
        )


def end_trial(
    storage: RDBStorage,
    session: Session,
    row: Any,
    trial: TrialRecord,
    attributes: Mapping[str, Any],
    goals: Goals = ONE,
) -> None:
    """Write how a trial ended into its row, with user attributes."""
    set_attributes(session, row.trial_id, attributes)
    kind = models.TrialSystemAttributeModel
    for key, value in stored_constraints(trial, goals).items():
        storage._set_trial_attr_without_commit(session, kind, row.trial_id, key, value)
    for objective, value in enumerate(stored_values(trial, goals) or ()):
        storage._set_trial_value_without_commit(session, row, objective, value)
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
    set_attributes(session, trial_id, trial.user_attrs)
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
    objectives: int = 1,
) -> None:
    """Insert a whole study: its objectives, its attributes and its trials as they are."""
    kind, least = models.StudyDirectionModel, StudyDirection.MINIMIZE
    directions = [kind(direction=least, objective=k) for k in range(objectives)]
    study = models.StudyModel(study_name=name, directions=directions)
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


def holding(distribution: BaseDistribution | None, value: Any) -> BaseDistribution:
    """Return a distribution, widened until it holds a value; for None one of this value alone."""
    if distribution is None:
        if isinstance(value, bool | str):
            return CategoricalDistribution((value,))
        kind = IntDistribution if isinstance(value, int) else FloatDistribution
        return kind(value, value)
    if holds(distribution, value):
        return distribution
    if not isinstance(distribution, IntDistribution | FloatDistribution):
        raise TypeError(f"a choice {value!r} that is unknown cannot be held")
    low, high = min(distribution.low, value), max(distribution.high, value)
    return type(distribution)(low, high, log=distribution.log and low > 0)


def leased(storage: RDBStorage, name: str) -> dict[int, str]:
    """Return the drivers at work on a study, by the numbers of the trials that they hold."""
    if not inspect(storage.engine).has_table("hpsearch_leases"):
        return {}
    with transaction(storage) as session:
        return {number: driver for number, driver in session.execute(LEASED, {"name": name})}


def read_rows(storage: RDBStorage, name: str) -> tuple[dict[str, Any], ...]:
    """Return a study's rows by number: state, times and value as they are stored, in UTC.

    The values of the second objective and of those after it are the list `others`.
    """
    with transaction(storage) as session:
        rows = [{**row._mapping, "others": []} for row in session.execute(ROWS, {"name": name})]
        of = {row["number"]: row["others"] for row in rows}
        for number, value in session.execute(OTHER_VALUES, {"name": name}):
            of[number].append(value)
    return tuple(rows)


def correct_times(storage: RDBStorage, name: str) -> None:
    """Correct the trials of a study that end before they start."""
    with transaction(storage) as session:
        session.execute(CORRECT_TIMES, {"name": name})


def rename_study(storage: RDBStorage, name: str, to: str) -> None:
    """Give a study another name."""
    with transaction(storage) as session:
        models.StudyModel.find_or_raise_by_name(name, session).study_name = to


def refuse_waiting(storage: RDBStorage, trials: Iterable[FrozenTrial], cause: str) -> None:
    """End waiting trials as failed."""
    with transaction(storage) as session:
        for trial in trials:
            row = lock_trial(session, trial._trial_id)
            row.datetime_start = datetime.datetime.now(datetime.UTC)
            ended = TrialRecord(trial.number, "failed", {}, cause=cause)
            end_trial(storage, session, row, ended, {"cause": cause})


def move_trial(
    session: Session,
    trial_id: int,
    names: Collection[str],
    params: Mapping[str, tuple[Any, BaseDistribution]],
    attributes: Mapping[str, Any],
    prefix: str,
) -> None:
    """Move a trial to another search space.

    Args:
        session: The transaction.
        trial_id: The trial's id in the database.
        names: Parameters whose old values are removed.
        params: New values and distributions by name.
        attributes: User attributes to set.
        prefix: Old user attributes whose key begins like this are removed.
    """
    kind, marks = models.TrialParamModel, models.TrialUserAttributeModel
    old = session.query(marks).filter(marks.trial_id == trial_id)
    old.filter(marks.key.startswith(prefix) | marks.key.in_(attributes)).delete()
    for key, value in attributes.items():
        session.add(marks(trial_id=trial_id, key=key, value_json=json.dumps(value)))
    held = session.query(kind).filter(kind.trial_id == trial_id)
    held.filter(kind.param_name.in_(names)).delete()
    for name, (value, distribution) in params.items():
        row = {"param_name": name, "param_value": distribution.to_internal_repr(value)}
        held_by = distribution_to_json(distribution)
        session.add(kind(trial_id=trial_id, **row, distribution_json=held_by))
