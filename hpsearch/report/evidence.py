"""The baselines' chart: accuracies on the sealed tasks, measured here and published."""

from __future__ import annotations

from typing import Any

from hpsearch.report.facts import Facts
from hpsearch.report.figure import Figure, shown
from hpsearch.results.baselines import PUBLISHED


def baselines_chart(facts: Facts) -> Figure | None:
    """Draw accuracies on the sealed tasks: published ones beside Omniglot only, ours by bars."""
    measured = _measured(facts)
    published = dict(PUBLISHED.values()) if facts.view.dataset.get("kind") == "omniglot" else {}
    if not measured:
        return None
    names = sorted(
        {*published, *measured},
        key=lambda n: measured[n]["accuracy"] if n in measured else published[n],
    )
    data: list[dict[str, Any]] = []
    ours = [n for n in names if n in measured]
    accuracies = [measured[n]["accuracy"] for n in ours]
    ends = [measured[n]["interval"] for n in ours]
    data.append(
        {
            "type": "bar",
            "orientation": "h",
            "name": "measured here",
            "y": [shown(n) for n in ours],
            "x": accuracies,
            "marker": {"color": "var(--accent)"},
            "width": 0.55,
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [e[1] - a for e, a in zip(ends, accuracies, strict=True)],
                "arrayminus": [a - e[0] for e, a in zip(ends, accuracies, strict=True)],
                "color": "var(--ink)",
                "thickness": 1.5,
                "width": 4,
            },
            "customdata": [[*e, measured[n]["n_tasks"]] for e, n in zip(ends, ours, strict=True)],
            "hovertemplate": "%{x:.1%} [%{customdata[0]:.1%}, %{customdata[1]:.1%}] on "
            "%{customdata[2]} tasks<extra></extra>",
        }
    )
    if published:
        known = [n for n in names if n in published]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "published",
                "y": [shown(n) for n in known],
                "x": [published[n] for n in known],
                "marker": {
                    "symbol": "diamond-open",
                    "size": 11,
                    "color": "var(--ink)",
                    "line": {"width": 2},
                },
                "hovertemplate": "published %{x:.1%}<extra></extra>",
            }
        )
    layout = {
        "xaxis": {"title": {"text": "one-shot accuracy"}, "tickformat": ".0%", "range": [0, 1.02]},
        "yaxis": {
            "categoryorder": "array",
            "categoryarray": [shown(n) for n in names],
            "ticksuffix": " ",
        },
    }
    counts = sorted({int(m["n_tasks"]) for m in measured.values()})
    note = f"Bars: measured on {' and '.join(map(str, counts))} sealed tasks, with 95 % intervals."
    if published:
        note += " Diamonds: published on Lake's 400 tasks (Koch et al. 2015, Table 2)."
    return Figure(
        "baselines", "One-shot accuracy, each kind of network", data, layout, 110 + 34 * len(names),
        note,
    )  # fmt: skip


def _measured(facts: Facts) -> dict[str, dict[str, Any]]:
    """Return accuracy, interval and n_tasks by shown name."""
    found: dict[str, dict[str, Any]] = {}
    for entry in (facts.baselines or {}).values():
        if entry.get("accuracy") is not None:
            found[str(entry["name"])] = entry
    evaluated = {facts.view.name: facts.evaluation, **facts.others}
    for name, entry in evaluated.items():
        if entry is not None:
            found[f"this program: {name}"] = dict(entry)
    return found
