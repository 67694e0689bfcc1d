"""The invariants of a study's folder: they hold after any crash of the machine.

The tests, the drill and `hpsearch doctor` call `check_invariants`. It only reads; `repair` fixes a
study.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hpsearch.configfile import read_json, read_yaml
from hpsearch.errors import HpsearchError, InputError
from hpsearch.front.stored import stored_values
from hpsearch.maintenance.facts import FACT_CHECKS, in_words
from hpsearch.maintenance.findings import Check, Findings, Study
from hpsearch.paths import StudyFolder, shell_word
from hpsearch.sqlite_file import integrity_problems
from hpsearch.storage.engine import Database
from hpsearch.storage.optuna_tables import read_rows
from hpsearch.storage.trial_files import load_result, read_curve, read_result, same
from hpsearch.storage.view import read_study
from hpsearch.study.begun import EditedError
from hpsearch.study.handed_over import handed_over
from hpsearch.study.lock import lock_holder
from hpsearch.training.checkpoint_file import previous, verify
from hpsearch.trial import TrialRecord, best_trial

Standing = Literal["holds", "pending", "broken"]
"""pending: the next run of the same command fixes it."""
SHOWN = 3
UNREADABLE = (HpsearchError, KeyError, IndexError, TypeError, ValueError)
"""Errors of a best.yaml that is no export."""


@dataclass(frozen=True)
class Verdict:
    """One invariant in one study.

    Args:
        key: I1 to I16.
        claim: The invariant.
        standing: Whether it holds.
        seen: What the check found, in words.
    """

    key: str
    claim: str
    standing: Standing
    seen: str


def check_invariants(folder: StudyFolder) -> list[Verdict]:
    """Check all invariants of a study; a search may be at work.

    Args:
        folder: The study's folder.

    Returns:
        One verdict per invariant; only the first when the database cannot be read.

    Raises:
        EnvironmentFailure: It cannot be read now: another process locks it, or the disk fails.
    """
    problems, fine = list[str](), "a server's; it looks after itself"
    try:
        database = Database.of(folder)
        database.check()
        if not database.is_server:
            fine = "integrity_check and foreign_key_check: ok"
            problems = integrity_problems(folder.database)
    except InputError as error:
        problems = [str(error)]
    whole = _verdict("I6", "the database is whole", Findings(fine, problems))
    if problems:
        return [whole]
    begun = ("I15", "the study is as it began: study.yaml, space.yaml, data and prior")
    try:
        study = _read(folder)
    except EditedError as error:
        return [whole, _verdict(*begun, Findings(broken=[str(error)]))]
    except InputError as error:
        return [_verdict("I6", "the database is whole", Findings(broken=[str(error)]))]
    verdicts = [_verdict(key, claim, check(study)) for key, claim, check in CHECKS]
    verdicts += [whole, _verdict(*begun, Findings(_kept(folder)))]
    return sorted(verdicts, key=lambda verdict: int(verdict.key[1:]))


def _verdict(key: str, claim: str, found: Findings) -> Verdict:
    standing: Standing = "broken" if found.broken else "pending" if found.pending else "holds"
    items = found.broken or found.pending
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    seen = "; ".join(items[:SHOWN]) + more if items else found.fine
    return Verdict(key, claim, standing, seen)


def _read(folder: StudyFolder) -> Study:
    holder = lock_holder(folder)
    view = read_study(folder)
    with view.database.opened() as storage:
        return Study(folder, view, read_rows(storage, view.name), holder)


def _kept(folder: StudyFolder) -> str:
    kept = folder.begun
    return f"as {kept.name} says" if kept.exists() else "as its first trial was trained"


def _nothing_runs(study: Study) -> Findings:
    running = [t.number for t in study.view.trials if not t.finished]
    if study.holder:
        return Findings(f"a search is at work ({study.holder}), {len(running)} unfinished")
    pending = [f"trial {n} continues with the next run" for n in running]
    return Findings(f"{len(study.view.trials)} trials, all finished", pending=pending)


def _results_are_kept(study: Study) -> Findings:
    found, count, recorded = Findings(), 0, 0
    for trial in study.view.trials:
        folder = study.folder.trial(trial.number)
        try:
            result, _, known = load_result(folder.result)
        except FileNotFoundError:
            elsewhere = study.view.database.is_server and not folder.root.exists()
            optional = trial.added or not trial.finished
            if not (optional or elsewhere):  # another driver's folder may hold it
                found.broken.append(f"trial {trial.number}: no {folder.result.name}")
            continue
        except ValueError as error:
            problem = f"trial {trial.number}: {folder.result.name}: {error}"
            found.add(problem, broken=trial.finished)
            continue
        if not trial.finished:
            found.pending.append(
                f"trial {trial.number}: its result reaches the database with the next run"
            )
        elif (result.state, result.value) != (trial.state, trial.value):
            found.broken.append(
                f"trial {trial.number}: {trial.state} {trial.value} in the database, "
                f"{result.state} {result.value} in its folder"
            )
        else:
            count, recorded = count + 1, recorded + known
    found.fine = f"{count} results agree with the database, {in_words(recorded, count)}"
    return found


def _every_trial_is_known(study: Study) -> Findings:
    known = len(study.view.trials)
    strangers = [n for n in study.folder.trial_numbers() if n >= known]
    broken = [f"trial {n} has a folder, the database does not know it" for n in strangers]
    return Findings(f"{known} trials, no folder without one", broken)


def _numbers_are_unique(study: Study) -> Findings:
    numbers = [row["number"] for row in study.rows]
    if numbers == list(range(len(numbers))):
        return Findings(f"0 to {len(numbers) - 1}, each once" if numbers else "none yet")
    twice = sorted({n for n in numbers if numbers.count(n) > 1})
    missing = sorted(set(range(len(numbers))) - set(numbers))
    return Findings(broken=[f"twice: {twice[:5]}, missing: {missing[:5]}"])


def _best_is_best(study: Study) -> Findings:
    broken = []
    for trial in study.view.trials:
        lowest = min(trial.values.values(), default=None)
        lowest = lowest if trial.result is None else trial.result
        if trial.state == "complete" and not same(trial.value, lowest):
            broken.append(f"trial {trial.number}: value {trial.value}, its lowest epoch {lowest}")
    best = best_trial(study.view.trials)
    broken += _others_differ(study) + _exported_differs(study)
    shown = "no complete trial yet" if best is None else f"trial {best.number}, {best.value}"
    return Findings(shown, broken)


def _others_differ(study: Study) -> list[str]:
    """Compare the values of the objectives beside the first with the trials' figures."""
    broken, goals = list[str](), study.view.config.goals
    for row in study.own_rows if goals.several else ():
        trial = study.view.trials[row["number"]]
        held = stored_values(trial, goals)
        expected = [] if held is None else list(held[1:])
        fits = len(expected) == len(row["others"])
        if not fits or not all(map(same, row["others"], expected)):
            shown = ", ".join(f"{value:g}" for value in expected) or "none"
            broken.append(f"trial {trial.number}: other values {row['others']}, not {shown}")
    return broken


def _exported(study: Study) -> tuple[dict[str, Any], TrialRecord]:
    """Return the content of best.yaml and its trial; raise one of `UNREADABLE` if damaged."""
    values = read_yaml(study.folder.best)
    return values, study.view.trials[int(values["trial"])]


def _exported_differs(study: Study) -> list[str]:
    """Compare best.yaml with its trial."""
    path = study.folder.best
    if not path.exists():
        return []
    try:
        values, trial = _exported(study)
        value = _exported_value(study, values)
    except UNREADABLE as error:
        return [f"{path.name}: cannot be read as an export ({error})"]
    if same(trial.value, value):
        return []
    return [f"{path.name}: error {value}, trial {trial.number} has {trial.value}"]


def _exported_value(study: Study, values: dict[str, Any]) -> float:
    """Return the value in best.yaml, as the search holds it."""
    shown = study.view.config.shown
    return shown.of(float(values["value" if not shown.share else "validation_error"]))


def _export_is_of_the_best(study: Study) -> Findings:
    """Compare best.yaml with the best trial: a continued search may have found a better one."""
    try:
        values, exported = _exported(study)
    except UNREADABLE:
        return Findings("none was exported")  # a damaged one is reported by another check
    certified = _certified(study.folder)
    what = f"{study.folder.best.name}: trial {exported.number}"
    if values.get("chosen"):
        return Findings(f"{what}, which was asked for")
    try:
        best = next(iter(handed_over(study.folder, study.view.config, study.view.trials)), None)
    except InputError:
        best = None  # a damaged space or prior is reported by another check
    if best is None or exported.number in (best.number, certified):
        return Findings(what)
    again = f"`hpsearch export {shell_word(study.folder.root)}` writes it again"
    stale = f"{what}, the best is trial {best.number}; {again}"
    return Findings(pending=[stale])


def _certified(folder: StudyFolder) -> object:
    """Return the number of the trial that a certificate names, None without one."""
    try:
        return read_json(folder.certificate).get("trial")
    except InputError:
        return None


def _failures_have_no_value(study: Study) -> Findings:
    broken = [
        f"trial {row['number']}: {row['state']} with value {row['value']}"
        for row in study.own_rows
        if row["state"] in ("FAIL", "RUNNING", "WAITING") and row["value"] is not None
    ]
    return Findings("no failed or running trial has one", broken)


def _epochs_ran_once(study: Study) -> Findings:
    found = Findings("every epoch once, as in the database")
    for trial in study.view.trials:
        path = study.folder.trial(trial.number).epochs
        if not path.exists():
            continue
        curve = read_curve(path)
        if curve.problem is not None:
            note = f"trial {trial.number}: {path.name} is torn or out of order"
        elif trial.finished and not _same_curve(curve.errors, trial):
            note = f"trial {trial.number}: {path.name} differs from the database"
        else:
            continue
        found.add(note, broken=trial.finished)
    return found


def _times_and_values_are_sound(study: Study) -> Findings:
    broken = []
    for row in study.own_rows:
        start, end, value = row["datetime_start"], row["datetime_complete"], row["value"]
        if end is not None and (start is None or str(end) < str(start)):
            broken.append(f"trial {row['number']}: ended {end}, began {start}")
        if row["value_type"] not in (None, "FINITE") or not math.isfinite(value or 0.0):
            broken.append(f"trial {row['number']}: value {value}, {row['value_type']}")
    return Findings("no trial ends before it starts, all values are finite", broken)


def _nothing_is_left_over(study: Study) -> Findings:
    if study.holder:
        return Findings(f"the lock is held by {study.holder}")
    root, left = study.folder.root, study.folder.temporary_files()
    pending = [f"{path.relative_to(root)} is left over" for path in left]
    return Findings("no temporary file, the lock is free", pending=pending)


def _checkpoints_are_whole(study: Study) -> Findings:
    found, count = Findings(), 0
    if study.view.config.trainer is not None:
        return Findings("they are the program's own")
    for trial in study.view.trials:
        path = study.folder.trial(trial.number).checkpoint
        if study.holder and not trial.finished:
            continue  # a worker writes it
        good, bad = 0, []
        for candidate in (path, previous(path)):
            if candidate.exists():
                problem = damage(candidate)
                good += problem is None
                if problem is not None:
                    bad.append(f"trial {trial.number}: {candidate.name}: {problem}")
        count += good
        if trial.finished:
            found.broken += bad
        elif good:
            found.pending += [f"{note}; the one before it is used" for note in bad]
        elif read_result(study.folder.trial(trial.number).result) is not None:
            continue  # it is not trained again: its result reaches the database with the next run
        elif trial.values and (bad or trial.state == "running"):
            reason = bad[0] if bad else f"trial {trial.number}: no checkpoint"
            found.broken.append(f"{reason}; it starts again at epoch 1")
    kept = count or best_trial(study.view.trials) is None
    found.fine = f"{count} checked" if kept else "none is kept"
    return found


CHECKS: tuple[tuple[str, str, Check], ...] = (
    ("I1", "nothing is left running", _nothing_runs),
    ("I2", "every result is in the database, with the same value", _results_are_kept),
    ("I3", "the database knows every trial that has a folder", _every_trial_is_known),
    ("I4", "trials are numbered from 0, each once", _numbers_are_unique),
    ("I5", "a value is its trial's lowest error; the best is the lowest", _best_is_best),
    ("I7", "no failed trial has a value", _failures_have_no_value),
    ("I8", "every epoch was trained once", _epochs_ran_once),
    ("I9", "times and values are sound", _times_and_values_are_sound),
    ("I10", "no temporary file is left, the lock is free", _nothing_is_left_over),
    ("I16", "best.yaml is of the best trial", _export_is_of_the_best),
    ("I11", "checkpoints fit their checksums", _checkpoints_are_whole),
    *FACT_CHECKS,
)


def damage(path: Path) -> str | None:
    """Return the error of a checkpoint file, None when it fits its checksum.

    A folder is a program's own.
    """
    if path.is_dir():
        return None
    try:
        verify(path)
    except OSError as error:
        return str(error.strerror)
    except (ValueError, InputError) as error:
        return str(error)
    return None


def _same_curve(epochs: dict[int, float], trial: TrialRecord) -> bool:
    return len(epochs) == len(trial.values) and all(
        same(error, trial.values.get(epoch)) for epoch, error in epochs.items()
    )
