"""What a trial's error cost: training time, and the multiply-adds of its network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpsearch.report.facts import Facts
from hpsearch.report.figure import (
    STATE_COLOURS,
    Figure,
    error_axis,
    log_ticks,
    packed,
)
from hpsearch.trial import TrialRecord


def pareto_front(costs: Sequence[float], errors: Sequence[float]) -> list[int]:
    """Return the positions that no other beats in cost and error at once, by rising cost."""
    front, best = [], np.inf
    for k in sorted(range(len(costs)), key=lambda k: (costs[k], errors[k], k)):
        if errors[k] < best:
            front.append(k)
            best = errors[k]
    return front


def costs(facts: Facts) -> list[Figure]:
    """Draw error over training time and over the network's multiply-adds, with Pareto fronts."""
    seconds = [(t, facts.seconds(t)) for t in facts.scored]
    adds = [(t, float(facts.problem.shape(t.params).multiply_adds)) for t in facts.scored]
    figures = []
    for key, title, axis, found in (
        ("cost-time", "Error against training time", "seconds of training", seconds),
        ("cost-size", "Error against what the network costs", "multiply-adds an image", adds),
    ):
        known = [(t, c) for t, c in found if c is not None and c > 0]
        if len(known) >= 2:
            figures.append(_cost(facts, key, title, axis, known))
    return figures


def _cost(
    facts: Facts, key: str, title: str, axis: str, known: list[tuple[TrialRecord, float]]
) -> Figure:
    data = []
    for state in ("pruned", "complete"):
        chosen = [(t, c) for t, c in known if facts.outcome(t) == state]
        if chosen:
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": state,
                    "x": packed([c for _, c in chosen]),
                    "y": packed([t.value or 0.0 for t, _ in chosen]),
                    "customdata": packed([t.number for t, _ in chosen], "i4"),
                    "marker": {"color": STATE_COLOURS[state], "size": 6, "opacity": 0.8},
                    "hovertemplate": "trial %{customdata}: %{x:.3s}, %{y:.1%}<extra></extra>",
                }
            )
    complete = [(t, c) for t, c in known if t.state == "complete"]
    errors = [float(t.value or 0) for t, _ in complete]
    front = pareto_front([c for _, c in complete], errors)
    data.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "nothing cheaper is better",
            "x": packed([complete[k][1] for k in front]),
            "y": packed([errors[k] for k in front]),
            "line": {"shape": "hv", "color": "var(--accent)", "width": 2},
            "hoverinfo": "skip",
        }
    )
    layout = {
        "xaxis": {"title": {"text": axis}, "type": "log", **log_ticks([c for _, c in known])},
        "yaxis": error_axis(),
    }
    return Figure(key, title, data, layout, 360, half=True)
