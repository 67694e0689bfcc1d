"""Which combinations of filter sizes form a valid network, and which ones were searched."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from hpsearch.report.facts import Facts
from hpsearch.report.figure import COLOUR_BAR, Figure, axis, ink_dots, packed, shown
from hpsearch.report.surrogate import thin
from hpsearch.space.feasible_sizes import FeasibleSizes
from hpsearch.space.parameter import Parameter
from hpsearch.trial import Value
from hpsearch.wording import percent

MOST_VALUES = 25
SHOWN_TRIALS = 300
MAPS = 3


def feasible_share(facts: Facts) -> float | None:
    """Return the share of feasible size combinations; None if no size is searched."""
    sizes = facts.problem.sizes
    return sizes.share() if sizes.free else None


def feasible_maps(facts: Facts) -> list[Figure]:
    """Draw, for two neighbouring layers' filter sizes, the feasible share of the other sizes."""
    searched = facts.problem.space.parameters
    names = [s.name for s in facts.problem.sizes.steps if s.kind == "filter"]
    free = [n for n in names if n in searched and len(searched[n].values() or ()) > 1]
    small = [n for n in free if len(searched[n].values() or ()) <= MOST_VALUES]
    return [_map(facts, pair) for pair in list(pairwise(small))[:MAPS]]


def _map(facts: Facts, pair: tuple[str, str]) -> Figure:
    searched = facts.problem.space.parameters
    first, second = (list(searched[name].values() or ()) for name in pair)
    shares = [[_share(facts, {pair[0]: a, pair[1]: b}) for a in first] for b in second]
    grid: dict[str, Any] = {
        "type": "heatmap",
        "x": first,
        "y": second,
        "z": packed(shares),
        "zmin": 0,
        "colorscale": [[0, "var(--none)"], [1e-6, "var(--f0)"], [1, "var(--f1)"]],
        "colorbar": COLOUR_BAR,
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "%{x} and %{y}: %{z:.1%} of the other sizes fit<extra></extra>",
    }
    kept = thin(facts.errors, SHOWN_TRIALS, facts.view.config.seed)
    trials = [facts.scored[k] for k in kept]
    shift = np.random.default_rng(facts.view.config.seed).uniform(-0.3, 0.3, (2, len(trials)))
    x, y = np.array([[float(t.params[n]) for t in trials] for n in pair]) + shift
    dots = ink_dots(x, y, [f"trial {t.number}: {percent(t.value or 0)}" for t in trials], 5)
    x_axis, y_axis = (axis(shown(name), showgrid=False, nticks=10) for name in pair)
    layout = {"xaxis": x_axis, "yaxis": y_axis}
    title = f"{pair[0]} and {pair[1]}"
    return Figure(f"map-{pair[0]}".replace(".", "-"), title, [grid, dots], layout, 330, half=True)


def _share(facts: Facts, fixed: dict[str, Value]) -> float:
    """Return the feasible share of the other sizes' combinations, with some sizes fixed."""
    parameters = dict(facts.problem.space.parameters)
    for name, value in fixed.items():
        parameters[name] = Parameter(type="int", low=value, high=value)
    return FeasibleSizes(parameters, facts.problem.network).share()
