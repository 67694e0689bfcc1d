"""The study's database: a durable, browsable record of what the driver decided.

The driver alone writes it, reports in groups; everybody else reads. Optuna's own tables are used,
so `optuna.load_study` and Optuna Dashboard open it as it is.
"""

from __future__ import annotations

import datetime
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState

from hpsearch.configfile import read_yaml
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.paths import StudyFolder
from hpsearch.search.config import StudyConfig
from hpsearch.search.history import State, TrialRecord, Value
from hpsearch.search.sqlite_file import check_database, check_whole

GROUP_S = 0.1
"""Reports reach the database at most this many seconds after they were made."""
BUSY_S = 60
"""How long a locked database is waited for."""
CONSTRAINT = "constraints:trainable"
STATES: dict[State, TrialState] = {
    "running": TrialState.RUNNING,
    "paused": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def open_storage(path: Path) -> RDBStorage:
    """Open the Optuna storage: rollback journal, synchronous FULL, patient with locks."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = f"sqlite:///{path.resolve()}"
    return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": BUSY_S}})


class StudyRecord:
    """Writes one study's database. Only the driver, under the study's lock, may hold one."""

    def __init__(self, folder: StudyFolder, name: str) -> None:
        """Open or create the database.

        Raises:
            InputError: The file is there and is not this study's database.
            EnvironmentFailure: It cannot be opened.
        """
        self.path = folder.database
        if self.path.exists():
            check_database(self.path)
            check_whole(self.path)
        try:
            self._storage = open_storage(self.path)
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=name,
                direction="minimize",
                sampler=optuna.samplers.RandomSampler(seed=0),
                pruner=optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
            if self._study.metric_names is None:
                with warnings.catch_warnings():  # an experimental function; it names the axis
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    self._study.set_metric_names(["validation error"])
        except Exception as error:
            raise self._failure(error) from error
        self._ids: dict[int, int] = {}
        self._began: dict[int, datetime.datetime] = {}
        self._pending: list[tuple[int, int, float]] = []
        self._reported: set[tuple[int, int]] = set()
        self._flushed = time.monotonic()

    def load(self) -> list[TrialRecord]:
        """Return the history as the database holds it, by number."""
        trials = self._storage.get_all_trials(self._study._study_id, deepcopy=False)
        self._ids = {t.number: t._trial_id for t in trials}
        self._began = {t.number: t.datetime_start for t in trials if t.datetime_start}
        self._reported = {(t.number, step) for t in trials for step in t.intermediate_values}
        return [to_record(t) for t in trials]

    def attribute(self, key: str, default: Any = None) -> Any:
        """Return one of the study's user attributes."""
        return self._study.user_attrs.get(key, default)

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one of the study's user attributes."""
        try:
            self._study.set_user_attr(key, value)
        except Exception as error:
            raise self._failure(error) from error

    def add(
        self,
        trial: TrialRecord,
        distributions: Mapping[str, BaseDistribution],
        attributes: Mapping[str, Any],
    ) -> None:
        """Enter a running trial in one transaction.

        Raises:
            EnvironmentFailure: The database refused it, or gave it another number.
        """
        frozen = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=dict(trial.params),
            distributions=dict(distributions),
            user_attrs=dict(attributes),
        )
        frozen.datetime_start = datetime.datetime.now()
        try:
            trial_id = self._storage.create_new_trial(self._study._study_id, frozen)
            number = self._storage.get_trial_number_from_id(trial_id)
        except Exception as error:
            raise self._failure(error) from error
        if number != trial.number:
            raise EnvironmentFailure(
                f"{self.path}: trial {trial.number} was stored as {number}: something else writes "
                "to this study; stop it, then run the same command again"
            )
        self._ids[number] = trial_id
        self._began[number] = frozen.datetime_start

    def set_trial_attribute(self, number: int, key: str, value: Any) -> None:
        """Set a user attribute of an unfinished trial.

        Raises:
            EnvironmentFailure: The database failed.
        """
        self.flush(force=True)  # what the attribute speaks of comes before it
        try:
            self._storage.set_trial_user_attr(self._ids[number], key, value)
        except Exception as error:
            raise self._failure(error) from error

    def report(self, number: int, epoch: int, value: float) -> None:
        """Note an epoch's validation error; `flush` or the next group writes it."""
        if (number, epoch) not in self._reported:
            self._reported.add((number, epoch))
            self._pending.append((number, epoch, value))

    def flush(self, *, force: bool = False) -> None:
        """Write the noted reports in one transaction when the group is due, or at once."""
        due = force or time.monotonic() - self._flushed >= GROUP_S
        if not (self._pending and due):
            return
        kind = models.TrialIntermediateValueModel
        rows = []
        for number, epoch, value in self._pending:
            stored, stored_type = kind.intermediate_value_to_stored_repr(value)
            rows.append(
                {
                    "trial_id": self._ids[number],
                    "step": epoch,
                    "intermediate_value": stored,
                    "intermediate_value_type": stored_type,
                }
            )
        try:
            with self._storage.engine.begin() as connection:
                connection.execute(kind.__table__.insert(), rows)
        except Exception as error:
            raise self._failure(error) from error
        self._pending.clear()
        self._flushed = time.monotonic()

    def end(self, trial: TrialRecord, attributes: Mapping[str, Any]) -> None:
        """End a trial; its state comes last, so that a cut leaves it running, not half told."""
        self.flush(force=True)
        trial_id = self._ids[trial.number]
        try:
            for key, value in attributes.items():
                self._storage.set_trial_user_attr(trial_id, key, value)
            if not trial.trainable:
                self._storage.set_trial_system_attr(trial_id, CONSTRAINT, 1.0)
            values = None if trial.value is None or trial.state == "failed" else [trial.value]
            self._storage.set_trial_state_values(trial_id, STATES[trial.state], values)
            began = self._began.get(trial.number)
            if began is not None and datetime.datetime.now() < began:
                self._end_at(trial_id, began)
        except Exception as error:
            raise self._failure(error) from error

    def _end_at(self, trial_id: int, began: datetime.datetime) -> None:
        """Let a trial end when it began: the clock was set back meanwhile."""
        table = models.TrialModel.__table__
        with self._storage.engine.begin() as connection:
            chosen = table.update().where(table.c.trial_id == trial_id)
            connection.execute(chosen.values(datetime_complete=began))

    def close(self) -> None:
        """Write what is noted and let the file go."""
        self.flush(force=True)
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _failure(self, error: Exception) -> EnvironmentFailure:
        text = " ".join(str(error).split())[:160]
        return EnvironmentFailure(
            f"{self.path}: the database failed ({type(error).__name__}: {text}); results are kept "
            "in the trials' folders, run the same command again"
        )


def to_record(trial: FrozenTrial) -> TrialRecord:
    """Turn Optuna's trial into the search's record."""
    names: dict[TrialState, State] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    unfinished: State = "paused" if trial.user_attrs.get("paused") else "running"
    state = names.get(trial.state, unfinished)
    values = dict(sorted(trial.intermediate_values.items()))
    value = trial.value if trial.values else min(values.values(), default=None)
    return TrialRecord(
        number=trial.number,
        state=state,
        params=dict(trial.params),
        values=values,
        value=value,
        trainable=not trial.system_attrs.get(CONSTRAINT, 0.0) > 0,
        cause=trial.user_attrs.get("cause"),
        audit=trial.user_attrs.get("audit"),
        seconds=trial.user_attrs.get("seconds"),
    )


@dataclass(frozen=True)
class StudyView:
    """A study as everybody but the driver sees it: read, never written."""

    folder: StudyFolder
    name: str
    config: StudyConfig
    dataset: Mapping[str, Any]
    trials: Sequence[TrialRecord]
    attributes: Mapping[int, Mapping[str, Value]]


def read_study(folder: StudyFolder) -> StudyView:
    """Read a study's folder without changing anything.

    Raises:
        InputError: The folder holds no study, or its database cannot be read as one.
    """
    config = StudyConfig.from_values(read_yaml(folder.study_file), folder.study_file)
    check_database(folder.database)
    try:
        storage = open_storage(folder.database)
        study = optuna.load_study(
            study_name=config.name,
            storage=storage,
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=optuna.pruners.NopPruner(),
        )
        trials = study.get_trials(deepcopy=False)
        storage.engine.dispose()
    except Exception as error:
        text = " ".join(str(error).split())[:160]
        raise InputError(
            f"{folder.database}: cannot be read as the study {config.name!r} ({text})"
        ) from error
    return StudyView(
        folder=folder,
        name=config.name,
        config=config,
        dataset=read_json(folder.dataset),
        trials=[to_record(t) for t in trials],
        attributes={t.number: dict(t.user_attrs) for t in trials},
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: The file is missing or holds something else.
    """
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the study's folder is incomplete") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: must hold one JSON object")
    return values
