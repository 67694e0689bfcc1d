"""Errors over the parameters: slices, contours of the surrogate, parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.measure import VALIDATION_ERROR, Measure
from hpsearch.report import figure as draw
from hpsearch.report.facts import Facts
from hpsearch.report.figure import Figure
from hpsearch.report.surrogate import LEAST_TRIALS, MOST_TRIALS, Array, Surrogate, fit, thin
from hpsearch.space.parameter import Parameter
from hpsearch.trial import Value
from hpsearch.wording import percent

SLICE_POINTS = 300
PAIRS = 3
PARALLEL = 8
GRID = 25
COARSE = 7
AVERAGED = 60
"""Number of trials whose other parameters a contour averages over."""


def fit_surrogate(facts: Facts) -> Surrogate | None:
    """Fit the surrogate to the scored trials; None if too few, or if all errors are equal.

    A trial's last coordinate is log(epochs) / log(max_epochs), within 0 to 1.
    """
    if len(facts.scored) < LEAST_TRIALS or np.ptp(facts.errors) == 0:
        return None
    kept = thin(facts.errors, MOST_TRIALS, facts.view.config.seed)
    most = max(2, facts.view.config.recipe.max_epochs)
    epochs = np.log([max(t.last_epoch, 1) for t in facts.scored]) / math.log(most)
    x = np.column_stack([facts.points, np.clip(epochs, 0, 1)])[kept]
    return fit(x, facts.errors[kept])


def calibration(surrogate: Surrogate, shown: Measure = VALIDATION_ERROR) -> Figure:
    """Draw each trial's value against its leave-one-out prediction."""
    predicted, deviation = surrogate.leave_one_out()
    predicted, measured = (draw.of_user(shown, one) for one in (predicted, surrogate.errors))
    inside = np.abs(measured - predicted) <= 1.96 * deviation
    ends = [min(measured.min(), predicted.min()), max(measured.max(), predicted.max())]
    data = [draw.scatter("lines", ends, ends, line=draw.DOTTED, showlegend=False)]
    low, high = predicted - 1.96 * deviation, predicted + 1.96 * deviation
    if shown.share:
        low = np.maximum(low, np.minimum(predicted, 0))
        high = np.minimum(high, np.maximum(predicted, 1))
    value = draw.value_format(shown)
    parts = (inside, "within its interval", "complete"), (~inside, "outside", "failed")
    for chosen, name, state in parts:
        if chosen.any():
            values = predicted[chosen]
            text = f"predicted %{{x:{value}}}, measured %{{y:{value}}}"
            dots = draw.scatter("markers", values, measured[chosen], text, name=name)
            bars = draw.whiskers(values, low[chosen], high[chosen], "var(--whisker)", width=0)
            dots["error_x"] = {**bars, "thickness": 0.8}
            data.append({**dots, "marker": {"color": draw.STATE_COLOURS[state], "size": 6}})
    titles = "predicted without the trial", "measured"
    x_axis, y_axis = (draw.value_axis(shown, title) for title in titles)
    layout = {"xaxis": x_axis, "yaxis": y_axis}
    from scipy.stats import spearmanr

    rank = float(spearmanr(predicted, measured).statistic) if len(measured) > 2 else math.nan
    spread = float(np.sqrt(np.mean((measured - predicted) ** 2)))
    skill = 1 - spread**2 / max(float(measured.var()), 1e-30)
    note = f"{int(inside.sum())} of {len(inside)} trials lie within their 95 % interval"
    if math.isfinite(rank):
        off = percent(spread) if shown.share else f"{spread:.3g}"
        note += f"; root mean squared error {off}; rank correlation {rank:.2f}"
    note += f". The model knows the number of {shown.step}s of each trial."
    if skill <= 0.05:
        note += " It predicts no better than the mean, so its contours show little."
    return Figure("calibration", "Calibration of the surrogate", data, layout, 400, note)


def contours(facts: Facts, surrogate: Surrogate, names: Sequence[str]) -> list[Figure]:
    """Draw the surrogate over the pairs of parameters with the largest joint effect.

    Args:
        facts: The study.
        surrogate: Fitted to the study.
        names: Candidates, the most important first.
    """
    cube = facts.problem.cube
    columns = [cube.names.index(name) for name in names[:5]]
    kept = thin(surrogate.errors, AVERAGED, facts.view.config.seed)
    background = surrogate.x[kept].copy()
    background[:, -1] = 1.0  # trained for all epochs
    grid = np.linspace(0, 1, COARSE)
    effects = [
        (-float(np.std(_surface(surrogate, background, pair, grid))), pair)
        for pair in combinations(columns, 2)
    ]
    return [_contour(facts, surrogate, background, pair) for _, pair in sorted(effects)[:PAIRS]]


def _surface(surrogate: Surrogate, background: Array, pair: tuple[int, int], grid: Array) -> Array:
    """Return the mean error over the background's other parameters, [second, first]."""
    first, second = np.meshgrid(grid, grid)
    points = np.repeat(background[None], first.size, axis=0)  # [G * G, background, D]
    points[:, :, pair[0]] = first.ravel()[:, None]
    points[:, :, pair[1]] = second.ravel()[:, None]
    means = surrogate.mean(points.reshape(-1, points.shape[2]))
    return np.asarray(means.reshape(len(grid), len(grid), len(background)).mean(axis=2))


def _contour(
    facts: Facts, surrogate: Surrogate, background: Array, pair: tuple[int, int]
) -> Figure:
    cube = facts.problem.cube
    names, shown = [cube.names[k] for k in pair], facts.shown
    grid = np.linspace(0, 1, GRID)
    kept = thin(facts.errors, 200, facts.view.config.seed)
    surface = {
        "type": "contour",
        "x": draw.packed(grid),
        "y": draw.packed(grid),
        "z": draw.packed(draw.of_user(shown, _surface(surrogate, background, pair, grid))),
        "colorscale": draw.SEQUENTIAL,
        **draw.best_first(shown),
        "contours": {"coloring": "fill"},
        "line": {"width": 0.5, "color": "var(--line)"},
        "ncontours": 14,
        "colorbar": draw.COLOUR_BAR | ({} if shown.share else {"tickformat": ""}),
        "hovertemplate": f"predicted %{{z:{draw.value_format(shown)}}}<extra></extra>",
    }
    text = []
    for trial in (facts.scored[k] for k in kept):
        active = [n for n in names if n in trial.params]
        params = [draw.shown(f"{n} {draw.number(trial.params[n])}") for n in active]
        text.append(
            "<br>".join([f"trial {trial.number}: {shown.text(trial.value or 0)}", *params])
        )
    x, y = facts.points[kept][:, pair].T
    dots = draw.ink_dots(x, y, text, 6)
    axes = [draw.axis(draw.shown(name), range=[0, 1], **ticks(facts, name)) for name in names]
    layout = {"xaxis": axes[0], "yaxis": axes[1]}
    key = f"contour-{pair[0]}-{pair[1]}"
    return Figure(key, " and ".join(names), [surface, dots], layout, 330, half=True)


def ticks(facts: Facts, name: str) -> dict[str, Any]:
    """Return ticks on a unit cube's coordinate that show the parameter's own values.

    The coordinate of a filter size is a quantile of the feasible sizes, which depend on the other
    layers; its axis shows only small and large.
    """
    problem = facts.problem
    if name in problem.sizes.free:
        return {"tickvals": [0, 0.5, 1], "ticktext": ["small", "", "large"]}
    scale = problem.cube.axes[problem.cube.names.index(name)]
    values = _marks(problem.space.parameters[name])
    text = [draw.tick(v) if isinstance(v, float) else draw.shown(v) for v in values]
    return {"tickvals": [scale.share(v) for v in values], "ticktext": text}


def _marks(parameter: Parameter) -> Sequence[Value]:
    """Return a few values of a parameter, round numbers if possible."""
    values = parameter.values()
    if values is not None and (parameter.choices or len(values) <= draw.MOST_TICKS):
        return values
    low, high = (float(extreme) for extreme in parameter.extremes)
    marks = draw.round_values(low, high, log=parameter.log)
    if values is None:
        return marks
    known = [int(v) if parameter.type == "int" else v for v in marks if v in values]
    return known if len(known) > 1 else values[:: -(-len(values) // draw.MOST_TICKS)]


def slices(facts: Facts, names: Sequence[str]) -> list[Figure]:
    """Draw the errors over each parameter's values, one small figure per parameter."""
    kept = thin(facts.errors, SLICE_POINTS, facts.view.config.seed)
    return [_slice(facts, name, kept) for name in names]


def _slice(facts: Facts, name: str, kept: NDArray[np.int64]) -> Figure:
    parameter = facts.problem.space.parameters[name]
    trials = [t for t in (facts.scored[k] for k in kept) if name in t.params]
    named, values = parameter.choices is not None, parameter.values()
    data = draw.scored_dots(
        trials, lambda t: draw.shown(t.params[name]) if named else t.params[name], facts.shown
    )
    x_axis: dict[str, Any] = {"type": "category", "nticks": 6}
    if not named:
        x_axis["type"] = "log" if parameter.log else "linear"
        low, high = (float(extreme) for extreme in parameter.extremes)
        ends = (math.log10(low), math.log10(high)) if parameter.log else (low, high)
        room = 0.04 * max(ends[1] - ends[0], 1e-9)
        x_axis["range"] = [ends[0] - room, ends[1] + room]
        if parameter.log:
            x_axis |= draw.log_ticks([low, high])
    if parameter.type == "int" and values is not None and len(values) <= 10:
        x_axis |= {"tickvals": list(values), "ticktext": [str(v) for v in values]}
    margin = {"l": 40, "r": 10, "t": 8, "b": 28}
    axes = {"xaxis": x_axis, "yaxis": draw.value_axis(facts.shown, "", nticks=5)}
    layout = {**axes, "margin": margin, "showlegend": False}
    position = facts.problem.cube.names.index(name)
    return Figure(f"slice-{position}", name, data, layout, 190, half=True)


def parallel(facts: Facts, names: Sequence[str]) -> Figure | None:
    """Draw each scored trial as a line over the most important parameters and its error."""
    if len(facts.scored) < 2 or not names:
        return None
    problem, chosen = facts.problem, list(names[:PARALLEL])
    dimensions = []
    for name in chosen:
        dimension: dict[str, Any] = {"label": draw.shown(name)}
        if name in problem.sizes.free:  # the size itself, not its quantile
            sizes = [int(t.params[name]) for t in facts.scored]
            least = min(sizes)
            marks = list(range(least, max(*sizes, least + 1) + 1))
            ends = [marks[0] - 0.2, marks[-1] + 0.2]
            dimension |= {"values": draw.packed(sizes), "range": ends}
            dimension |= {"tickvals": marks, "ticktext": [str(mark) for mark in marks]}
        else:
            values = facts.points[:, problem.cube.names.index(name)]
            dimension |= {"values": draw.packed(values), "range": [0, 1], **ticks(facts, name)}
        dimensions.append(dimension)
    errors, shown = facts.errors, facts.shown
    low, high = float(errors.min()), float(errors.max())
    top = float(np.quantile(errors, 0.9)) if len(errors) >= 10 else high
    width = 1e-6 * max(1.0, abs(low))
    held, tick = draw.packed(draw.of_user(shown, errors)), ".0%" if shown.share else ".4~g"
    ends = shown.ends([low, max(high, low + width)])
    name = draw.shown(shown.short)
    dimensions.append({"label": name, "values": held, "range": ends, "tickformat": tick})
    bounds = shown.ends([low, max(top, low + width)])
    scale = {"colorscale": draw.SEQUENTIAL_LINES, "cmin": bounds[0], "cmax": bounds[1]}
    scale |= draw.best_first(shown)
    trace = {
        "type": "parcoords",
        "dimensions": dimensions,
        "line": {"color": held, **scale},
        "labelangle": -18,
        "labelside": "top",
    }
    most = f"the axes are the {name} and the {len(chosen)} parameters of the largest importance"
    axes = most if len(names) > len(chosen) else f"the axes are all parameters and the {name}"
    note = (
        f"Each line is a trial, coloured by {name}; {axes}. Drag along an axis to keep only the "
        "trials there; drag the axis itself to move it."
    )
    layout = {"margin": {"t": 84, "b": 24, "l": 100, "r": 50}}
    return Figure("parallel", "Parallel coordinates", [trace], layout, 420, note, wide=True)
