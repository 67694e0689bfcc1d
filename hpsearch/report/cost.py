"""Draws errors against costs: the training time, and the multiply-adds of the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hpsearch.report.facts import Facts
from hpsearch.report.figure import (
    Figure,
    axis,
    log_ticks,
    of_user,
    scatter,
    scored_dots,
    value_axis,
)


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points (cost, error) that no cheaper point equals or beats, by rising cost."""
    front: list[tuple[float, float]] = []
    for cost, error in sorted(points):
        if not front or error < front[-1][1]:
            front.append((cost, error))
    return front


def costs(facts: Facts) -> list[Figure]:
    """Draw values over training time, and a network's over its multiply-adds; Pareto fronts."""
    what = facts.shown.short.capitalize()
    seconds = {t.number: t.seconds for t in facts.scored}
    title = f"{what} against training time"
    figures = [_cost(facts, "cost-time", title, "seconds of training", seconds)]
    if facts.view.config.trainer is None:
        adds = {t.number: facts.problem.shape(t.params).multiply_adds for t in facts.scored}
        title = f"{what} against the network's cost"
        figures.append(_cost(facts, "cost-size", title, "multiply-adds per image", adds))
    return [figure for figure in figures if figure]


def _cost(
    facts: Facts, key: str, title: str, unit: str, costs: Mapping[int, float | None]
) -> Figure | None:
    known = {number: cost for number, cost in costs.items() if cost}
    if len(known) < 2:
        return None
    trials = [t for t in facts.scored if t.number in known]
    front = pareto_front(
        (known[t.number], t.value or 0.0) for t in trials if t.state == "complete"
    )
    x, y = [cost for cost, _ in front], of_user(facts.shown, [error for _, error in front])
    step = {"shape": "hv", "color": "var(--accent)", "width": 2}
    best = scatter("lines", x, y, name="nothing cheaper is better", line=step)
    data = [*scored_dots(trials, lambda t: known[t.number], facts.shown, ":.3s"), best]
    x_axis = axis(unit, type="log", **log_ticks(list(known.values())))
    return Figure(
        key, title, data, {"xaxis": x_axis, "yaxis": value_axis(facts.shown)}, 360, half=True
    )
