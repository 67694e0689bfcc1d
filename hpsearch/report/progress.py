"""The course of the search: the best error so far, and every trial's learning curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.intervals import wilson
from hpsearch.measure import Measure
from hpsearch.report import figure as draw
from hpsearch.report.facts import Facts
from hpsearch.report.figure import Figure
from hpsearch.trial import TrialRecord


def incumbent(facts: Facts) -> Figure | None:
    """Draw each trial's error and the lowest error of a complete trial so far."""
    trials = [t for t in facts.view.trials if t.value is not None and np.isfinite(t.value)]
    if not trials:
        return None
    errors = [t.value or 0.0 for t in trials]
    complete = [t.state == "complete" for t in trials]
    best = np.minimum.accumulate(np.where(complete, errors, np.inf))
    data = [dots for state in draw.STATE_COLOURS if (dots := _dots(facts, state, trials))]
    found = np.isfinite(best)
    if found.any():
        x = draw.packed(np.array([t.number for t in trials])[found], "i4")
        y = draw.of_user(facts.shown, best[found])
        data = _band(x, y, facts.n_tasks) + data
        step = {"shape": "hv", "width": 2.5, "color": "var(--accent)"}
        text = f"best after trial %{{x}}: %{{y:{draw.value_format(facts.shown)}}}"
        data.append(draw.scatter("lines", x, y, text, name="best so far", line=step))
    layout = {
        "xaxis": draw.axis("trial", rangemode="tozero"),
        "yaxis": draw.value_axis(facts.shown, range=_range(errors, facts.shown)),
        "hovermode": "closest",
    }
    shown = facts.shown
    note = f"A trial's {shown.short} is the {shown.lowest} of its {shown.step}s"
    note += "." if shown.share else ", or the one that its program gave in its end."
    if facts.n_tasks and found.any():
        note += (
            f" The band is the 95 % interval of the best error on {facts.n_tasks} tasks; it does "
            "not correct for choosing the best of many."
        )
    return Figure("incumbent", f"Best {shown.short} so far", data, layout, 380, note)


def _dots(facts: Facts, state: str, trials: list[TrialRecord]) -> dict[str, Any] | None:
    chosen = [t for t in trials if facts.outcome(t) == state]
    if not chosen:
        return None
    numbers = draw.packed([t.number for t in chosen], "i4")
    text = f"trial %{{x}}, {state}: %{{y:{draw.value_format(facts.shown)}}}"
    values = draw.of_user(facts.shown, [t.value or 0.0 for t in chosen])
    dots = draw.scatter("markers", numbers, values, text, name=state)
    dots["type"] = "scattergl" if len(trials) > draw.MANY_POINTS else "scatter"
    dots["marker"] = {
        "color": draw.STATE_COLOURS[state],
        "size": 7 if len(trials) < 300 else 4,
        "symbol": "x-thin-open" if state == "not trainable" else "circle",
        "opacity": 0.8,
    }
    return dots


def _band(x: dict[str, str], y: NDArray[np.float64], n_tasks: int | None) -> list[dict[str, Any]]:
    if not n_tasks:
        return []
    low, high = np.transpose([wilson(value, n_tasks) for value in y])
    edge = {"shape": "hv", "width": 0, "color": "var(--accent)"}
    fill = {"fill": "tonexty", "fillcolor": "var(--band)", "name": "95 % interval"}
    return [
        draw.scatter("lines", x, low, line=edge, showlegend=False),
        draw.scatter("lines", x, high, line=edge, **fill),
    ]


def _range(values: list[float], shown: Measure) -> list[float]:
    """Return an axis range that shows all trials except a few outliers."""
    low, high = min(values), max(values)
    if len(values) >= 20:
        spare = 0.05 if shown.share else 0.2 * (float(np.median(values)) - low)
        high = min(high, float(np.quantile(values, 0.98)) + spare)
    if not shown.share:
        room = 0.08 * (high - low) or 0.1 * abs(high) or 0.1
        return shown.ends([low - room, high + room])
    room = max(0.02, 0.08 * (high - low))
    return [max(0.0, low - 2 * room), min(1.02, high + room)]


def curves(facts: Facts) -> Figure | None:
    """Draw every trial's validation error by epoch, and the last epoch of pruned trials."""
    trials = [t for t in facts.view.trials if t.values]
    if not trials:
        return None
    count = sum(len(t.values) for t in trials)
    kind = "scattergl" if count > draw.MANY_POINTS else "scatter"
    best = facts.best
    data = []
    for state, colour in draw.STATE_COLOURS.items():
        chosen = [t for t in trials if facts.outcome(t) == state and t is not best]
        if chosen:
            opacity = min(0.85, max(0.12, 12 / len(trials) ** 0.5 / 4))
            line = {"width": 1.2, "color": colour}
            data.append(_curve(facts.shown, chosen, state, kind, line, opacity))
    pruned = [t for t in trials if t.state == "pruned"]
    if pruned:
        data.append(_pruning_points(facts.shown, pruned, kind))
    if best is not None:
        line = {"width": 3, "color": "var(--accent)"}
        data.append(
            _curve(facts.shown, [best], f"best, trial {best.number}", "scatter", line, 1.0)
        )
    x_axis = draw.axis(facts.shown.step, rangemode="tozero")
    layout = {"xaxis": x_axis, "yaxis": draw.value_axis(facts.shown), "hovermode": "closest"}
    note = f"One line per trial; a dot marks the {facts.shown.step} after which it was pruned."
    return Figure("curves", "Learning curves", data, layout, 420, note)


def _curve(
    shown: Measure,
    trials: list[TrialRecord],
    name: str,
    kind: str,
    line: dict[str, Any],
    opacity: float,
) -> dict[str, Any]:
    value = f"%{{y:{draw.value_format(shown)}}}"
    text = f"trial %{{customdata}}, {shown.step} %{{x}}: {value}<extra>{name}</extra>"
    values = draw.lines([list(t.values.values()) for t in trials])
    return {
        "type": kind,
        "mode": "lines" if any(len(t.values) > 1 for t in trials) else "markers",
        "name": name,
        "x": draw.packed(draw.lines([list(t.values) for t in trials])),
        "y": draw.packed(draw.of_user(shown, values)),
        "customdata": draw.packed(draw.lines([[t.number] * len(t.values) for t in trials])),
        "line": line,
        "marker": {"color": line["color"]},
        "opacity": opacity,
        "hovertemplate": text,
    }


def _pruning_points(shown: Measure, pruned: list[TrialRecord], kind: str) -> dict[str, Any]:
    last = [max(t.values) for t in pruned]
    errors = draw.of_user(shown, [t.values[e] for t, e in zip(pruned, last, strict=True)])
    value = f"%{{y:{draw.value_format(shown)}}}"
    text = f"trial %{{customdata}} pruned after {shown.step} %{{x}}: {value}"
    points = draw.scatter("markers", draw.packed(last, "i4"), errors, text, name="pruned here")
    marker = {"size": 5, "color": "var(--pruned)", "opacity": 0.7}
    numbers = draw.packed([t.number for t in pruned], "i4")
    return {**points, "type": kind, "customdata": numbers, "marker": marker}
