"""Repairs a study's folder, for `hpsearch doctor STUDY --repair`.

The trials' folders hold every recorded result, so a lost or damaged database is built again from
them. A copy of everything that is replaced is kept.
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpsearch.configfile import read_yaml
from hpsearch.errors import InputError
from hpsearch.json_files import read_dataset
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.maintenance.others_of_file import (
    copy_others,
    entered_elsewhere,
    name_again,
    take_out_of_queue,
)
from hpsearch.maintenance.repair_files import (
    repair_checkpoints,
    repair_configs,
    repair_data,
    repair_results,
    repair_written,
    restore_results,
    with_own_params,
)
from hpsearch.paths import REBUILT, StudyFolder, fsync_folder, remove
from hpsearch.seeding import trial_seed
from hpsearch.space.space import SearchSpace
from hpsearch.sqlite_file import back_up, connect
from hpsearch.storage.database import StudyRecord
from hpsearch.storage.engine import is_server
from hpsearch.storage.trial_files import (
    differing_params,
    load_result,
    read_curve,
    read_result,
    trained_params,
)
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.begun import restore
from hpsearch.study.config import StudyConfig
from hpsearch.study.plan import StudyPlan, study_lock
from hpsearch.trial import TrialRecord

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
        config = StudyConfig.from_values(read_yaml(folder.study_file), folder.study_file)
        if is_server(config.storage) and done:
            return done
        if is_server(config.storage):
            raise InputError(
                f"{config.storage}: the server keeps this study; go back to a backup of its own, "
                "--repair is for studies in a folder"
            )
        plan = StudyPlan(folder, config, SearchSpace.from_yaml(folder.space_file))
        dataset = read_dataset(folder.dataset)
        done += name_again(folder, config.name) + _sweep(folder)
        done += repair_checkpoints(folder) + repair_results(folder)
        done += restore_results(folder, _read_or_none(folder))
        broken = {v.key for v in check_invariants(folder) if v.standing != "holds"}
        if broken & REBUILT_BY or _changed(plan):
            done += _rebuild(plan)
        elif "I9" in broken:
            done += _repair_times(plan)
        done += repair_configs(plan, _read_or_none(folder))
        done += repair_written(folder) + repair_data(dataset.get("packed"))
        done += take_out_of_queue(plan)
    return done


def _sweep(folder: StudyFolder) -> list[str]:
    left = folder.temporary_files()
    for path in left:
        remove(path)
    return [f"removed {path.relative_to(folder.root)}" for path in left]


def _changed(plan: StudyPlan) -> bool:
    """Return whether parameters in the database differ from the trials' files."""
    old = _read_or_none(plan.folder)
    if old is None:
        return False
    trials, _ = _gather(plan, old)
    pairs = zip(trials, old.trials, strict=False)
    return any(differing_params(trial.params, row.params) for trial, row in pairs)


def _rebuild(plan: StudyPlan) -> list[str]:
    """Build the database from the trials' folders and the readable part of the old one."""
    folder = plan.folder
    old = _read_or_none(folder)
    trials, lost = _gather(plan, old)
    done = [f"trial {n}: its parameters are lost with the database" for n in lost]
    if folder.database.exists() and old is not None:
        done.append(f"backed the database up to {back_up(folder.database).name}")
    with tempfile.TemporaryDirectory(dir=folder.root, prefix=REBUILT) as aside:
        place = StudyFolder(Path(aside))
        _write(plan, place, trials, old)
        _keep_rest(plan, place, readable=old is not None)
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
            row = with_own_params(plan, row)
        held = read_result(folder.trial(number).result)
        trial = held or row or _from_config(plan, number)
        if trial is None:
            lost.append(number)
            cause = "lost with the database, before its folder was written"
            trial = TrialRecord(number, "failed", _any_parameters(plan), cause=cause)
        trials.append(trial)
    return trials, lost


def _from_config(plan: StudyPlan, number: int) -> TrialRecord | None:
    """Return a running trial from its configuration and its epochs."""
    folder = plan.folder.trial(number)
    known = trained_params(folder, plan.space.parameters)
    if known is None:
        return None
    curve = read_curve(folder.epochs)
    values = curve.errors if curve.problem is None else {}
    return TrialRecord(number, "running", known[0], values, min(values.values(), default=None))


def _any_parameters(plan: StudyPlan) -> dict[str, Any]:
    """Return some parameters of the space; Optuna requires them."""
    return {name: p.extremes[0] for name, p in plan.space.parameters.items()}


def _write(
    plan: StudyPlan, place: StudyFolder, trials: Sequence[TrialRecord], old: StudyView | None
) -> None:
    """Fill a new database in `place`."""
    record = StudyRecord(place, plan.config.name)
    distributions = plan.space.distributions()
    others = entered_elsewhere(plan.folder, plan.config) if old else {}
    try:
        for trial in trials:
            if (
                trial.number in others and not trial.params
            ):  # a folder would show that a search entered it
                record.add_as_it_is(others[trial.number])
                continue
            known: Mapping[str, Any] = old.attributes.get(trial.number, {}) if old else {}
            seed = trial_seed(plan.config.seed, trial.number)
            written = _ended_with(plan.folder.trial(trial.number).result)
            known = {key: value for key, value in known.items() if key not in written}
            audit = {} if trial.audit is None else {"audit": trial.audit}
            attributes = {"origin": "rebuilt", **audit, **written, **known, "seed": seed}
            record.add(replace(trial, state="running"), distributions, attributes)
            for epoch, value in trial.values.items():
                record.report(trial.number, epoch, value)
            if trial.finished:
                record.end(trial, {"cause": trial.cause} if trial.cause else {})
    finally:
        record.close()


def _ended_with(path: Path) -> dict[str, Any]:
    """Return the other values of a result.json: epochs, seconds, images."""
    try:
        return load_result(path).beside
    except (FileNotFoundError, ValueError):
        return {}


def _keep_rest(plan: StudyPlan, place: StudyFolder, *, readable: bool) -> None:
    """Restore the times of the rows, from the old database or the files; keep the hours."""
    attributes: list[tuple[str, str]] = []
    times: dict[int, tuple[str | None, str | None]] = {}
    for number in plan.folder.trial_numbers():
        trial = plan.folder.trial(number)
        times[number] = (_written_at(trial.config), _written_at(trial.result))
    if readable:
        with connect(plan.folder.database) as connection:
            own = "WHERE study_id = (SELECT study_id FROM studies WHERE study_name = ?)"
            query = f"SELECT number, datetime_start, datetime_complete FROM trials {own}"
            name = (plan.config.name,)
            times |= {n: (start, end) for n, start, end in connection.execute(query, name)}
            query = f"SELECT key, value_json FROM study_user_attributes {own}"
            attributes = connection.execute(query, name).fetchall()
    rows = [(start, end, start, number) for number, (start, end) in times.items()]
    with connect(place.database) as connection:
        connection.executemany(
            "UPDATE trials SET datetime_start = coalesce(?, datetime_start), datetime_complete = "
            "CASE WHEN datetime_complete IS NULL THEN NULL ELSE "
            "max(coalesce(?, datetime_complete), coalesce(?, datetime_start)) END "
            "WHERE number = ?",
            rows,
        )
        connection.executemany(
            "INSERT INTO study_user_attributes (study_id, key, value_json) "
            "SELECT study_id, ?, ? FROM studies",
            attributes,
        )
        connection.commit()


def _written_at(path: Path) -> str | None:
    if not path.exists():
        return None
    # Optuna keeps UTC without a time zone in these columns
    written = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
    return written.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def _repair_times(plan: StudyPlan) -> list[str]:
    """Correct trials that end before they start, because the clock was set back."""
    done = [f"backed the database up to {back_up(plan.folder.database).name}"]
    with connect(plan.folder.database) as connection:
        connection.execute(
            "UPDATE trials SET datetime_complete = datetime_start "
            "WHERE datetime_complete < datetime_start AND study_id = "
            "(SELECT study_id FROM studies WHERE study_name = ?)",
            (plan.config.name,),
        )
        connection.commit()
    return [*done, "corrected trials that ended before they started"]
