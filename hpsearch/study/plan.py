"""Finds the study that a user names by file, shipped name or folder, and plans it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hpsearch.configfile import read_yaml
from hpsearch.errors import InputError
from hpsearch.extensions import is_code, whole
from hpsearch.paths import StudyFolder, make_private, shell_word, user_path, write_atomically
from hpsearch.records import dump_record
from hpsearch.samplers.prior import Prior, read_prior
from hpsearch.shipped_files import find_shipped
from hpsearch.space.problem import SearchProblem
from hpsearch.space.resource import Resource
from hpsearch.space.space import SearchSpace
from hpsearch.study import begun
from hpsearch.study.code_trust import check_code
from hpsearch.study.config import StudyConfig
from hpsearch.study.enqueue import Enqueued, enqueued_points, with_files_read


@dataclass(frozen=True)
class StudyPlan:
    """A search to run: configuration, space and folder."""

    folder: StudyFolder
    config: StudyConfig
    space: SearchSpace
    prior: Prior | None = None

    @cached_property
    def problem(self) -> SearchProblem:
        """What samplers search."""
        config = self.config
        unit = config.pruner.resource
        return SearchProblem(self.space, config.recipe, config.limits, config.goals, unit)

    @property
    def resource(self) -> Resource:
        """The lengths and costs of trials."""
        return self.problem.resource

    @property
    def run(self) -> dict[str, Any] | None:
        """How the program of a command runs; None for the siamese trainer."""
        return self.config.run

    @cached_property
    def enqueued(self) -> list[Enqueued]:
        """The first trials; see `enqueued_points`."""
        return enqueued_points(self.config, self.problem)

    def fixed_part(self) -> str:
        """Return, as text, everything that must not change between the runs of a study."""
        return json.dumps([begun.fixed(self.config), self.space.to_yaml()], sort_keys=True)


@dataclass(frozen=True)
class DataPlace:
    """The packed data set that workers read."""

    packed: str
    fingerprint: str


def find_study(name_or_path: str, output: Path | None = None) -> StudyFolder:
    """Return a study's folder: the named folder, or the one for the named study file.

    Raises:
        InputError: There is no such study.
    """
    if output is not None:
        return StudyFolder(output)
    folder = StudyFolder(user_path(name_or_path))
    if folder.begun.is_file():
        return folder  # also without its study.yaml, which `doctor --repair` writes again
    source = _study_source(name_or_path)
    if folder.root.is_dir():
        return folder
    return StudyFolder(Path("runs") / source.stem)


def find_begun(name_or_path: str) -> StudyFolder:
    """Return the folder of a study that has begun.

    Raises:
        InputError: There is no such study, or no search of it has begun.
    """
    folder = find_study(name_or_path)
    if not folder.root.is_dir():
        again = f"hpsearch search {shell_word(name_or_path)}"
        raise InputError(f"{folder.root}: no such folder; begin the study first: {again}")
    return folder


def read_config(name_or_path: str) -> StudyConfig:
    """Return a study's configuration, from its file, its shipped name or its folder.

    Raises:
        InputError: There is no such study.
    """
    return StudyConfig.from_yaml(_study_source(name_or_path))


def _study_source(name_or_path: str) -> Path:
    """Return a study's file; a folder's is the one that a search wrote."""
    path = user_path(name_or_path)
    if path.is_dir():
        folder = StudyFolder(path)
        if not folder.study_file.is_file():
            if folder.begun.is_file():
                begun.read_as_begun(folder)  # which names the way back
            raise InputError(
                f"{path}: holds no study.yaml; name a study's folder or run a search first"
            )
        if not begun.is_saved(folder):
            raise InputError(
                f"{path}: holds a study.yaml that no search wrote; to search it, name the file: "
                f"{folder.study_file}"
            )
        return folder.study_file
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    return find_shipped("studies", name_or_path)


def plan_study(name_or_path: str, output: Path | None, changes: Mapping[str, Any]) -> StudyPlan:
    """Read a study and its space, and compare them with its folder.

    Args:
        name_or_path: A study file, a shipped name, or a study's folder.
        output: The study's folder; None means runs/NAME.
        changes: Settings by path (``budget.trials``) that replace the file's.

    Raises:
        InputError: A file or a value is wrong, or the folder holds another study.
    """
    path, source = user_path(name_or_path), _study_source(name_or_path)
    if path.is_dir() and output is not None and output.resolve() != path.resolve():
        raise InputError(f"--output {output}: {path} is already a study's folder; leave it out")
    folder = find_study(name_or_path, None if path.is_dir() else output)
    if folder.study_file.exists():
        _check_begun(folder)
    values = read_yaml(source)
    if path.is_dir() and isinstance(values.get("trial"), dict):
        # A folder's file is complete. A missing setting is newer; this was its old behaviour.
        values["trial"] = {"convolution": "direct", **values["trial"]}
    return _planned(values, changes, source, folder)


def plan_values(values: dict[str, Any], source: str, folder: StudyFolder) -> StudyPlan:
    """Plan a study that has no file; compare it with its folder.

    Args:
        values: The content of a study file.
        source: What to call it in messages.
        folder: The study's folder.

    Raises:
        InputError: A value is wrong, or the folder holds another study.
    """
    if folder.study_file.exists():
        _check_begun(folder)
    return _planned(values, {}, Path(source), folder)


def _planned(
    values: dict[str, Any], changes: Mapping[str, Any], source: Path, folder: StudyFolder
) -> StudyPlan:
    started = folder.study_file.exists()
    config = _with_changes(values, changes, source)
    space = _find_space(config.space, source, config.name)
    config = config.model_copy(update={"space": _name_of(config.space, space)})
    space = space.frozen(config.freeze)
    space.check(config.recipe)
    config = _with_directory(_with_whole_path(config), source)
    config = _with_code(config, source.parent, changes)
    config = _compare(folder, config, space)
    # A prior without a study file is left from a killed start and is not used.
    return StudyPlan(folder, config, space, read_prior(folder.prior) if started else None)


def _check_begun(folder: StudyFolder) -> None:
    """Refuse a folder that no search made, or whose files were edited."""
    if not begun.is_saved(folder):
        raise InputError(
            f"{folder.study_file}: was written by no search, and is not replaced; name another "
            "--output (OUTPUT=)"
        )
    begun.read_as_begun(folder)


def _with_whole_path(config: StudyConfig) -> StudyConfig:
    """Make the path of the warm start's study absolute."""
    if config.warm_start is None:
        return config
    try:
        whole = str(find_study(config.warm_start.study).root.resolve())
    except InputError:
        whole = config.warm_start.study  # it was removed; a started study has a copy of its trials
    named = config.warm_start.model_copy(update={"study": whole})
    return config.model_copy(update={"warm_start": named})


def _name_of(written: str | dict[str, Any], space: SearchSpace) -> str:
    """Return the name of a space that the study file may hold whole; the folder has it apart."""
    return written if isinstance(written, str) else space.name


def _with_directory(config: StudyConfig, source: Path) -> StudyConfig:
    """Make the directory of a command absolute; by itself it is the study file's.

    Raises:
        InputError: It is no folder.
    """
    if config.trainer is None:
        return config
    directory = (source.parent / user_path(config.trainer.directory)).resolve()
    if not directory.is_dir():
        raise InputError(
            f"{source}: trainer.directory: {directory} is no folder; name the one in which the "
            "program runs"
        )
    trainer = config.trainer.model_copy(update={"directory": str(directory)})
    return config.model_copy(update={"trainer": trainer})


def _with_code(config: StudyConfig, folder: Path, changes: Mapping[str, Any]) -> StudyConfig:
    """Make the paths of classes and weights absolute; those of a file begin in its folder."""
    taken: dict[str, Any] = {}
    if config.trial is not None and (backbone := config.trial.backbone) and backbone.file:
        typed = {"trial", "trial.backbone", "trial.backbone.file"} & changes.keys()
        start = Path() if typed else folder
        file = str((start / user_path(backbone.file)).resolve())
        held = backbone.model_copy(update={"file": file})
        taken["trial"] = config.trial.model_copy(update={"backbone": held})
    for part in ("sampler", "pruner"):
        held = getattr(config, part)
        name = whole(held.name, Path() if f"{part}.name" in changes else folder)
        if name != held.name:
            taken[part] = held.model_copy(update={"name": name})
    return config.model_copy(update=taken)


def _with_changes(values: dict[str, Any], changes: Mapping[str, Any], source: Path) -> StudyConfig:
    StudyConfig.from_values(values, source)
    values = dict(values)
    for key, value in changes.items():
        place: Any = values
        *parents, last = key.split(".")
        for parent in parents:
            if isinstance(place, dict) and place.get(parent) is None:
                place[parent] = {}
            place = place.get(parent) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise InputError(f"--set {key}: no such key in {source}; name one it has")
        place[last] = value
    _replace_budget(values, changes)
    if not _is_saved(source):
        values["enqueue"] = with_files_read(values.get("enqueue", []), source)
    config = StudyConfig.from_values(values, f"{source} with command line" if changes else source)
    if not config.budget.limited:
        raise InputError(
            f"{source}: budget: a study needs an end; set budget.trials, hours or compute"
        )
    return config


def _replace_budget(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Replace the file's limits by the given ones; keep `stop_when`."""
    given = {k: v for k in ("trials", "hours", "compute") if (v := changes.get(f"budget.{k}"))}
    if given and isinstance(values.get("budget"), dict):
        kept = values["budget"].get("stop_when")
        values["budget"] = given | ({"stop_when": kept} if kept else {})


def _is_saved(source: Path) -> bool:
    """Return whether a study file is the one in a study's folder."""
    folder = StudyFolder(source.parent)
    return source.name == folder.study_file.name and begun.is_saved(folder)


def _find_space(name: str | dict[str, Any], source: Path, study: str) -> SearchSpace:
    """Read the study's space; one that is written in the study file may take the study's name."""
    if _is_saved(source):
        return SearchSpace.from_yaml(source.parent / "space.yaml")
    if isinstance(name, dict):
        return SearchSpace.from_values({"name": study, **name}, f"{source}: space")
    beside = source.parent / user_path(name)
    if beside.suffix in (".yaml", ".yml"):
        return SearchSpace.from_yaml(beside)
    return SearchSpace.from_yaml(find_shipped("search_spaces", name))


def _compare(folder: StudyFolder, config: StudyConfig, space: SearchSpace) -> StudyConfig:
    """Refuse to continue with another space, data set, seed, sampler, pruner or objective.

    Returns:
        The configuration; settings that it leaves open are those of the started study.
    """
    if not folder.study_file.exists():
        if folder.root.exists() and not _begun(folder):
            if folder.begun.is_file():
                begun.read_as_begun(folder)  # which names the way back
            raise InputError(
                f"{folder.root}: is there, but holds no study; name another --output (OUTPUT=)"
            )
        return config
    values = read_yaml(folder.study_file)
    StudyConfig.from_values(values, folder.study_file)
    # A setting that is newer than the folder comes from the new configuration.
    if config.trial is not None and isinstance(values.get("trial"), dict):
        values["trial"] = {**config.trial.plain(), **values["trial"]}
    saved = StudyConfig.from_values(values, folder.study_file)
    config = _as_begun(config, saved, folder)
    difference = begun.first_difference(begun.fixed(saved), begun.fixed(config))
    difference = difference or begun.space_difference(
        SearchSpace.from_yaml(folder.space_file), space
    )
    if difference:
        key, was, asked = difference
        raise InputError(
            f"{folder.study_file}: {key}: the study was begun with {was}, asked for is {asked}; "
            "a study keeps it: name another --output (OUTPUT=), or leave the setting as it was"
        )
    return config


def _as_begun(config: StudyConfig, saved: StudyConfig, folder: StudyFolder) -> StudyConfig:
    """Take sampler and pruner settings that were not given, and the encoder, as begun.

    So a study continues after a newer version has changed a default. A class that only the folder
    names may be somebody else's: it is taken where this user has agreed to it.

    Raises:
        InputError: The folder names a class that this user has not agreed to.
    """
    taken: dict[str, Any] = {}
    for part in ("sampler", "pruner"):
        asked, held = getattr(config, part), getattr(saved, part)
        if "name" not in asked.model_fields_set or asked.name == held.name:
            if asked.name != held.name and is_code(held.name):
                check_code(folder, saved)
            named = {key: getattr(asked, key) for key in asked.model_fields_set}
            taken[part] = held.model_copy(update=named)
    if len(config.enqueue) == len(saved.enqueue):
        both = zip(config.enqueue, saved.enqueue, strict=True)
        taken["enqueue"] = tuple(
            held if asked.config == held.config == "encoder" else asked for asked, held in both
        )
    return config.model_copy(update=taken)


def _begun(folder: StudyFolder) -> bool:
    """Return whether a folder holds only what a search leaves that was killed at its start."""
    files = (folder.lock, folder.space_file, folder.dataset, folder.prior, folder.begun)
    first = {path.name for path in (*files, folder.trust)}
    return folder.root.is_dir() and all(
        path.name in first or (path.name.startswith(".") and path.suffix == ".tmp")
        for path in folder.root.iterdir()
    )


def save_plan(plan: StudyPlan, dataset: Mapping[str, Any]) -> None:
    """Write a study's folder, the study file last. The budget may have changed."""
    folder = plan.folder
    make_private(folder.root)
    starts = not (folder.begun.exists() and folder.study_file.exists())
    for path, text in (
        (folder.space_file, plan.space.to_yaml()),
        (folder.dataset, json.dumps(dataset, indent=2) + "\n"),
        *([(folder.prior, dump_record(plan.prior.to_json()))] if plan.prior else []),
    ):
        _write_changed(path, text)
    if not folder.study_file.exists() and plan.prior is None:
        folder.prior.unlink(missing_ok=True)  # left from a killed start
    if starts:
        begun.note_beginning(folder, begun.beginning(folder, plan.config, plan.space, dataset))
    _write_changed(folder.study_file, plan.config.to_yaml())


def _write_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)
