"""The front of a study of several objectives: as observed, and as its curves let expect it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.belief import Belief, from_history
from hpsearch.confirm.shrinkage import Posterior
from hpsearch.front import Goals
from hpsearch.front.order import dominated_by, front_of, ordered
from hpsearch.measure import Measure
from hpsearch.seeding import generator
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.storage.view import StudyView
from hpsearch.trial import TrialRecord
from hpsearch.wording import count, percent

DRAWS = 2000
WIDE = 1.96
"""Standard deviations on either side of a 95 % interval."""


@dataclass(frozen=True)
class Expected:
    """A trial on the front of expected values.

    Args:
        trial: The trial.
        point: Its expected values, as the search holds them.
        interval: 95 % of where the expected value of its configuration lies, low and high.
        probability: That no other complete trial's configuration dominates it.
    """

    trial: TrialRecord
    point: tuple[float, ...]
    interval: tuple[float, float]
    probability: float


def front(view: StudyView) -> list[TrialRecord]:
    """Return the complete trials that no other one dominates, lowest value first."""
    return front_of(view.trials, view.config.goals)


def front_json(view: StudyView) -> list[dict[str, Any]]:
    """Return the observed front for JSON: each trial's number, values by objective, parameters."""
    goals = view.config.goals
    points = [(trial, goals.point(trial)) for trial in front(view)]
    return [
        {"trial": t.number, "values": goals.by_name(p), "params": dict(t.params)}
        for t, p in points
        if p is not None
    ]


def expected_front(view: StudyView) -> list[Expected]:
    """Return the front of the complete trials by what the belief expects of each, lowest first.

    The lowest of many observed errors is lucky. The belief of the sampler bayes shrinks each
    towards what all curves tell of its configuration.

    Returns:
        An empty list where too little is known.
    """
    config = view.config
    goals = config.goals
    space = SearchSpace.from_yaml(view.folder.space_file)
    problem = SearchProblem(space, config.recipe, config.limits, goals)
    evidence = from_history(problem, view.trials, config.resource.length)
    if not Belief.possible(evidence):
        return []
    belief = Belief(problem, evidence)
    rests = {t.number: goals.rest(t.figures) for t in view.trials if t.state == "complete"}
    places = [k for k, e in enumerate(belief.trials) if rests.get(e.number) is not None]
    if not places:
        return []
    covariance = belief.covariance(places)
    means = belief.means[places]
    numbers = [belief.trials[k].number for k in places]
    costs = np.array([rests[n] for n in numbers], np.float64)
    on_front = ~dominated_by(np.column_stack([means, costs])).any(axis=1)
    chances = _chances(means, covariance, costs, config.seed)
    deviations = np.sqrt(np.diag(covariance))
    found = []
    for k in np.flatnonzero(on_front):
        low, high = (float(means[k] + side * WIDE * deviations[k]) for side in (-1, 1))
        if config.shown.share:
            low, high = max(0.0, low), min(1.0, high)
        point = (float(means[k]), *costs[k].tolist())
        trial = view.trials[numbers[k]]
        found.append(Expected(trial, point, (low, high), float(chances[k])))
    return sorted(found, key=lambda one: (one.point, one.trial.number))


def _chances(
    means: np.ndarray, covariance: np.ndarray, costs: np.ndarray, seed: int
) -> np.ndarray:
    """Return the probability that each is on the front, float64 [trials], from joint draws."""
    no_dearer = np.asarray((costs[None] <= costs[:, None]).all(axis=2))
    np.fill_diagonal(no_dearer, False)
    drawn = generator(seed, "front").multivariate_normal(means, covariance, DRAWS, method="eigh")
    beaten = np.zeros(len(means))
    for draw in drawn:
        beaten += (no_dearer & (draw[None] < draw[:, None])).any(axis=1)
    return np.asarray(1 - beaten / DRAWS)


def first_of_front(complete: Sequence[TrialRecord], goals: Goals, top: int) -> list[TrialRecord]:
    """Return the trials on the front, at most `top`, those that add most to it first.

    That of the lowest error is always among them. A front of one trial gets the next best beside
    it: there is something to compare.
    """
    known = [(t, p) for t in complete if (p := goals.point(t)) is not None]
    ranked = [known[k][0] for k in ordered([goals.scaled(p) for _, p in known])]
    ends = front_of(complete, goals)
    found = ranked[: max(2, min(top, len(ends)))]
    return found if not ends or ends[0] in found else [*found[:-1], ends[0]]


def confirmed_front(
    goals: Goals, posterior: Posterior, candidates: Sequence[TrialRecord]
) -> list[dict[str, Any]]:
    """Return what training again says of the front's points, the lowest error first.

    Args:
        goals: The study's objectives.
        posterior: The errors of the candidates.
        candidates: The trials, in the posterior's order.

    Returns:
        For each candidate its values, the interval of its error, the probability that no other
        candidate dominates it, and those that may, each with the probability that it does.
    """
    rests = np.array([goals.rest(t.figures) or () for t in candidates], np.float64)
    draws, rows = posterior.draws, []
    for k, trial in enumerate(candidates):
        rivals = [j for j in range(len(candidates)) if j != k and (rests[j] <= rests[k]).all()]
        better = {j: draws[:, j] < draws[:, k] for j in rivals}
        beaten = np.any(list(better.values()), axis=0) if better else np.zeros(len(draws))
        point = (float(posterior.mean[k]), *rests[k].tolist())
        rows.append(
            {
                "trial": trial.number,
                "values": goals.by_name(point),
                "interval": sorted(goals.objectives[0].held(e) for e in posterior.interval(k)),
                "probability": float(1 - beaten.mean()),
                "dominated_by": [
                    {"trial": candidates[j].number, "probability": float(better[j].mean())}
                    for j in rivals
                ],
            }
        )
    first = goals.objectives[0].name
    return sorted(rows, key=lambda row: (row["values"][first], row["trial"]))


def expected_json(view: StudyView) -> list[dict[str, Any]]:
    """Return the expected front for JSON; `interval` holds user values, low and high."""
    goals, rows = view.config.goals, []
    first = goals.objectives[0]
    for one in expected_front(view):
        ends = sorted(first.held(end) for end in one.interval)
        rows.append(
            {
                "trial": one.trial.number,
                "values": goals.by_name(one.point),
                "interval": {first.name: ends},
                "probability": one.probability,
                "params": dict(one.trial.params),
            }
        )
    return rows


def front_in_words(view: StudyView) -> str:
    """Return one sentence about a study's front."""
    found = front(view)
    if not found:
        return "no complete trial yet: no front"
    ends = [found[0]] if len(found) == 1 else [found[0], found[-1]]
    return f"front: {count(len(found), 'trial')}, {' to '.join(point_in_words(view, ends))}"


def point_in_words(view: StudyView, trials: Sequence[TrialRecord]) -> list[str]:
    """Return the values of each trial in words."""
    goals, shown = view.config.goals, view.config.shown
    found = []
    for trial in trials:
        others = (f"{g.name} {trial.figures[g.name]:.4g}" for g in goals.others)
        found.append(", ".join([f"{shown.short} {shown.text(trial.value or 0.0)}", *others]))
    return found


def front_lines(view: StudyView) -> list[str]:
    """Return the observed front and what is expected of each of its trials, a line a trial."""
    found, shown = front(view), view.config.shown
    expected = {one.trial.number: one for one in expected_front(view)}
    lines = list[str]()
    for trial, text in zip(found, point_in_words(view, found), strict=True):
        one = expected.pop(trial.number, None)
        sure = "" if one is None else _expected_in_words(one, shown)
        lines.append(f"  trial {trial.number:4}: {text}{sure}")
    for one in expected.values():
        text = point_in_words(view, [one.trial])[0]
        said = f"{text}{_expected_in_words(one, shown)}, not on it as observed"
        lines.append(f"  trial {one.trial.number:4}: {said}")
    return lines


def _expected_in_words(one: Expected, shown: Measure) -> str:
    low, high = (shown.text(end) for end in one.interval)
    low, high = (high, low) if shown.maximized else (low, high)
    value = shown.text(one.point[0])
    return f"; expected {value} [{low}, {high}], on the front with {percent(one.probability, 0)}"
