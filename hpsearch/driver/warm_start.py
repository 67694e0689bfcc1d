"""Takes over what another study teaches, by parameter name.

Trials on the same data with the same settings count as measured. Of another problem only the
configuration that its study hands over is tried. It keeps its places in the ranges: a third of the
old range becomes a third of the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpsearch.errors import InputError
from hpsearch.paths import user_path
from hpsearch.samplers.prior import Prior
from hpsearch.space.effects import leaf_paths
from hpsearch.space.limits import Limits
from hpsearch.space.nearest import nearest_feasible
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.config import StudyConfig
from hpsearch.study.handed_over import handed_over
from hpsearch.study.plan import StudyPlan, find_study
from hpsearch.trial import TrialRecord


def with_prior(plan: StudyPlan, dataset: Mapping[str, Any]) -> StudyPlan:
    """Return the plan with the trials of its warm start; a plan that has a prior keeps it.

    Args:
        plan: A study that is about to start or continue.
        dataset: Kind and fingerprint of this study's data.

    Raises:
        InputError: There is no such study, it has no searched parameter in common with this one,
            or none of its trials has ended.
    """
    start = plan.config.warm_start
    if plan.prior is not None:
        plan.prior.check(plan.folder.prior)
    if start is None or plan.prior is not None or plan.folder.study_file.exists():
        return plan
    view = _read(user_path(start.study))
    here, space = plan.problem, SearchSpace.from_yaml(view.folder.space_file)
    if (view.config.trainer is None) != (plan.config.trainer is None):
        both = view.config.trainer, plan.config.trainer
        theirs, ours = ("siamese" if one is None else "a command" for one in both)
        raise InputError(
            f"--from {start.study}: its trainer is {theirs}, this study's is {ours}; name a study "
            "of the same trainer, or leave --from out"
        )
    there = SearchProblem(space, view.config.recipe, Limits())
    if not set(there.free) & set(here.free):
        raise InputError(
            f"--from {start.study}: no searched parameter in common with this study; "
            "name one that searches some of the same, or leave --from out"
        )
    ended = [t for t in view.trials if t.state in ("complete", "pruned")]
    whole = [t for t in ended if there.has_all(t.params)]
    usable = [t for t in whole if t.value is not None or not t.trainable]
    same = str(view.dataset.get("fingerprint")) == dataset.get("fingerprint")
    same = same and _measure_the_same(view.config, there, plan.config, here)
    inside = [_same(t, there, here) for t in usable] if same else []
    known = [t for t in inside if t is not None]
    if not known:  # another problem, or none of its trials lies in this space
        best = [t for t in handed_over(view.folder, view.config, view.trials) if t in usable]
        same, known = False, [_scaled(t, there, here) for t in best[:1]]
    if not known:
        raise InputError(
            f"--from {start.study}: no trial of it has ended well; search there first"
        )
    numbered = [replace(t, number=k - len(known)) for k, t in enumerate(known)]
    return replace(plan, prior=Prior(view.name, same, tuple(numbered)))


def _read(root: Path) -> StudyView:
    try:
        folder = find_study(str(root))
    except InputError as error:
        raise InputError(f"--from {root}: no such study; name a study's folder") from error
    return read_study(folder)


def _measure_the_same(
    theirs: StudyConfig, there: SearchProblem, ours: StudyConfig, here: SearchProblem
) -> bool:
    """Return whether both measure the same error with the same unsearched settings."""
    for name in ("objective", "ways", "shots", "direction", "measure"):
        if getattr(theirs, name) != getattr(ours, name):
            return False
    if theirs.pruner.resource != ours.pruner.resource:
        return False
    if theirs.trainer is not None and ours.trainer is not None:
        one, other = (
            (t.command, t.environment, t.directory, t.max_steps)
            for t in (theirs.trainer, ours.trainer)
        )
        return one == other
    old, new = leaf_paths(there.network), leaf_paths(here.network)
    searched = {*here.space.parameters, *there.space.parameters}
    return old.keys() == new.keys() and all(
        new[name] == value for name, value in old.items() if name not in searched
    )


def _same(trial: TrialRecord, there: SearchProblem, here: SearchProblem) -> TrialRecord | None:
    """Return a trial with this space's parameters; None if it does not lie in the space."""
    ranges, fixed = here.space.parameters, here.space.settings(here.base)
    settings = {**fixed, **there.space.settings(there.base), **trial.params}
    if any(fixed.get(name) != value for name, value in trial.params.items() if name not in ranges):
        return None
    params = here.active({name: settings[name] for name in ranges if name in settings})
    inside = all(ranges[name].contains(value) for name, value in params.items())
    inside = inside and here.has_all(params)
    return replace(trial, params=params) if inside and here.sizes.fits(params) else None


def _scaled(trial: TrialRecord, there: SearchProblem, here: SearchProblem) -> TrialRecord:
    """Return a trial at the same places in the ranges of this space, or the nearest that fits."""
    searched = {n: v for n, v in trial.params.items() if n in there.space.parameters}
    theirs = there.cube.shares(searched)
    known = dict(zip(there.cube.names, theirs, strict=True))
    settings = {**there.space.settings(there.base), **trial.params}
    own = {**here.middle, **here.space.settings(here.base)}
    reference = here.within_ranges({name: own[name] for name in here.space.parameters})
    ours = dict(zip(here.cube.names, here.cube.shares(reference), strict=True))
    shares = []
    for name, axis in zip(here.cube.names, here.cube.axes, strict=True):
        parameter = here.space.parameters[name]
        by_value = parameter.choices is not None or name not in known
        if by_value and name not in here.sizes.free:
            value = settings.get(name)
            held = value is not None and parameter.contains(value)
            shares.append(axis.share(value) if held else ours[name])
        else:
            shares.append(known.get(name, ours[name]))
    params = nearest_feasible(here, here.cube.params(shares))
    return replace(trial, params=params, seconds=None)
