"""Repairs a study's folder, for `hpsearch doctor STUDY --repair`.

The trials' folders hold every recorded result, so a lost or damaged database is built again from
them. A copy of everything that is replaced is kept.
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from hpsearch.errors import InputError
from hpsearch.front.stored import stored_constraints, stored_values
from hpsearch.json_files import read_dataset
from hpsearch.maintenance import repair_files
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.maintenance.migrate import moved, unknown_values
from hpsearch.maintenance.others_of_file import (
    copy_others,
    entered_elsewhere,
    name_again,
    take_out_of_queue,
)
from hpsearch.maintenance.restore import restore
from hpsearch.paths import REBUILT, StudyFolder, fsync_folder, remove
from hpsearch.seeding import trial_seed
from hpsearch.space.space import SearchSpace
from hpsearch.sqlite_file import back_up
from hpsearch.storage import trial_files
from hpsearch.storage.database import StudyRecord
from hpsearch.storage.engine import Database
from hpsearch.storage.optuna_tables import correct_times, holding, read_rows
from hpsearch.storage.optuna_trial import STATES
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.config import StudyConfig
from hpsearch.study.lock import study_lock
from hpsearch.study.plan import StudyPlan
from hpsearch.study.trained import ASIDE
from hpsearch.trial import TrialRecord

Times = tuple[datetime.datetime | None, datetime.datetime | None]
"""When a trial started and ended; None where it is unknown."""
REBUILT_BY = {"I2", "I3", "I4", "I5", "I6", "I7"}
"""Invariants that a new database restores."""


def repair(folder: StudyFolder) -> list[str]:
    """Repair a study under its lock, after a backup.

    Args:
        folder: The study's folder.

    Returns:
        One line for each change; empty when there was none.

    Raises:
        InputError: A search holds it, or its study.yaml or space.yaml cannot be read.
        EnvironmentFailure: A file cannot be written.
    """
    with study_lock(folder, "hpsearch doctor --repair"):
        done = restore(folder)
        config = StudyConfig.from_yaml(folder.study_file)
        database = Database(folder, config.storage)
        if database.is_server and done:
            return done
        if database.is_server:
            raise InputError(
                f"{database}: the server keeps this study; go back to a backup of its own, "
                "--repair is for studies in a folder"
            )
        plan = StudyPlan(folder, config, SearchSpace.from_yaml(folder.space_file))
        dataset = read_dataset(folder.dataset)
        done += name_again(folder, config.name) + _sweep(folder)
        done += repair_files.repair_checkpoints(folder) + repair_files.repair_results(folder)
        old = _read_or_none(folder)
        done += repair_files.restore_results(folder, old) if old else []
        broken = {v.key for v in check_invariants(folder) if v.standing != "holds"}
        trials, lost = _gather(plan, old)
        pairs = zip(trials, old.trials if old else (), strict=False)
        differ = any(trial_files.differing_params(one.params, row.params) for one, row in pairs)
        if differ or broken & REBUILT_BY:
            done += [f"trial {n}: its parameters are lost with the database" for n in lost]
            done += _rebuild(plan, trials, old)
        elif "I9" in broken:  # the clock was set back
            done.append(f"backed the database up to {back_up(folder.database).name}")
            with database.opened() as storage:
                correct_times(storage, config.name)
            done.append("corrected trials that ended before they started")
        view = _read_or_none(folder)
        done += repair_files.repair_configs(plan, view) if view else []
        done += repair_files.repair_written(folder) + repair_files.repair_data(
            dataset.get("packed")
        )
        done += take_out_of_queue(plan)
    return done


def _sweep(folder: StudyFolder) -> list[str]:
    left = folder.temporary_files()
    for path in left:
        remove(path)
    return [f"removed {path.relative_to(folder.root)}" for path in left]


def _rebuild(plan: StudyPlan, trials: Sequence[TrialRecord], old: StudyView | None) -> list[str]:
    """Build the database from the trials and the readable part of the old one."""
    folder, done = plan.folder, list[str]()
    if folder.database.exists() and old is not None:
        done.append(f"backed the database up to {back_up(folder.database).name}")
    with tempfile.TemporaryDirectory(dir=folder.root, prefix=REBUILT) as aside:
        place = StudyFolder(Path(aside))
        _write(plan, place, trials, old)
        done += copy_others(folder, place, plan.config.name)
        _set_aside(folder.database, done, keep=old is None)
        place.database.replace(folder.database)
        fsync_folder(folder.root)
    finished = sum(t.finished for t in trials)
    done.append(f"built the database again: {len(trials)} trials, {finished} finished")
    return done


def _set_aside(database: Path, done: list[str], *, keep: bool) -> None:
    """Rename a damaged file and its journal; a sound file stays until it is replaced."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    for path in (database, database.with_name(database.name + "-journal")):
        if path.exists() and keep:
            damaged = path.with_name(f"{path.name}.damaged-{stamp}")
            path.rename(damaged)
            done.append(f"set the damaged {path.name} aside as {damaged.name}")
        elif path != database:  # reading the database has rolled it back
            path.unlink(missing_ok=True)


def _read_or_none(folder: StudyFolder) -> StudyView | None:
    try:
        return read_study(folder)
    except InputError:  # a locked one raises EnvironmentFailure: it is not damaged
        return None


def _gather(plan: StudyPlan, old: StudyView | None) -> tuple[list[TrialRecord], list[int]]:
    """Return every trial from its result, else the old database, else its configuration."""
    folder = plan.folder
    rows = {} if old is None else {t.number: t for t in old.trials}
    numbers = {*rows, *folder.trial_numbers()}
    trials, lost = [], []
    for number in range(max(numbers, default=-1) + 1):
        row = rows.get(number)
        if row is not None and not row.added:
            row = repair_files.with_own_params(plan, row)
        held = trial_files.read_result(folder.trial(number).result)
        trial = (held and held.trial) or row or _from_config(plan, number)
        if trial is None:
            lost.append(number)
            cause = "lost with the database, before its folder was written"
            some = {name: p.extremes[0] for name, p in plan.space.parameters.items()}
            trial = TrialRecord(number, "failed", some, cause=cause)  # Optuna requires parameters
        trials.append(trial)
    return trials, lost


def _from_config(plan: StudyPlan, number: int) -> TrialRecord | None:
    """Return a running trial from its configuration and its epochs."""
    folder = plan.folder.trial(number)
    known = trial_files.trained_params(folder, plan.space.parameters)
    if known is None or not plan.problem.has_all(known[0]):
        return None
    curve = trial_files.read_curve(folder.epochs)
    values = curve.errors if curve.problem is None else {}
    figures, goals = plan.problem.costs(known[0]), plan.config.goals
    if curve.problem is None:
        reported = [(one.validation_error, one.metrics) for one in curve.epochs]
        figures = goals.over_curve(figures, reported)
    lowest = min(values.values(), default=None)
    return TrialRecord(number, "running", known[0], values, lowest, figures=figures)


def _write(
    plan: StudyPlan, place: StudyFolder, trials: Sequence[TrialRecord], old: StudyView | None
) -> None:
    """Fill a new database in `place`."""
    others, attributes, times = dict[int, FrozenTrial](), dict[str, Any](), dict[int, Times]()
    if old is not None:
        others = entered_elsewhere(plan.folder, plan.config)
        with old.database.opened() as storage:
            attributes = storage.get_study_user_attrs(storage.get_study_id_from_name(old.name))
            rows = read_rows(storage, old.name)
        for row in rows:
            times[row["number"]] = _utc(row["datetime_start"]), _utc(row["datetime_complete"])
    config = plan.config
    record = StudyRecord(place, config.name, measure=config.shown.stored, goals=config.goals)
    try:
        for key, value in attributes.items():
            record.set_attribute(key, value)
        record.insert(
            others[trial.number]
            if trial.number in others and not trial.params  # its folder would show a search
            else _stored(
                plan,
                trial,
                old.attributes.get(trial.number, {}) if old else {},
                times.get(trial.number),
            )
            for trial in trials
        )
    finally:
        record.close()


def _stored(
    plan: StudyPlan, trial: TrialRecord, known: Mapping[str, Any], times: Times | None
) -> FrozenTrial:
    """Return a trial as the database holds it, with known attributes, and times from its files."""
    folder, ranges = plan.folder.trial(trial.number), plan.space.distributions()
    # The space may have been changed since the trial ran, see `migrate`.
    params = moved(plan.problem, trial.params)
    unknown = [name for name in unknown_values(plan.space, params) if name in params]
    held = {name: value for name, value in params.items() if name not in unknown}
    times = times or (_written_at(folder.config), _written_at(folder.result))
    start, end = (time or datetime.datetime.now(datetime.UTC) for time in times)
    result = trial_files.read_result(folder.result)
    attributes = {
        "origin": "rebuilt",
        **({} if trial.audit is None else {"audit": trial.audit}),
        **known,
        **(result.beside if result else {}),
        **{f"{ASIDE}{name}": params[name] for name in unknown},
        "seed": trial_seed(plan.config.seed, trial.number),
        **({"cause": trial.cause} if trial.cause and trial.finished else {}),
        **({"figures": dict(trial.figures)} if trial.figures else {}),
    }
    return FrozenTrial(
        number=trial.number,
        state=STATES[trial.state],
        value=None,
        values=stored_values(trial, plan.config.goals),
        datetime_start=start,
        datetime_complete=max(start, end) if trial.finished else None,
        params=held,
        distributions={name: holding(ranges.get(name), value) for name, value in held.items()},
        user_attrs=attributes,
        system_attrs=stored_constraints(trial, plan.config.goals),
        intermediate_values=dict(trial.values),
        trial_id=-1,
    )


def _written_at(path: Path) -> datetime.datetime | None:
    if not path.exists():
        return None
    return datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)


def _utc(stored: str | None) -> datetime.datetime | None:
    """Read a time as the database stores it: UTC without a time zone."""
    if stored is None:
        return None
    return datetime.datetime.fromisoformat(stored).replace(tzinfo=datetime.UTC)
