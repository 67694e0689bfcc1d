"""Copying a study from SQLite to PostgreSQL and back loses nothing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.maintenance import copy as copying
from hpsearch.maintenance.copy import copy_study
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.paths import StudyFolder
from hpsearch.storage.database import StudyRecord
from hpsearch.storage.engine import Database, open_file
from hpsearch.storage.optuna_tables import transaction
from hpsearch.storage.view import read_study
from tests.driver.test_driver import search
from tests.support.fake_executor import FakeExecutor


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was killed in the middle, with finished and with running trials."""
    folder = tmp_path_factory.mktemp("killed") / "s"
    with pytest.raises(KeyboardInterrupt):
        search(folder, FakeExecutor(slots=2, die_after_epochs=30))
    return folder


@pytest.fixture
def study(killed: Path, tmp_path: Path) -> StudyFolder:
    return StudyFolder(Path(shutil.copytree(killed, tmp_path / "s")))


def add_strange_values(folder: StudyFolder) -> None:
    record = StudyRecord(folder, "quickstart")
    history = record.load()
    running = next(t for t in history if t.state == "running")
    last = max(running.values, default=0)
    for epoch, value in enumerate([float("nan"), float("inf"), 1e-300, 0.1 + 0.2], start=last + 1):
        record.report(running.number, epoch, value)
    record.set_attribute("note", {"text": "ünïcode", "list": [1, 2.5, None]})
    record.close()


def content(storage: optuna.storages.RDBStorage) -> copying.Content:
    return copying._read(storage, "quickstart", "here")


def test_a_study_goes_to_postgres_and_back_unchanged(
    study: StudyFolder, postgres: str, tmp_path: Path
) -> None:
    add_strange_values(study)
    config = read_study(study).config
    before = content(open_file(study.database))
    count = copy_study(study, config, postgres)
    assert count == len(before.trials) >= 3
    there = content(Database(study, postgres).open())
    assert before.difference(there) is None
    assert [str(t.intermediate_values) for t in there.trials] == [
        str(t.intermediate_values) for t in before.trials
    ]
    back = tmp_path / "back.db"
    there_now = config.model_copy(update={"storage": postgres})
    assert copy_study(study, there_now, f"sqlite:///{back}") == count
    assert before.difference(content(open_file(back))) is None
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_the_search_goes_on_where_its_study_was_copied_to(
    study: StudyFolder, postgres: str
) -> None:
    copy_study(study, read_study(study).config, postgres)
    finished = [t for t in read_study(study).trials if t.finished]
    _, view = search(study.root, FakeExecutor(slots=2), storage=postgres)
    assert view.config.storage == postgres
    assert len(view.trials) == 8
    assert all(t.finished for t in view.trials)
    by_number = {t.number: t for t in view.trials}
    assert all(by_number[t.number] == t for t in finished)
    assert [v for v in check_invariants(study) if v.standing == "broken"] == []


def test_a_storage_that_lacks_the_study_is_refused_for_its_folder(
    study: StudyFolder, postgres: str
) -> None:
    with pytest.raises(InputError, match="hpsearch copy"):
        search(study.root, FakeExecutor(), storage=postgres)


def test_it_is_refused_before_anything_is_written_and_the_advice_helps(
    study: StudyFolder, postgres: str
) -> None:
    with pytest.raises(InputError, match=f"hpsearch copy {study.root} --to {postgres}"):
        Database(study, postgres).check_usable("quickstart")
    copy_study(study, read_study(study).config, postgres)
    Database(study, postgres).check_usable("quickstart")
    Database(StudyFolder(study.root.with_name("other")), postgres).check_usable("other")


def test_what_is_there_already_is_not_overwritten(
    study: StudyFolder, postgres: str, tmp_path: Path
) -> None:
    config = read_study(study).config
    copy_study(study, config, postgres)
    with pytest.raises(InputError, match="holds a study 'quickstart' already"):
        copy_study(study, config, postgres)
    with pytest.raises(InputError, match="there already"):
        copy_study(study, config, "sqlite")
    taken = tmp_path / "taken.db"
    taken.write_bytes(b"mine")
    with pytest.raises(InputError, match="is there already"):
        copy_study(study, config.model_copy(update={"storage": postgres}), f"sqlite:///{taken}")
    assert taken.read_bytes() == b"mine"
    with pytest.raises(InputError, match="write sqlite"):
        copy_study(study, config, "mysql://somewhere/db")


def test_a_copy_that_fails_half_way_leaves_nothing(
    study: StudyFolder, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = read_study(study).config
    real = optuna.storages.RDBStorage._get_prepared_new_trial

    def fail(self: object, study_id: int, template: object, session: object) -> object:
        if template.number == 2:  # type: ignore[attr-defined]
            raise RuntimeError("cut")
        return real(self, study_id, template, session)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(optuna.storages.RDBStorage, "_get_prepared_new_trial", fail)
        with pytest.raises(EnvironmentFailure, match="cut"):
            copy_study(study, config, postgres)
    assert copy_study(study, config, postgres) >= 3


def test_a_difference_is_seen(study: StudyFolder) -> None:
    one = content(open_file(study.database))
    other = content(open_file(study.database))
    other.trials[1].intermediate_values[1] = 0.123
    assert one.difference(other) == "trial 1"
    assert one.difference(replace(one, trials=one.trials[:-1])) is not None
    assert one.difference(replace(one, user_attributes={})) is not None


def test_a_study_that_a_driver_works_on_is_not_copied(study: StudyFolder, postgres: str) -> None:
    config = read_study(study).config
    copy_study(study, config, postgres)
    shared = config.model_copy(update={"storage": postgres})
    record = StudyRecord(study, "quickstart", postgres, 60.0)
    with transaction(record.storage) as session:
        taken = record.leases.take_free(session, record.study_id, 1)
    assert len(taken) == 1
    with pytest.raises(InputError, match="is at work"):
        copy_study(study, shared, f"sqlite:///{study.root / 'other.db'}")
    record.close()
    assert copy_study(study, shared, f"sqlite:///{study.root / 'other.db'}") >= 3
