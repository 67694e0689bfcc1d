"""What every storage must do: written once, for SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from sqlalchemy.exc import OperationalError, PendingRollbackError

from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder
from hpsearch.shipped_files import find_shipped
from hpsearch.sqlite_file import check_database, integrity_problems
from hpsearch.storage.database import StudyRecord
from hpsearch.storage.engine import is_away, root_cause
from hpsearch.storage.leases import NumberTakenError, TrialTakenError
from hpsearch.storage.view import read_study
from hpsearch.trial import TrialRecord
from tests.support.problems import random_params, shipped_problem

PROBLEM = shipped_problem("quickstart")
PARAMS = random_params(PROBLEM, 8)
DISTRIBUTIONS = PROBLEM.space.distributions()


def test_a_connection_lost_in_the_middle_of_a_question_is_a_server_that_is_away() -> None:
    """Optuna asks again in the same session, and what SQLAlchemy says of that hides the cause."""
    psycopg = pytest.importorskip("psycopg")
    lost = psycopg.OperationalError("consuming input failed: server closed the connection")
    try:
        try:
            try:
                raise lost
            except psycopg.OperationalError as error:
                raise OperationalError("SELECT", {}, error) from error
        except OperationalError:
            said = "Can't reconnect until invalid transaction is rolled back"
            raise PendingRollbackError(said)  # noqa: B904
    except PendingRollbackError as error:
        wrapped = optuna.exceptions.StorageInternalError("An exception is raised")
        wrapped.__cause__ = error
    assert root_cause(wrapped) is lost
    assert is_away(wrapped)
    assert not is_away(ValueError("no database"))


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest) -> str:
    return "sqlite" if request.param == "sqlite" else request.getfixturevalue("postgres")


def opened(folder: Path, storage: str, lease_s: float = 60.0) -> StudyRecord:
    return StudyRecord(StudyFolder(folder), "contract", storage, lease_s)


def running(number: int) -> TrialRecord:
    return TrialRecord(number, "running", PARAMS[number])


def enter(record: StudyRecord, number: int) -> None:
    record.add(running(number), DISTRIBUTIONS, {"origin": "test", "seed": number})


def test_what_is_written_is_read_by_the_next_who_opens_it(tmp_path: Path, storage: str) -> None:
    record = opened(tmp_path, storage)
    assert record.load() == []
    for number in range(3):
        enter(record, number)
    curve = {1: 0.75, 2: float("nan"), 3: float("inf"), 4: 0.1 + 0.2}
    for epoch, value in curve.items():
        record.report(0, epoch, value)
    values = {1: 0.75, 4: 0.1 + 0.2}
    record.end(
        replace(running(0), state="complete", values=values, value=0.1 + 0.2), {"epochs": 4}
    )
    failed = replace(running(1), state="failed", cause="crash", value=0.3)
    record.end(failed, {"cause": "crash"})
    record.set_attribute("driver_seconds", 12.5)
    record.close()

    again = opened(tmp_path, storage)
    first, second, third = again.load()
    assert (first.state, first.value, dict(first.params)) == ("complete", 0.1 + 0.2, PARAMS[0])
    assert str(first.values) == str(curve)
    assert (second.state, second.value, second.cause) == ("failed", None, "crash")
    assert (third.state, dict(third.params)) == ("running", PARAMS[2])
    assert again.attribute("driver_seconds") == 12.5
    again.close()


def test_an_epoch_told_twice_is_kept_once(tmp_path: Path, storage: str) -> None:
    record = opened(tmp_path, storage)
    enter(record, 0)
    for _ in range(2):
        record.report(0, 1, 0.5)
        record.flush(force=True)
    record.close()
    again = opened(tmp_path, storage)
    assert again.load()[0].values == {1: 0.5}
    again.report(0, 1, 0.5)
    again.flush(force=True)
    assert again.load()[0].values == {1: 0.5}
    again.close()


def test_an_end_told_twice_is_kept_once(tmp_path: Path, storage: str) -> None:
    record = opened(tmp_path, storage)
    enter(record, 0)
    ended = replace(running(0), state="complete", values={1: 0.5}, value=0.5)
    record.end(ended, {})
    record.end(replace(ended, value=0.9), {})  # the answer to the first was lost on the way
    assert record.load()[0].value == 0.5
    record.close()


def test_optuna_reads_it(tmp_path: Path, storage: str) -> None:
    record = opened(tmp_path, storage)
    enter(record, 0)
    dead = replace(running(0), state="pruned", trainable=False, value=0.9, values={1: 0.9})
    record.report(0, 1, 0.9)
    record.end(dead, {"cause": "diverged"})
    record.flush(force=True)
    study = optuna.load_study(study_name="contract", storage=record.storage)
    (trial,) = study.trials
    assert trial.params == PARAMS[0]
    assert trial.state is optuna.trial.TrialState.PRUNED
    assert trial.datetime_start is not None
    assert trial.datetime_complete is not None
    assert trial.datetime_start <= trial.datetime_complete
    assert trial.system_attrs == {"constraints:trainable": 1.0}
    record.close()


def test_a_number_is_given_once(tmp_path: Path, postgres: str) -> None:
    one, other = opened(tmp_path, postgres), opened(tmp_path, postgres)
    enter(one, 0)
    with pytest.raises(NumberTakenError):
        enter(other, 0)
    assert [t.number for t in other.load()] == [0]
    enter(other, 1)
    with pytest.raises(NumberTakenError):
        enter(one, 1)
    one.close()
    other.close()


def test_postgres_refuses_what_a_driver_says_of_anothers_trial(
    tmp_path: Path, postgres: str
) -> None:
    one, other = opened(tmp_path, postgres), opened(tmp_path, postgres)
    enter(one, 0)
    other.load()
    ended = replace(running(0), state="complete", values={1: 0.5}, value=0.5)
    with pytest.raises(TrialTakenError):
        other.end(ended, {})
    with pytest.raises(TrialTakenError):
        other.set_trial_attribute(0, "paused", 1)
    other.report(0, 1, 0.1)
    other.flush(force=True)
    assert one.load()[0].values == {}
    one.end(ended, {})
    assert other.load()[0].value == 0.5
    one.close()
    other.close()


def test_a_schema_of_bytes_that_are_no_text_is_damage(tmp_path: Path) -> None:
    """SQLite's message quotes them, and Python cannot decode it."""
    path = tmp_path / "study.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE trials (x)")
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute("UPDATE sqlite_master SET sql = CAST(x'63726561746520ff' AS TEXT)")
        connection.commit()
    with pytest.raises(InputError, match="damaged"):
        check_database(path)
    assert integrity_problems(path)


def test_damage_to_what_is_noted_of_the_study_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.study_file.write_bytes(find_shipped("studies", "quickstart").read_bytes())
    folder.dataset.write_text("{}")
    record = StudyRecord(folder, "quickstart")
    record.load()
    record.close()
    assert read_study(folder).driver_seconds == 0
    with contextlib.closing(sqlite3.connect(folder.database)) as connection:
        connection.execute("UPDATE study_user_attributes SET value_json = 'no JSON'")
        added = (
            "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (1, 'x', '{')"
        )
        connection.execute(added)
        connection.commit()
    with pytest.raises(InputError, match="cannot be read as the study 'quickstart'"):
        read_study(folder)
