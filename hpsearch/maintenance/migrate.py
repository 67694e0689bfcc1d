"""Moves a study to a changed search space, in place and in one transaction.

Every trial keeps its number, its result and the values that it was trained with. A parameter that
is new in the space gets the value that the trial was trained with: from the study's `trial`
section, or a command's `default` of the parameter. Samplers see a trial outside the new space at
the nearest point inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from optuna.exceptions import OptunaError
from sqlalchemy.exc import SQLAlchemyError

from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.paths import StudyFolder, write_atomically
from hpsearch.records import dump_record
from hpsearch.samplers.prior import Prior, read_prior
from hpsearch.space.conditions import holds
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.sqlite_file import back_up
from hpsearch.storage.engine import root_cause
from hpsearch.storage.optuna_tables import holding, move_trial, read_rows, transaction
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.begun import beginning, note_beginning, read_begun
from hpsearch.study.config import StudyConfig
from hpsearch.study.enqueue import enqueued_points
from hpsearch.study.lock import study_lock
from hpsearch.study.trained import ASIDE, held_aside
from hpsearch.trainers.recipe import Recipe
from hpsearch.trial import TrialRecord, Value

MIGRATED = "migrated"
"""User attribute of the trials that were proposed in an earlier space."""


@dataclass(frozen=True)
class Migration:
    """The result of a migration.

    Args:
        added: Parameters of the new space only.
        removed: Parameters of the old space only; trials keep their values.
        inside: Trials that lie in the new space.
        moved: Trials that samplers see at the nearest point inside.
        unseen: Trials with a choice that the new space lacks; samplers ignore them.
        backup: Copy of the database before the migration.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    inside: int
    moved: int
    unseen: int
    backup: Path


def migrate(folder: StudyFolder, space_file: Path) -> Migration:
    """Move a study to the space of a file.

    The database changes first, then space.yaml, then study.yaml. After an interruption the study
    still opens with its old space, and the same command completes the migration.

    Args:
        folder: The study's folder; no other process may hold it.
        space_file: The new space.

    Raises:
        InputError: The study is held, the space does not fit its `trial` section, or an
            unfinished trial cannot continue in it.
        EnvironmentFailure: The database could not be written; it is unchanged.
    """
    with study_lock(folder, "hpsearch migrate"):
        view = read_study(folder)
        if view.database.is_server:
            raise InputError(
                f"{folder.root}: its trials are on a server, which several drivers may share; "
                "run `hpsearch copy` with --to sqlite and `hpsearch search` with --storage "
                "sqlite, then migrate"
            )
        old = SearchSpace.from_yaml(folder.space_file)
        new = SearchSpace.from_yaml(space_file).frozen(view.config.freeze)
        recipe = view.config.recipe
        new.check(recipe)
        problem = SearchProblem(new, recipe, view.config.limits)
        config = _with_possible_queue(view.config, problem, len(view.trials))
        _refuse_unknown_default(old, new, recipe)
        values = {
            t.number: moved(problem, {**held_aside(view.attributes[t.number]), **t.params})
            for t in view.trials
        }
        unseen = {n for n, params in values.items() if unknown_values(new, params)}
        _refuse_unfinished([t for t in view.trials if t.number in unseen], new, values)
        backup = back_up(folder.database)
        _rewrite(view, new, values)
        _write_files(folder, config, problem, view)
        seen = [params for n, params in values.items() if n not in unseen]
        inside = sum(_inside(problem, params) for params in seen)
        return Migration(
            added=tuple(n for n in new.parameters if n not in old.parameters),
            removed=tuple(n for n in old.parameters if n not in new.parameters),
            inside=inside,
            moved=len(seen) - inside,
            unseen=len(unseen),
            backup=backup,
        )


def _write_files(
    folder: StudyFolder, config: StudyConfig, problem: SearchProblem, view: StudyView
) -> None:
    """Write the files of the migrated study; until the last one old and new ones are valid."""
    prior, text = read_prior(folder.prior), None
    if prior is not None:
        moved = _moved_prior(prior, problem)
        text = dump_record(moved.to_json())
    held = read_begun(folder)
    if held is None:
        old = SearchSpace.from_yaml(folder.space_file)
        held = beginning(folder, view.config, old, view.dataset)
    before = held.get("before", held)  # left from an interrupted migration
    begun = beginning(folder, config, problem.space, view.dataset, text)
    note_beginning(folder, begun, before)
    if text is not None:
        write_atomically(folder.prior, text)
    write_atomically(folder.space_file, problem.space.to_yaml())
    write_atomically(folder.study_file, config.to_yaml())
    note_beginning(folder, begun)


def unknown_values(space: SearchSpace, params: Mapping[str, Value]) -> list[str]:
    """Return the parameters that have no value in the new space, or one of another type."""
    unknown = []
    for name, parameter in space.parameters.items():
        if name not in params:
            unknown += [name] if holds(parameter.when, params) else []
            continue
        try:
            near = parameter.nearest(name, params[name])
        except InputError:
            unknown.append(name)
            continue
        if type(near) is not type(params[name]) and not isinstance(near, float):
            unknown.append(name)
    return unknown


def _refuse_unfinished(
    trials: list[TrialRecord], space: SearchSpace, values: Mapping[int, Mapping[str, Value]]
) -> None:
    for trial in trials:
        if not trial.finished:
            name = unknown_values(space, values[trial.number])[0]
            raise InputError(
                f"trial {trial.number} is not finished and has {name} "
                f"{values[trial.number].get(name)!r}, which space {space.name} does not know; let "
                "the search end it first, or keep that value in the space"
            )


def _inside(problem: SearchProblem, params: Mapping[str, Value]) -> bool:
    """Return whether a trial lies in the space; its cost is not checked."""
    ranges = problem.space.parameters
    known = {name: params[name] for name in ranges if name in params}
    others = problem.space.settings(problem.base)
    same = all(others.get(name) == value for name, value in params.items() if name not in ranges)
    within = all(ranges[name].contains(value) for name, value in known.items())
    return same and within and problem.sizes.fits(known)


def _rewrite(
    view: StudyView, space: SearchSpace, values: Mapping[int, Mapping[str, Value]]
) -> None:
    """Give every trial the distributions and the missing parameters of the new space."""
    try:
        with view.database.opened() as storage:
            ids = {row["number"]: row["trial_id"] for row in read_rows(storage, view.name)}
            with transaction(storage) as session:
                for number, params in values.items():
                    unknown = unknown_values(space, params)
                    held = {
                        name: (params[name], holding(parameter.distribution(), params[name]))
                        for name, parameter in space.parameters.items()
                        if name not in unknown and name in params
                    }
                    aside = {f"{ASIDE}{n}": params[n] for n in unknown if n in params}
                    attributes = {MIGRATED: True, **aside}
                    move_trial(session, ids[number], space.parameters, held, attributes, ASIDE)
    except (SQLAlchemyError, OptunaError) as error:
        raise EnvironmentFailure(
            f"{view.database}: cannot be written ({root_cause(error)}); it is as it was, run the "
            "same command again"
        ) from error


def _with_possible_queue(config: StudyConfig, problem: SearchProblem, begun: int) -> StudyConfig:
    """Drop a queue that is used up and does not fit the new space."""
    try:
        enqueued_points(config, problem)
    except InputError:
        if begun < len(config.enqueue):
            raise
        config = config.model_copy(update={"enqueue": ()})
    return config.model_copy(update={"space": problem.space.name})


def _refuse_unknown_default(old: SearchSpace, new: SearchSpace, base: Recipe) -> None:
    """Refuse a new parameter of a command whose value in the earlier trials is unknown."""
    known = new.settings(base)
    for name in new.parameters:
        if name not in old.parameters and name not in known:
            raise InputError(
                f"search space {new.name}: parameters.{name}: is new, and the earlier trials ran "
                "without it; add default: the value that the program takes by itself"
            )


def moved(problem: SearchProblem, params: Mapping[str, Value]) -> dict[str, Value]:
    """Return a trial's parameters with those that are new in the space.

    Of those in the space only the ones whose condition holds are kept.
    """
    known, ranges = problem.space.settings(problem.base), problem.space.parameters
    whole = {**{name: known[name] for name in ranges if name in known}, **params}
    active = problem.active({name: whole[name] for name in ranges if name in whole})
    return {**{n: v for n, v in whole.items() if n not in ranges}, **active}


def _moved_prior(prior: Prior, problem: SearchProblem) -> Prior:
    """Return the trials of a warm start in the new space."""
    trials = []
    for trial in prior.trials:
        params = moved(problem, trial.params)
        if unknown_values(problem.space, params) or (prior.same and not _inside(problem, params)):
            continue
        trials.append(replace(trial, params=params))
    return replace(prior, trials=tuple(trials))
