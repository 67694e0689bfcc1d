"""Writes the files of a study's start again, from begun.json; edited files are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpsearch.configfile import dump_yaml, read_json, read_yaml
from hpsearch.data import open_packed
from hpsearch.data.cache import caches
from hpsearch.data.pack import packed_name
from hpsearch.errors import HpsearchError, InputError
from hpsearch.json_files import NO_DATA, read_dataset
from hpsearch.paths import StudyFolder, read_file, write_atomically
from hpsearch.study.begun import MAY_CHANGE, edits, read_begun, short
from hpsearch.study.config import StudyConfig


def restore(folder: StudyFolder) -> list[str]:
    """Restore the files of a study's start; keep the edited files under other names.

    Returns:
        One line for each change.

    Raises:
        InputError: A file cannot be read.
        EnvironmentFailure: A file cannot be written.
    """
    try:
        held = read_begun(folder)
    except InputError:
        aside = _free_name(folder.begun, "damaged")
        folder.begun.rename(aside)
        return [f"set the damaged {folder.begun.name} aside as {aside.name}"]
    if held is None:
        return []
    done = []
    try:
        StudyConfig.from_yaml(folder.study_file)
    except InputError as error:
        kept = _replace(folder.study_file, dump_yaml(held["study"]))
        done.append(f"study.yaml: wrote it as the study began ({error}){kept}")
    config = StudyConfig.from_yaml(folder.study_file)
    try:
        read_dataset(folder.dataset)
    except InputError:
        found = _dataset(config, held["dataset"])
        kept = _replace(folder.dataset, json.dumps(found, indent=2) + "\n")
        done.append(f"dataset.json: wrote it again{kept}{_where(found)}")
    for edit in edits(folder, config):
        text = _as_begun(folder, held, edit.path)
        if text is not None:
            kept = _replace(edit.path, text)
            done.append(f"{edit.path.name}: wrote {edit.key} {short(edit.was)} again{kept}")
    return done


def _dataset(config: StudyConfig, held: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a lost dataset.json.

    begun.json holds which images they were, their packed folder their kind. Where the user's own
    lie is lost: while they are packed nobody needs to know.
    """
    if config.trainer is not None:
        return NO_DATA
    lost = {"kind": config.dataset, "packed": None, "source": None, "description": ""}
    for cache in caches():
        for folder in sorted((cache / "packed").glob(packed_name("*", str(held["fingerprint"])))):
            try:
                packed = open_packed(folder)
            except HpsearchError:
                continue  # damaged: the next run packs the images again
            if packed.fingerprint == held["fingerprint"]:
                there = {"kind": packed.kind, "packed": str(folder)}
                return {**lost, **there, "description": packed.description, **held}
    return {**lost, **held}


def _where(dataset: Mapping[str, Any]) -> str:
    """Return what the next search needs to be told, in words; nothing if the images are packed."""
    if dataset["packed"] or dataset["kind"] == "command":
        return ""
    return "; its images are no longer packed: name them to the next search by --data (DATA=)"


def _replace(path: Path, text: str) -> str:
    """Write a file again; keep the edited one, and return where in words."""
    kept = ""
    if path.exists():
        aside = _free_name(path, "edited")
        write_atomically(aside, read_file(path))
        kept = f"; the edited file is {aside.name}"
    write_atomically(path, text)
    return kept


def _as_begun(folder: StudyFolder, held: Mapping[str, Any], path: Path) -> str | None:
    """Return a file's text at the start, with allowed changes; None where it is lost."""
    if path == folder.study_file:
        kept = {k: v for k, v in read_yaml(path).items() if k in MAY_CHANGE}
        values = {**held["study"], **kept}
        StudyConfig.from_values(values, path)
        return dump_yaml(values)
    if path == folder.space_file:
        return str(held["space"])
    if path == folder.dataset:
        return json.dumps({**read_json(path), **held["dataset"]}, indent=2) + "\n"
    return None


def _free_name(path: Path, what: str) -> Path:
    """Return the first free name for a copy: study.yaml.edited-1, then -2."""
    number = 1
    while (free := path.with_name(f"{path.name}.{what}-{number}")).exists():
        number += 1
    return free
