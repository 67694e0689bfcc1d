"""Repairs the files of a study: an invalid file is kept under another name.

A result with a checksum is valid when it passes its reader. One without a checksum, of version
0.1.0, is valid unless the trial's curve or configuration contradicts it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hpsearch.data.packed_files import drop_damaged
from hpsearch.errors import InputError
from hpsearch.json_files import Opening
from hpsearch.maintenance.facts import written_files
from hpsearch.maintenance.invariants import damage
from hpsearch.paths import StudyFolder, TrialFolder, write_atomically
from hpsearch.records import dump_line, dump_record, read_lines, set_aside
from hpsearch.storage import trial_files
from hpsearch.storage.view import StudyView
from hpsearch.study.plan import StudyPlan
from hpsearch.study.trained import config_of
from hpsearch.training.checkpoint_file import previous
from hpsearch.trial import TrialRecord

ENDED_WITH = ("cause", "epochs", "seconds", "images", "multiply_adds", "peak_bytes", "figures")
"""Other keys of result.json, which are also user attributes in the database."""
KEPT = ("dataset.json", "prior.json")
"""Damaged files that stay in place, because nothing else holds their content."""


def repair_checkpoints(folder: StudyFolder) -> list[str]:
    """Set aside damaged checkpoints and invalid epochs."""
    done = []
    for number in folder.trial_numbers():
        trial = folder.trial(number)
        for path in (trial.checkpoint, previous(trial.checkpoint)):
            if path.exists() and damage(path) is not None:
                aside = set_aside(path).name
                done.append(f"trial {number}: set the damaged {path.name} aside as {aside}")
        older = previous(trial.checkpoint)
        if older.exists() and not trial.checkpoint.exists():
            older.rename(trial.checkpoint)
            done.append(f"trial {number}: went back to the checkpoint before")
        curve, problem = trial_files.read_curve(trial.epochs)
        if problem is not None:
            aside, ended = set_aside(trial.epochs).name, trial_files.read_result(trial.result)
            done.append(f"trial {number}: set {trial.epochs.name} aside as {aside} ({problem})")
            if ended is None or len(ended.trial.values) == len(curve):
                write_atomically(trial.epochs, "".join(map(trial_files.epoch_line, curve)))
                done.append(f"trial {number}: kept the {len(curve)} whole lines before that")
    return done


def repair_results(folder: StudyFolder) -> list[str]:
    """Set aside invalid results."""
    done = []
    for number in folder.trial_numbers():
        place = folder.trial(number)
        try:
            found = trial_files.load_result(place.result)
            problem = None if found.recorded else _contradiction(place, found.trial)
        except FileNotFoundError:
            continue
        except ValueError as error:
            problem = str(error)
        if problem:
            aside = set_aside(place.result).name
            done.append(f"trial {number}: set {place.result.name} aside as {aside} ({problem})")
    return done


def _contradiction(place: TrialFolder, trial: TrialRecord) -> str | None:
    """Return how a trial's other files contradict a result without a checksum."""
    curve = trial_files.read_curve(place.epochs)
    if curve.epochs and curve.problem is None and curve.errors != dict(trial.values):
        return f"{place.epochs.name} has another curve"
    known = trial_files.trained_params(place, trial.params)
    different = trial_files.differing_params(trial.params, known[0]) if known else None
    return f"{different} in {place.config.name}" if different else None


def restore_results(folder: StudyFolder, view: StudyView) -> list[str]:
    """Write results that only the database holds into the trials' folders."""
    done = []
    for trial in view.trials:
        path = folder.trial(trial.number).result
        if not trial.finished or trial.added or path.exists():
            continue
        known = view.attributes[trial.number]
        kept = {key: known[key] for key in ENDED_WITH if key in known}
        try:
            trial_files.check_ended(trial)
        except ValueError as error:
            done.append(f"trial {trial.number}: nothing says how it ended, the database: {error}")
            continue
        write_atomically(path, dump_record({"trial": trial.to_json(), **kept}))
        done.append(f"trial {trial.number}: wrote {path.name} again from the database")
    return done


def with_own_params(plan: StudyPlan, trial: TrialRecord) -> TrialRecord:
    """Return an unfinished trial with the parameters of its configuration, if it has a checksum.

    This repairs parameters that were changed in the database alone.
    """
    known = trial_files.trained_params(plan.folder.trial(trial.number), trial.params)
    if known is None or not known[1] or trial.finished:
        return trial
    return replace(trial, params=known[0])


def repair_configs(plan: StudyPlan, view: StudyView) -> list[str]:
    """Write configurations that are missing or contradict the database."""
    done = []
    for trial in view.trials:
        if not trial.params:
            continue  # added or enqueued with Optuna, not trained here
        place = plan.folder.trial(trial.number)
        try:
            expected = config_of(plan.config, trial, view.attributes[trial.number])
        except InputError:
            continue  # its parameters do not form a configuration
        held, name = trial_files.compare_config(place, expected), place.config.name
        if held.missing:
            done.append(f"trial {trial.number}: wrote {name} again from the database")
        elif held.problem:
            aside = set_aside(place.config).name
            done.append(
                f"trial {trial.number}: set {name} aside as {aside} ({held.problem}), wrote it "
                "again from the database"
            )
        else:
            continue
        trial_files.write_config(place, expected)
    return done


def repair_written(folder: StudyFolder) -> list[str]:
    """Set aside other invalid files; the log of openings keeps its valid lines."""
    done = []
    for path, read in written_files(folder):
        try:
            read(path)
        except FileNotFoundError:
            continue
        except ValueError as error:
            if path.name in KEPT:
                continue
            lines = read_lines(path, Opening).rows if path == folder.openings else None
            aside = set_aside(path)
            done.append(f"set {path.relative_to(folder.root)} aside as {aside.name} ({error})")
            if lines is not None:
                _write_openings(path, [row.values for row in lines], aside)
    return done


def _write_openings(path: Path, rows: list[dict[str, object]], aside: Path) -> None:
    """Write the valid lines of the log, and one that names the file with the rest."""
    last = rows[-1] if rows else {"time": "", "fingerprint": ""}
    rest = {**last, "reason": f"lines that cannot be read are in {aside.name}"}
    write_atomically(path, "".join(dump_line(row) for row in [*rows, rest]))


def repair_data(packed: str | None) -> list[str]:
    """Delete packed images that do not fit their checksums; they are made again."""
    return [
        f"deleted {path}, which did not fit" for path in drop_damaged(Path(packed or "nowhere"))
    ]
