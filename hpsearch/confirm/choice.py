"""Chooses one trial of a study by conditions on its values: multiply_adds <= 1e7."""

from __future__ import annotations

from collections.abc import Mapping

from hpsearch.errors import InputError
from hpsearch.front import Goal, Goals
from hpsearch.front.conditions import Condition, read_conditions
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.storage.view import StudyView
from hpsearch.study.objectives import EXACT
from hpsearch.trial import TrialRecord


def choose(view: StudyView, text: str) -> TrialRecord:
    """Return the complete trial that meets conditions: of these the one of the lowest value.

    A condition on the value itself leaves the other objectives to decide, in their order.

    Raises:
        InputError: A condition names what the study does not know, or no trial meets them.
    """
    conditions = read_conditions(text)
    known = _values(view)
    names = list(dict.fromkeys(name for values in known.values() for name in values))
    for condition in conditions:
        if known and condition.name not in names:
            raise InputError(
                f"--at {text!r}: {condition.name} is unknown in this study; write one of "
                f"{', '.join(names)}"
            )
    meets = [n for n, values in known.items() if all(c.holds(values) for c in conditions)]
    if not meets:
        near = _nearest(known, conditions)
        raise InputError(
            f"--at {text!r}: no complete trial of {view.folder.root} meets it; {near}"
        )
    goals = _goals(view)
    bound = {condition.name for condition in conditions}
    order = [goal for goal in goals if goal.name not in bound]
    order += [goal for goal in goals if goal.name in bound]
    chosen = min(meets, key=lambda n: ([goal.held(known[n][goal.name]) for goal in order], n))
    return view.trials[chosen]


def _goals(view: StudyView) -> tuple[Goal, ...]:
    """Return what decides among trials, the most important first."""
    config = view.config
    if config.goals.several:
        return config.goals.objectives
    return (Goal(name=_own(view), maximized=config.shown.maximized),)


def _own(view: StudyView) -> str:
    goals, shown = view.config.goals, view.config.shown
    if goals.several:
        return goals.objectives[0].name
    return "validation_error" if shown.share else shown.name


def _values(view: StudyView) -> dict[int, dict[str, float]]:
    """Return the values of complete trials by name, by trial: objectives, figures and costs."""
    config, own = view.config, _own(view)
    problem = None
    if config.trial is not None:
        space = SearchSpace.from_yaml(view.folder.space_file)
        every = Goals(objectives=(Goal(name=own), *(Goal(name=n, exact=True) for n in EXACT)))
        problem = SearchProblem(space, config.recipe, config.limits, every)
    found = {}
    for trial in view.trials:
        if trial.state == "complete" and trial.value is not None:
            costs = problem.costs(trial.params) if problem is not None else {}
            found[trial.number] = {own: config.shown.of(trial.value), **trial.figures, **costs}
    return found


def _nearest(known: Mapping[int, Mapping[str, float]], conditions: list[Condition]) -> str:
    """Return how near the trials come to the first condition that none of them meets."""
    if not known:
        return "continue the search"
    for condition in conditions:
        if not any(condition.holds(values) for values in known.values()):
            least = min if condition.sign.startswith("<") else max
            best = least(values[condition.name] for values in known.values())
            return f"the nearest has {condition.name} {best:.4g}"
    return "each condition is met, but not by one trial"
