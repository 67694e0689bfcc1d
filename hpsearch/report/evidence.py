"""The chart of baselines: accuracies on the sealed tasks, measured here and published."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpsearch.data.dataset import OMNIGLOT
from hpsearch.report.facts import Facts
from hpsearch.report.figure import INTERVAL, Figure, axis, scatter, shown, whiskers
from hpsearch.scoring.baselines import PUBLISHED


def baselines_chart(facts: Facts) -> Figure | None:
    """Draw accuracies on the sealed tasks: ours as bars, published ones for Omniglot only."""
    entries = (facts.baselines or {}).values()
    measured = {str(e["name"]): e for e in entries if e.get("accuracy") is not None}
    evaluated = {facts.view.name: facts.evaluation, **facts.others}
    measured |= {f"this program: {name}": entry for name, entry in evaluated.items() if entry}
    if not measured:
        return None
    kind = facts.view.dataset.get("kind")
    published = dict(PUBLISHED.values()) if kind in OMNIGLOT else {}
    accuracies = {**published, **{name: m["accuracy"] for name, m in measured.items()}}
    names = sorted(accuracies, key=lambda name: accuracies[name])
    ours = [n for n in names if n in measured]
    x = np.array([accuracies[n] for n in ours])
    low, high = np.array([measured[n]["interval"] for n in ours]).T
    bar = {
        "type": "bar",
        "orientation": "h",
        "name": "measured here",
        "y": [shown(n) for n in ours],
        "x": x.tolist(),
        "marker": {"color": "var(--accent)"},
        "width": 0.55,
        "error_x": whiskers(x, low, high, "var(--ink)", thickness=1.5, width=4),
        "customdata": [[*measured[n]["interval"], measured[n]["n_tasks"]] for n in ours],
        "hovertemplate": f"%{{x:.1%}} {INTERVAL} on %{{customdata[2]}} tasks<extra></extra>",
    }
    data: list[dict[str, Any]] = [bar]
    counts = sorted({int(m["n_tasks"]) for m in measured.values()})
    note = f"Bars: measured on {' and '.join(map(str, counts))} sealed tasks, with 95 % intervals."
    if published:
        known = [n for n in names if n in published]
        x_known, y_known = [published[n] for n in known], [shown(n) for n in known]
        line = {"width": 2}
        marker = {"symbol": "diamond-open", "size": 11, "color": "var(--ink)", "line": line}
        text = "published %{x:.1%}"
        data.append(scatter("markers", x_known, y_known, text, name="published", marker=marker))
        more = "" if kind == "omniglot" else ", on all 30 background alphabets"
        note += f" Diamonds: published on Lake's 400 tasks{more} (Koch et al. 2015, Table 2)."
    order = {"categoryorder": "array", "categoryarray": [shown(n) for n in names]}
    x_axis = axis("one-shot accuracy", tickformat=".0%", range=[0, 1.02])
    layout = {"xaxis": x_axis, "yaxis": {**order, "ticksuffix": " "}}
    title = "One-shot accuracy, each kind of network"
    return Figure("baselines", title, data, layout, 110 + 34 * len(names), note)
