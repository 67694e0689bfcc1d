"""Maps the trials of another study into this one, by parameter name and place in the range.

Trials on the same data with the same settings count as measured. All others are a prior. They keep
their places in the ranges: a third of the old range becomes a third of the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpsearch.errors import InputError
from hpsearch.paths import user_path
from hpsearch.samplers.prior import Prior
from hpsearch.space.effects import leaf_paths
from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.study.config import StudyConfig
from hpsearch.study.plan import StudyPlan, find_study
from hpsearch.trial import TrialRecord, Value


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
    if start is None or plan.prior is not None or plan.folder.study_file.exists():
        return plan
    source = _read_source(user_path(start.study))
    here = plan.problem
    if not set(source.problem.free) & set(here.free):
        raise InputError(
            f"--from {start.study}: no searched parameter in common with this study; "
            "name one that searches some of the same, or leave --from out"
        )
    same = source.fingerprint == dataset.get("fingerprint") and source.agrees_with(
        here, plan.config
    )
    inside = [_same(t, source, here) for t in source.trials] if same else []
    known = [t for t in inside if t is not None]
    if not known:  # another problem, or none of its trials lies in this space
        same, known = False, [_scaled(t, source, here) for t in source.trials]
    if not known:
        raise InputError(f"--from {start.study}: no trial of it has ended; search there first")
    numbered = [replace(t, number=k - len(known)) for k, t in enumerate(known)]
    return replace(plan, prior=Prior(source.name, same, start.fades_after, tuple(numbered)))


def measure_of(config: StudyConfig) -> tuple[str, ...]:
    """Return the study settings that define what a trial's error measures."""
    return config.objective, config.pruner.resource


@dataclass(frozen=True)
class Source:
    """The study that the sampler learns from."""

    name: str
    fingerprint: str
    problem: SearchProblem
    settings: Mapping[str, Any]
    measure: tuple[str, ...]
    trials: tuple[TrialRecord, ...]

    def agrees_with(self, here: SearchProblem, config: StudyConfig) -> bool:
        """Return whether both measure the same error with the same unsearched settings."""
        if self.measure != measure_of(config):
            return False
        settings = leaf_paths(here.base)
        searched = {*here.space.parameters, *self.problem.space.parameters}
        return settings.keys() == self.settings.keys() and all(
            settings[name] == value
            for name, value in self.settings.items()
            if name not in searched
        )


def _read_source(root: Path) -> Source:
    from hpsearch.storage.view import read_study

    try:
        folder = find_study(str(root))
    except InputError as error:
        raise InputError(f"--from {root}: no such study; name a study's folder") from error
    view = read_study(folder)
    base = view.config.trial
    space = SearchSpace.from_yaml(folder.space_file)
    ended = [t for t in view.trials if t.state in ("complete", "pruned")]
    whole = [t for t in ended if space.parameters.keys() <= t.params.keys()]
    known = [t for t in whole if t.value is not None or not t.trainable]
    return Source(
        name=view.name,
        fingerprint=str(view.dataset.get("fingerprint")),
        problem=SearchProblem(space, base, Limits()),
        settings=leaf_paths(base),
        measure=measure_of(view.config),
        trials=tuple(known),
    )


def _same(trial: TrialRecord, source: Source, here: SearchProblem) -> TrialRecord | None:
    """Return a trial with this space's parameters; None if it does not lie in the space."""
    settings = {**source.settings, **trial.params}
    params = {name: settings[name] for name in here.space.parameters}
    fixed = leaf_paths(here.base)
    others = [name for name in trial.params if name not in here.space.parameters]
    if any(settings[name] != fixed[name] for name in others):
        return None
    inside = all(p.contains(params[name]) for name, p in here.space.parameters.items())
    return replace(trial, params=params) if inside and here.sizes.fits(params) else None


def _scaled(trial: TrialRecord, source: Source, here: SearchProblem) -> TrialRecord:
    """Return a trial at the same places in the ranges of this space."""
    there = source.problem
    known = dict(zip(there.cube.names, there.cube.shares(_own(trial, there)), strict=True))
    settings = {**source.settings, **trial.params}
    own = leaf_paths(here.base)
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
    return replace(trial, params=here.cube.params(shares), seconds=None)


def _own(trial: TrialRecord, problem: SearchProblem) -> dict[str, Value]:
    return {name: trial.params[name] for name in problem.space.parameters}
