"""The front of a study of several objectives: as observed and as expected, and its growth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.confirm.front import Expected, expected_front, front
from hpsearch.front import Goal
from hpsearch.front.growth import growth
from hpsearch.report import figure as draw
from hpsearch.report.facts import Facts
from hpsearch.report.figure import Figure
from hpsearch.trial import TrialRecord
from hpsearch.wording import percent


@dataclass(frozen=True)
class FrontView:
    """What the page shows of a front.

    Args:
        figures: The front over each cost, and the growth of its hypervolume.
        names: The other objectives.
        rows: A row of texts for each point of the front, the lowest error first: trial, error,
            what is expected of it, the chance that it is on the front, costs, and the step to it.
    """

    figures: list[Figure]
    names: list[str]
    rows: list[list[str]]


def front_view(facts: Facts) -> FrontView | None:
    """Return the front as the page shows it; None with one objective or without a front."""
    goals = facts.view.config.goals
    found = front(facts.view) if goals.several else []
    if not found:
        return None
    expected = expected_front(facts.view)
    figures = [_over(facts, goal, found, expected) for goal in goals.others]
    grown = _growth(facts)
    return FrontView(
        figures + ([grown] if grown else []),
        [goal.name for goal in goals.others],
        _rows(facts, found, {one.trial.number: one for one in expected}),
    )


def _over(facts: Facts, goal: Goal, found: list[TrialRecord], expected: list[Expected]) -> Figure:
    """Draw errors over one cost: all trials, the front, and the expected front with intervals."""
    trials = [t for t in facts.scored if goal.name in t.figures]
    data = draw.scored_dots(trials, lambda t: t.figures[goal.name], facts.shown, ":.3s")
    ranked = sorted(found, key=lambda t: goal.held(t.figures[goal.name]))
    shown, at = facts.shown, f"%{{y:{draw.value_format(facts.shown)}}}"
    x = [t.figures[goal.name] for t in ranked]
    y = draw.of_user(shown, [t.value or 0.0 for t in ranked])
    line = {"width": 2.5, "color": "var(--accent)", "shape": "hv"}
    shape = line if len(facts.view.config.goals.objectives) == 2 else {"width": 0}
    marker = {"size": 9, "color": "var(--accent)"}
    text = f"on the front: %{{x:.3s}}, {at}"
    data.append(draw.scatter("lines+markers", x, y, text, name="front", line=shape, marker=marker))
    if expected:
        means = np.array([shown.of(one.point[0]) for one in expected])
        low, high = np.array([shown.ends(one.interval) for one in expected]).T
        places = [one.trial.figures[goal.name] for one in expected]
        marker = {"symbol": "diamond-open", "size": 9, "color": "var(--ink)"}
        dots = draw.scatter("markers", places, means, f"expected {at}", name="expected")
        bars = draw.whiskers(means, low, high, "var(--ink)", thickness=1.2, width=3)
        data.append({**dots, "marker": marker, "error_y": bars})
    x_axis = draw.axis(goal.name, type="log" if goal.ratio else "linear")
    if goal.ratio:
        x_axis |= draw.log_ticks([t.figures[goal.name] for t in trials] or [1.0, 10.0])
    layout = {"xaxis": x_axis, "yaxis": draw.value_axis(shown), "hovermode": "closest"}
    note = (
        f"Filled: the front as observed, each point the {shown.lowest} of its {shown.step}s and "
        "so lucky. Open: the front by what all curves let expect, with 95 % intervals."
    )
    return Figure(f"front-{goal.name.replace('_', '-')}", f"Error and {goal.name}", data, layout,
                  420, note)  # fmt: skip


def _growth(facts: Facts) -> Figure | None:
    """Draw the hypervolume of the front so far over the trials."""
    numbers, volumes = growth(facts.view.trials, facts.view.config.goals)
    if len(numbers) < 2:
        return None
    step = {"shape": "hv", "width": 2.5, "color": "var(--accent)"}
    text = "after trial %{x}: %{y:.0%}"
    data: list[dict[str, Any]] = [
        draw.scatter("lines", draw.packed(numbers, "i4"), volumes, text, line=step)
    ]
    layout = {
        "xaxis": draw.axis("trial", rangemode="tozero"),
        "yaxis": draw.axis("hypervolume", tickformat=".0%", rangemode="tozero"),
    }
    note = (
        "The share of the box between the best and the worst values of complete trials that the "
        "front dominates; costs count as their logarithm."
    )
    return Figure("hypervolume", "Growth of the front", data, layout, 300, note)


def _rows(
    facts: Facts, found: list[TrialRecord], expected: dict[int, Expected]
) -> list[list[str]]:
    rows, goals, shown = list[list[str]](), facts.view.config.goals, facts.shown
    for place, trial in enumerate(found):
        one = expected.get(trial.number)
        told = "" if one is None else shown.text(one.point[0])
        chance = "" if one is None else percent(one.probability, 0)
        costs = [draw.si(trial.figures[goal.name]) for goal in goals.others]
        step = ""
        if place:
            before = found[place - 1]
            parts = [shown.gained((trial.value or 0.0) - (before.value or 0.0))]
            for goal in goals.others:
                old, new = before.figures[goal.name], trial.figures[goal.name]
                parts.append(f"{goal.name} x {new / old:.2f}" if old else f"{goal.name} {new:g}")
            step = ", ".join(parts)
        value = shown.text(trial.value or 0.0)
        rows.append([str(trial.number), value, told, chance, *costs, step])
    return rows
