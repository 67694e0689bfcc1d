"""The chart of baselines: accuracies on the sealed tasks, measured here and published."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpsearch.data.dataset import OMNIGLOT
from hpsearch.report.facts import Facts
from hpsearch.report.figure import Figure, axis, scatter, shown, whiskers
from hpsearch.results.baselines import PUBLISHED


def baselines_chart(facts: Facts) -> Figure | None:
    """Draw accuracies on the sealed tasks: ours as bars, published ones for Omniglot only."""
    measured = _measured(facts)
    kind = facts.view.dataset.get("kind")
    published = dict(PUBLISHED.values()) if kind in OMNIGLOT else {}
    if not measured:
        return None
    names = sorted(
        {*published, *measured},
        key=lambda n: measured[n]["accuracy"] if n in measured else published[n],
    )
    ours = [n for n in names if n in measured]
    accuracies = [measured[n]["accuracy"] for n in ours]
    low, high = np.array([measured[n]["interval"] for n in ours]).T
    bar = {
        "type": "bar",
        "orientation": "h",
        "name": "measured here",
        "y": [shown(n) for n in ours],
        "x": accuracies,
        "marker": {"color": "var(--accent)"},
        "width": 0.55,
        "error_x": whiskers(np.array(accuracies), low, high, "var(--ink)", thickness=1.5, width=4),
        "customdata": [[*measured[n]["interval"], measured[n]["n_tasks"]] for n in ours],
        "hovertemplate": "%{x:.1%} [%{customdata[0]:.1%}, %{customdata[1]:.1%}] on "
        "%{customdata[2]} tasks<extra></extra>",
    }
    data = [bar]
    if published:
        known = [n for n in names if n in published]
        marker = {
            "symbol": "diamond-open",
            "size": 11,
            "color": "var(--ink)",
            "line": {"width": 2},
        }
        x, y = [published[n] for n in known], [shown(n) for n in known]
        text = "published %{x:.1%}"
        data.append(scatter("markers", x, y, text, name="published", marker=marker))
    order = {"categoryorder": "array", "categoryarray": [shown(n) for n in names]}
    layout = {
        "xaxis": axis("one-shot accuracy", tickformat=".0%", range=[0, 1.02]),
        "yaxis": {**order, "ticksuffix": " "},
    }
    counts = sorted({int(m["n_tasks"]) for m in measured.values()})
    note = f"Bars: measured on {' and '.join(map(str, counts))} sealed tasks, with 95 % intervals."
    if published:
        more = "" if kind == "omniglot" else ", on all 30 background alphabets"
        note += f" Diamonds: published on Lake's 400 tasks{more} (Koch et al. 2015, Table 2)."
    height = 110 + 34 * len(names)
    title = "One-shot accuracy, each kind of network"
    return Figure("baselines", title, data, layout, height, note)


def _measured(facts: Facts) -> dict[str, dict[str, Any]]:
    """Return accuracy, interval and n_tasks of each method by the name that is shown."""
    found: dict[str, dict[str, Any]] = {}
    for entry in (facts.baselines or {}).values():
        if entry.get("accuracy") is not None:
            found[str(entry["name"])] = entry
    evaluated = {facts.view.name: facts.evaluation, **facts.others}
    for name, entry in evaluated.items():
        if entry is not None:
            found[f"this program: {name}"] = dict(entry)
    return found
