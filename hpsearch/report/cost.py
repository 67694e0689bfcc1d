"""The cost of a trial's error: training time, and the multiply-adds of its network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpsearch.report.facts import Facts
from hpsearch.report.figure import Figure, axis, error_axis, log_ticks, scatter, scored_dots


def pareto_front(costs: Sequence[float], errors: Sequence[float]) -> list[int]:
    """Return the positions of the Pareto front of cost and error, by rising cost."""
    front, best = [], np.inf
    for k in sorted(range(len(costs)), key=lambda k: (costs[k], errors[k], k)):
        if errors[k] < best:
            front.append(k)
            best = errors[k]
    return front


def costs(facts: Facts) -> list[Figure]:
    """Draw error over training time and over the network's multiply-adds, with Pareto fronts."""
    seconds = {t.number: facts.seconds(t) for t in facts.scored}
    adds = {t.number: float(facts.problem.shape(t.params).multiply_adds) for t in facts.scored}
    figures = []
    for key, title, unit, found in (
        ("cost-time", "Error against training time", "seconds of training", seconds),
        ("cost-size", "Error against the network's cost", "multiply-adds per image", adds),
    ):
        known = {number: cost for number, cost in found.items() if cost is not None and cost > 0}
        if len(known) >= 2:
            figures.append(_cost(facts, key, title, unit, known))
    return figures


def _cost(facts: Facts, key: str, title: str, unit: str, known: dict[int, float]) -> Figure:
    trials = [t for t in facts.scored if t.number in known]
    complete = [t for t in trials if t.state == "complete"]
    errors = [float(t.value or 0) for t in complete]
    front = pareto_front([known[t.number] for t in complete], errors)
    x, y = [known[complete[k].number] for k in front], [errors[k] for k in front]
    step = {"shape": "hv", "color": "var(--accent)", "width": 2}
    data = [
        *scored_dots(trials, lambda t: known[t.number], ":.3s"),
        scatter("lines", x, y, name="nothing cheaper is better", line=step),
    ]
    x_axis = axis(unit, type="log", **log_ticks(list(known.values())))
    return Figure(key, title, data, {"xaxis": x_axis, "yaxis": error_axis()}, 360, half=True)
