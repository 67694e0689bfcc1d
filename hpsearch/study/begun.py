"""Records how a study started (begun.json), and finds later edits of its files.

The record also marks a folder as a search's: a folder's name proves nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, get_args

from hpsearch.configfile import parse_yaml, read_json, read_yaml
from hpsearch.data.dataset import Kind
from hpsearch.errors import InputError, shortened
from hpsearch.json_files import read_dataset
from hpsearch.paths import StudyFolder, read_file, write_atomically
from hpsearch.seeding import trial_seed
from hpsearch.space.space import SearchSpace
from hpsearch.sqlite_file import check_database
from hpsearch.study.config import OF_SEVERAL, StudyConfig
from hpsearch.training.config import TrialConfig
from hpsearch.trial import Value

MAY_CHANGE = (
    "budget",
    "workers",
    "device",
    "worker_timeout_s",
    "step_timeout_s",
    "description",
    "measure",
    "space",
    "executor",
    "address",
    "resources",
    "storage",
    "lease_s",
)
RUNS = ("directory", "time_limit_s", "memory_gb")
"""Settings of `trainer` that may change for the same reason."""
"""Settings of how long, where and how fast to search. They do not change what is found."""
DATA = ("fingerprint", "ways", "n_tasks")
"""Keys of dataset.json that describe the data; the others say where the data are."""
Difference = tuple[str, Any, Any]
"""A key, its value at the start of the study, and its value now."""


class EditedError(InputError):
    """A file of a study's folder was edited after the study started."""


class Edit(NamedTuple):
    """One difference between a file of a study's folder and the start of the study."""

    path: Path
    key: str
    was: Any
    now: Any


def is_saved(folder: StudyFolder) -> bool:
    """Return whether a search made a folder: begun.json, or in older ones data or database."""
    if folder.begun.is_file():
        return True
    with suppress(InputError):
        if read_json(folder.dataset).get("kind") in (*get_args(Kind), "command"):
            return True
    with suppress(InputError):
        check_database(folder.database)
        return True
    return False


def first_difference(old: Any, new: Any, key: str = "") -> Difference | None:
    """Return the first difference of two plain values, None where they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(n for n in new if n not in old)]:
            found = first_difference(old.get(name), new.get(name), f"{key}.{name}".lstrip("."))
            if found:
                return found
        return None
    return None if old == new else (key, old, new)


def space_difference(old: SearchSpace, new: SearchSpace) -> Difference | None:
    """Return the first difference of two search spaces, None where they are equal."""
    if old.to_yaml() == new.to_yaml():
        return None
    before, now = ({n: p.plain() for n, p in s.parameters.items()} for s in (old, new))
    found = first_difference(before, now, "space")
    found = found or first_difference(old.forbidden, new.forbidden, "space.forbidden")
    return found or ("space", old.name, "another order or description")


def fixed(config: StudyConfig) -> dict[str, Any]:
    """Return the settings that may not change between the runs of a study."""
    values = config.model_dump(mode="json", exclude=set(MAY_CHANGE))
    values = {k: v for k, v in values.items() if v or k not in OF_SEVERAL}
    if values["trainer"] is not None:
        values["trainer"] = {k: v for k, v in values["trainer"].items() if k not in RUNS}
    return values


def beginning(
    folder: StudyFolder,
    config: StudyConfig,
    space: SearchSpace,
    dataset: Mapping[str, Any],
    prior: str | None = None,
) -> dict[str, Any]:
    """Return the record of a study's start.

    Args:
        folder: The study's folder.
        config: Its configuration.
        space: Its search space.
        dataset: The content of dataset.json.
        prior: The future content of prior.json; None if it is already written, or there is none.
    """
    return {
        "format": 1,
        "study": config.plain(),
        "space": space.to_yaml(),
        "dataset": {key: dataset.get(key) for key in DATA},
        "prior": _digest(folder.prior) if prior is None else _sha256(prior.encode()),
    }


def note_beginning(
    folder: StudyFolder, begun: Mapping[str, Any], before: Mapping[str, Any] | None = None
) -> None:
    """Write the record of a study's start.

    Args:
        folder: The study's folder.
        begun: The record; see `beginning`.
        before: The record before a migration that is under way; until it ends both are valid.

    Raises:
        EnvironmentFailure: The file cannot be written.
    """
    held = dict(begun) if before is None else {**begun, "before": dict(before)}
    write_atomically(folder.begun, json.dumps(held, indent=1) + "\n")


def read_begun(folder: StudyFolder) -> dict[str, Any] | None:
    """Return the record of a study's start; None in a folder of an older version.

    Raises:
        InputError: The record is damaged.
    """
    if not folder.begun.is_file():
        return None
    try:
        held = read_json(folder.begun)
        parts = (held, held["before"]) if "before" in held else (held,)
        for part in parts:
            StudyConfig.from_values(part["study"], folder.begun)
            _space(part["space"], folder)
            _ = part["dataset"].items(), part["prior"]
    except (InputError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder.begun}: cannot be read as what the study began with "
            f"({shortened(error, 120)}); restore it from a copy, or {folder.repair} sets it aside"
        ) from error
    return held


def edits(folder: StudyFolder, config: StudyConfig) -> list[Edit]:
    """Return the edits of a study's files since its start, at most one per file.

    Raises:
        InputError: A file cannot be read.
    """
    held = read_begun(folder)
    if held is None:
        return []
    found = _edits(folder, config, held)
    before = held.get("before")
    if before is not None:  # a migration was interrupted: each file is either old or new
        older = {edit.path for edit in _edits(folder, config, before)}
        found = [edit for edit in found if edit.path in older]
    return found


def read_as_begun(folder: StudyFolder) -> StudyConfig:
    """Return a folder's study.yaml.

    Raises:
        EditedError: study.yaml, space.yaml, the data or the prior were edited since the start;
            it names the first difference and the fix.
        InputError: A file cannot be read.
    """
    try:
        config = StudyConfig.from_yaml(folder.study_file)
    except InputError as error:
        if not folder.begun.is_file():
            raise
        way = f"mend it, or {folder.repair} writes it as the study began"
        raise InputError(f"{error}; {way}") from error
    for edit in edits(folder, config):
        raise EditedError(in_words(edit, folder))
    return config


def check_shown(
    folder: StudyFolder,
    config: StudyConfig,
    trials: Sequence[tuple[int, Mapping[str, Value], Mapping[str, Any]]],
) -> None:
    """Refuse a folder of 0.1.0 whose first trained trial contradicts the study file.

    Args:
        folder: The study's folder; one with `begun.json` is not checked.
        config: Its study.yaml.
        trials: Number, parameters and user attributes of each trial.

    Raises:
        EditedError: The seed or the `trial` section was changed, or the space lacks a parameter.
    """
    if folder.begun.is_file():
        return
    for number, params, attributes in trials:
        path = folder.trial(number).config
        if "seed" not in attributes or not path.is_file():
            continue
        found = None
        if attributes["seed"] != trial_seed(config.seed, number):
            found = ("seed", f"another seed (that of trial {number} shows it)", config.seed)
        if config.trial is not None:
            found = found or _trained_difference(config, params, read_yaml(path))
        if found:
            raise EditedError(in_words(Edit(folder.study_file, *found), folder))
        return


def _trained_difference(
    config: StudyConfig, params: Mapping[str, Value], trained: Mapping[str, Any]
) -> Difference | None:
    """Compare the `trial` section, with a trial's parameters, with the trained configuration."""
    try:
        now = config.resource.config(params).plain()
    except InputError:  # the section lacks a parameter: it has other layers
        return ("trial.layers", "the layers that its trials name", "others")
    before = dict(trained)
    with suppress(InputError):  # settings that the older file lacks have their defaults
        before = TrialConfig.from_values({"convolution": now["convolution"], **trained}).plain()
    return first_difference(before, now, "trial")


def in_words(edit: Edit, folder: StudyFolder) -> str:
    """Describe an edit in one line, with the fix."""
    if edit.path == folder.prior:
        return f"{edit.path}: is not the file the study began with; restore it from a copy"
    return (
        f"{edit.path}: {edit.key}: the study was begun with {short(edit.was)}, the file says "
        f"{short(edit.now)}; a study keeps it: write it again, or {folder.repair} does; for "
        "another study name another --output (OUTPUT=)"
    )


def _edits(folder: StudyFolder, now: StudyConfig, held: Mapping[str, Any]) -> list[Edit]:
    found: list[tuple[Path, Difference | None]] = [
        (folder.study_file, _study_difference(folder, now, held["study"])),
        (folder.space_file, _space_difference(folder, held["space"])),
    ]
    read_dataset(folder.dataset)  # raises where the file is lost or damaged
    data = read_json(folder.dataset)
    parts = {key: data.get(key) for key in held["dataset"]}
    found.append((folder.dataset, first_difference(dict(held["dataset"]), parts)))
    if _digest(folder.prior) != held["prior"]:
        found.append((folder.prior, ("content", held["prior"], None)))
    return [Edit(path, *one) for path, one in found if one is not None]


def _study_difference(
    folder: StudyFolder, now: StudyConfig, begun: Mapping[str, Any]
) -> Difference | None:
    # A setting that is newer than the study has no value at its start: use the file's.
    values = dict(begun)
    if now.trial is not None and begun.get("trial") is not None:
        newer = {k: v for k, v in now.trial.plain().items() if k not in begun["trial"]}
        values["trial"] = {**newer, **begun["trial"]}
    return first_difference(fixed(StudyConfig.from_values(values, folder.begun)), fixed(now))


def _space_difference(folder: StudyFolder, begun: str) -> Difference | None:
    try:
        if read_file(folder.space_file).decode() == begun:
            return None
    except FileNotFoundError:
        return ("space", "its own space", "nothing: the file is missing")
    except (OSError, ValueError):
        pass  # parsing it reports the error
    try:
        now = SearchSpace.from_yaml(folder.space_file)
    except InputError as error:
        return ("space", "its own space", f"nothing that can be read ({error})")
    return space_difference(_space(begun, folder), now)


def _space(text: str, folder: StudyFolder) -> SearchSpace:
    return SearchSpace.from_values(parse_yaml(text.encode(), str(folder.begun)), folder.begun)


def _digest(path: Path) -> str | None:
    try:
        return _sha256(read_file(path))
    except FileNotFoundError:
        return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def short(value: Any) -> str:
    """Return a value in one line of at most 80 characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else text[:77] + "..."
