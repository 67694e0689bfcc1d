"""How the search went: the incumbent with its band, and every trial's curve."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpsearch.report.facts import Facts
from hpsearch.report.figure import (
    MANY_POINTS,
    STATE_COLOURS,
    Figure,
    error_axis,
    lines,
    packed,
)
from hpsearch.results.intervals import wilson
from hpsearch.trial import TrialRecord


def incumbent(facts: Facts) -> Figure | None:
    """Draw each trial's error and the lowest error of a complete trial so far."""
    trials = [t for t in facts.view.trials if t.value is not None and np.isfinite(t.value)]
    if not trials:
        return None
    best, steps = np.inf, []
    for trial in trials:
        if trial.state == "complete" and trial.value is not None and trial.value < best:
            best = trial.value
        if np.isfinite(best):
            steps.append((trial.number, best))
    data: list[dict[str, Any]] = []
    if steps:
        x, y = [s[0] for s in steps], [s[1] for s in steps]
        data += _band(x, y, facts.n_tasks)
    data += [_dots(facts, state, trials) for state in STATE_COLOURS]
    if steps:
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "best so far",
                "x": packed(x, "i4"),
                "y": packed(y),
                "line": {"shape": "hv", "width": 2.5, "color": "var(--accent)"},
                "hovertemplate": "best after trial %{x}: %{y:.1%}<extra></extra>",
            }
        )
    values = [t.value for t in trials if t.value is not None]
    layout = {
        "xaxis": {"title": {"text": "trial"}, "rangemode": "tozero"},
        "yaxis": error_axis(range=_range(values)),
        "hovermode": "closest",
    }
    note = "A trial's error is the lowest of its epochs."
    if facts.n_tasks and steps:
        note += (
            f" The band is the 95 % interval of the best error as {facts.n_tasks} tasks measure "
            "it; it says nothing of the luck in being the best of many."
        )
    kept = [trace for trace in data if trace["x"]]
    return Figure("incumbent", "The best so far", kept, layout, 380, note)


def _dots(facts: Facts, state: str, trials: list[TrialRecord]) -> dict[str, Any]:
    chosen = [t for t in trials if facts.outcome(t) == state]
    return {
        "type": "scattergl" if len(trials) > MANY_POINTS else "scatter",
        "mode": "markers",
        "name": state,
        "x": packed([t.number for t in chosen], "i4") if chosen else [],
        "y": packed([t.value or 0.0 for t in chosen]),
        "marker": {
            "color": STATE_COLOURS[state],
            "size": 7 if len(trials) < 300 else 4,
            "symbol": "x-thin-open" if state == "not trainable" else "circle",
            "opacity": 0.8,
        },
        "hovertemplate": f"trial %{{x}}, {state}: %{{y:.1%}}<extra></extra>",
    }


def _band(x: list[int], y: list[float], n_tasks: int | None) -> list[dict[str, Any]]:
    if not n_tasks:
        return []
    ends = [wilson(value, n_tasks) for value in y]
    edge = {"type": "scatter", "mode": "lines", "x": packed(x, "i4"), "hoverinfo": "skip"}
    line = {"shape": "hv", "width": 0, "color": "var(--accent)"}
    low = {**edge, "y": packed([e[0] for e in ends]), "line": line, "showlegend": False}
    high = {
        **edge,
        "y": packed([e[1] for e in ends]),
        "line": line,
        "fill": "tonexty",
        "fillcolor": "var(--band)",
        "name": "95 % interval",
    }
    return [low, high]


def _range(values: list[float]) -> list[float]:
    """Return an axis range that shows every trial but the few that are far off."""
    low, high = min(values), max(values)
    if len(values) >= 20:
        high = min(high, float(np.quantile(values, 0.98)) + 0.05)
    room = max(0.02, 0.08 * (high - low))
    return [max(0.0, low - 2 * room), min(1.02, high + room)]


def curves(facts: Facts) -> Figure | None:
    """Draw every trial's validation error by epoch, and where pruned ones ended."""
    trials = [t for t in facts.view.trials if t.values]
    if not trials:
        return None
    count = sum(len(t.values) for t in trials)
    kind = "scattergl" if count > MANY_POINTS else "scatter"
    best = facts.best
    data = []
    for state, colour in STATE_COLOURS.items():
        chosen = [t for t in trials if facts.outcome(t) == state and t is not best]
        if chosen:
            opacity = min(0.85, max(0.12, 12 / len(trials) ** 0.5 / 4))
            data.append(_curve(chosen, state, kind, {"width": 1.2, "color": colour}, opacity))
    pruned = [t for t in trials if t.state == "pruned"]
    if pruned:
        data.append(_pruning_points(pruned, kind))
    if best is not None:
        line = {"width": 3, "color": "var(--accent)"}
        data.append(_curve([best], f"best, trial {best.number}", "scatter", line, 1.0))
    layout = {
        "xaxis": {"title": {"text": "epoch"}, "rangemode": "tozero"},
        "yaxis": error_axis(),
        "hovermode": "closest",
    }
    note = "One line a trial; a dot marks the epoch after which it was pruned."
    return Figure("curves", "Every trial's curve", data, layout, 420, note)


def _curve(
    trials: list[TrialRecord], name: str, kind: str, line: dict[str, Any], opacity: float
) -> dict[str, Any]:
    numbers = lines([[t.number] * len(t.values) for t in trials])
    return {
        "type": kind,
        "mode": "lines" if any(len(t.values) > 1 for t in trials) else "markers",
        "name": name,
        "x": packed(lines([list(t.values) for t in trials])),
        "y": packed(lines([list(t.values.values()) for t in trials])),
        "customdata": packed(numbers),
        "line": line,
        "marker": {"color": line["color"]},
        "opacity": opacity,
        "hovertemplate": f"trial %{{customdata}}, epoch %{{x}}: %{{y:.1%}}<extra>{name}</extra>",
    }


def _pruning_points(pruned: list[TrialRecord], kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "mode": "markers",
        "name": "pruned here",
        "x": packed([max(t.values) for t in pruned], "i4"),
        "y": packed([t.values[max(t.values)] for t in pruned]),
        "customdata": packed([t.number for t in pruned], "i4"),
        "marker": {"size": 5, "color": "var(--pruned)", "opacity": 0.7},
        "hovertemplate": "trial %{customdata} pruned after epoch %{x}: %{y:.1%}<extra></extra>",
    }
