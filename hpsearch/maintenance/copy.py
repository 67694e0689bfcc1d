"""Copies a study's database to another place, completely or not at all.

Every state, time, value and attribute is copied. The trials' folders stay where they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from hpsearch.errors import EnvironmentFailure, HpsearchError, InputError
from hpsearch.paths import StudyFolder, user_path
from hpsearch.storage.engine import Database, closing, open_file, server_failure, words_of
from hpsearch.storage.optuna_tables import has_study, insert_study, leased, transaction
from hpsearch.study.config import StudyConfig
from hpsearch.study.storage_url import check_storage

FILE = "sqlite:///"


@dataclass(frozen=True)
class Content:
    """Everything that a database holds about one study."""

    user_attributes: dict[str, Any]
    system_attributes: dict[str, Any]
    trials: tuple[FrozenTrial, ...]
    objectives: int = 1

    def difference(self, other: Content) -> str | None:
        """Return the first difference of two studies, None where they are equal."""
        if self.user_attributes != other.user_attributes:
            return "the study's attributes"
        if self.objectives != other.objectives:
            return f"the number of objectives, {self.objectives} and {other.objectives}"
        if self.system_attributes != other.system_attributes:
            return "the study's system attributes"
        if len(self.trials) != len(other.trials):
            return f"the number of trials, {len(self.trials)} and {len(other.trials)}"
        for one, two in zip(self.trials, other.trials, strict=True):
            if _facts(one) != _facts(two):
                return f"trial {one.number}"
        return None


def copy_study(folder: StudyFolder, config: StudyConfig, to: str) -> int:
    """Copy a study from its current storage to another one.

    Args:
        folder: The study's folder; the caller holds its lock.
        config: Its configuration.
        to: "sqlite" for the folder's own file, sqlite:///FILE, or a postgresql:// URL.

    Returns:
        The number of trials, equal in both storages.

    Raises:
        InputError: Source and target are the same, the target has such a study, or a driver is at
            work.
        EnvironmentFailure: The copy failed; the target is unchanged.
    """
    _check_target(config, to)
    database, target = Database(folder, config.storage), Database(folder, to)
    database.check(whole=True)
    with database.opened() as source:
        content = _read(source, config.name, str(database))
        for driver in leased(source, config.name).values():
            raise InputError(
                f"{database}: {driver} is at work on the study; stop it, or wait for it, "
                f"{config.lease_s:g} s if it died"
            )
    if target.is_server:
        with target.opened() as opened:
            _copy_into(opened, content, config.name, to)
    else:
        path = folder.database if to == "sqlite" else user_path(to.removeprefix(FILE))
        _copy_into_file(path, content, config.name)
    return len(content.trials)


def _check_target(config: StudyConfig, to: str) -> None:
    if to == config.storage:
        raise InputError(f"--to {to}: the study is there already; name another place")
    if to.startswith(FILE) and to != FILE:
        return
    try:
        check_storage(to)
    except ValueError as error:
        raise InputError(f"--to {to}: {error}; or sqlite:///FILE") from None


def _copy_into_file(path: Path, content: Content, name: str) -> None:
    if path.exists() or path.is_symlink():
        raise InputError(f"{path}: is there already; move it away, or copy to another file")
    aside = path.with_name(f".{path.name}.tmp")
    aside.unlink(missing_ok=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(open_file(aside)) as opened:
            _copy_into(opened, content, name, str(path))
        aside.replace(path)
    except OSError as error:
        raise EnvironmentFailure(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        aside.unlink(missing_ok=True)


def _copy_into(target: RDBStorage, content: Content, name: str, where: str) -> None:
    try:
        with transaction(target) as session:
            if has_study(session, name):
                raise InputError(
                    f"--to {where}: holds a study {name!r} already; name another place"
                )
            attributes = content.user_attributes, content.system_attributes
            insert_study(target, session, name, *attributes, content.trials, content.objectives)
        difference = content.difference(_read(target, name, where))
        if difference:
            target.delete_study(target.get_study_id_from_name(name))
            raise EnvironmentFailure(f"--to {where}: the copy differs in {difference}; taken back")
    except HpsearchError:
        raise
    except Exception as error:
        if target.engine.name == "postgresql":
            raise server_failure(where, error) from error
        raise EnvironmentFailure(
            f"{where}: the copy failed ({words_of(error)}); nothing is kept"
        ) from error


def _read(storage: RDBStorage, name: str, where: str) -> Content:
    try:
        study_id = storage.get_study_id_from_name(name)
    except KeyError:
        raise InputError(
            f"{where}: holds no study {name!r}; search or copy it there first"
        ) from None
    return Content(
        storage.get_study_user_attrs(study_id),
        storage.get_study_system_attrs(study_id),
        tuple(storage.get_all_trials(study_id, deepcopy=False)),
        len(storage.get_study_directions(study_id)),
    )


def _facts(trial: FrozenTrial) -> tuple[Any, ...]:
    """Return everything of a trial except its id; values as text, so that NaN equals NaN."""
    times = trial.datetime_start, trial.datetime_complete
    point = trial.params, trial.distributions
    mappings = trial.intermediate_values, trial.user_attrs, trial.system_attrs
    texts = [str(trial.values), *(str(sorted(held.items())) for held in mappings)]
    return trial.number, trial.state, times, point, texts
