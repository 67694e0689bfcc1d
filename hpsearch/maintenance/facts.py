"""Checks of facts that several files hold: parameters, the program's files, the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from hpsearch import json_files
from hpsearch.data.dataset import open_packed
from hpsearch.data.packed_files import verify_packed
from hpsearch.errors import HpsearchError, InputError
from hpsearch.maintenance.findings import Check, Findings, Study
from hpsearch.paths import StudyFolder
from hpsearch.records import Record, read_lines, read_record
from hpsearch.samplers.prior import PriorFile
from hpsearch.storage import trial_files
from hpsearch.storage.agreement import result_difference
from hpsearch.study.trained import config_of

Read = Callable[[Path], bool]
"""A function that reads one file and returns whether it carries a checksum."""


def in_words(recorded: int, count: int) -> str:
    """Describe how many facts carry a checksum; folders of version 0.1.0 have none."""
    if recorded == count:
        return "checksums fit"
    return f"checksums: {recorded} fit, {count - recorded} not recorded"


def _parameters_agree(study: Study) -> Findings:
    found, recorded, count = Findings(), 0, 0
    for trial in study.view.trials:
        if not trial.params:
            continue  # added or enqueued with Optuna, not trained here
        place = study.folder.trial(trial.number)
        name = f"trial {trial.number}: {place.config.name}"
        if problem := result_difference(study.folder, trial):
            found.broken.append(f"trial {trial.number}: {place.result.name}: {problem}")
        try:
            attributes = study.view.attributes[trial.number]
            expected = config_of(study.view.config, trial, attributes)
        except InputError as error:
            found.broken.append(f"{name}: {error}")
            continue
        held = trial_files.compare_config(place, expected)
        if held.missing:
            gone = f"{name} is gone; it is written again from the database when needed"
            found.pending.append(gone)
            continue
        if held.problem:
            found.broken.append(f"{name}: {held.problem}")
        count, recorded = count + 1, recorded + held.recorded
    found.fine = f"{count} configurations agree, {in_words(recorded, count)}"
    return found


def _files_are_whole(study: Study) -> Findings:
    found, recorded, count = Findings(), 0, 0
    for path, read in written_files(study.folder):
        try:
            recorded += read(path)
            count += 1
        except FileNotFoundError:
            continue
        except ValueError as error:
            found.broken.append(f"{path.relative_to(study.folder.root)}: {error}")
    found.fine = f"{count} files, {in_words(recorded, count)}"
    return found


def written_files(folder: StudyFolder) -> Iterator[tuple[Path, Read]]:
    """Yield the program's other files in a study's folder, each with its reader."""
    yield folder.dataset, _without(_record(json_files.DatasetNote))
    yield folder.prior, _record(PriorFile)
    yield folder.openings, read_openings
    yield folder.certificate, _record(json_files.Certificate)
    for path in sorted(folder.confirmation.glob("*/result.json")):
        yield path, _record(json_files.ConfirmedRun)
    yield folder.model / "metrics.json", _record(json_files.Metrics)
    yield folder.model / "evaluation.json", _record(json_files.Evaluation)
    for number in folder.trial_numbers():
        yield folder.trial(number).attempts, _without(_record(trial_files.Deaths))
        yield folder.trial(number).provenance, _without(trial_files.load_provenance)


def _record(kind: type[Record]) -> Read:
    return lambda path: read_record(path, kind).recorded


def read_openings(path: Path) -> bool:
    """Read the whole log of openings; see `Read`."""
    lines = read_lines(path, json_files.Opening)
    if lines.problem is not None:
        raise ValueError(lines.problem)
    return all(row.recorded for row in lines.rows)


def _without(read: Callable[[Path], object]) -> Read:
    """Return a reader of a file that needs no checksum, because no result depends on it."""
    return lambda path: read(path) is not None


def _data_are_the_same(study: Study) -> Findings:
    mark = str(study.view.dataset["fingerprint"])
    broken = [
        f"trial {trial.number}: trained on {one['fingerprint'][:12]}, "
        f"the study's data are {mark[:12]}"
        for trial in study.view.trials
        for one in trial_files.read_provenance(study.folder.trial(trial.number))
        if (one.get("fingerprint") or mark) != mark
    ]
    if study.view.config.trainer is not None:
        return Findings("the program's own")
    packed = Path(study.view.dataset.get("packed") or "nowhere")
    if not (packed / "meta.json").is_file():
        return Findings("no longer packed: the next run packs them again", broken)
    try:
        held = open_packed(packed).fingerprint
        if held != mark:
            broken.append(f"{packed}: holds {held[:12]}, the study was begun on {mark[:12]}")
        count = verify_packed(packed)
    except HpsearchError as error:
        return Findings(broken=[*broken, str(error)])
    return Findings(f"fingerprint {mark[:12]}, {count} packed files fit", broken)


FACT_CHECKS: tuple[tuple[str, str, Check], ...] = (
    ("I12", "parameters are the same in database, result and configuration", _parameters_agree),
    ("I13", "what else was written is whole", _files_are_whole),
    ("I14", "the data are those the study was begun on, whole", _data_are_the_same),
)
