"""Parts of the page's figures: plain plotly.js specifications, colours by name.

A colour is written `var(--name)`; the page's script replaces it by the style sheet's value, so one
specification serves the light and the dark page. The user's text goes through `shown`, because
plotly.js interprets some HTML.
"""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpsearch.measure import Measure
from hpsearch.recognition.support import printable
from hpsearch.trial import TrialRecord
from hpsearch.wording import figure

STATE_COLOURS = {
    "complete": "var(--complete)",
    "pruned": "var(--pruned)",
    "not trainable": "var(--untrainable)",
    "failed": "var(--failed)",
    "running": "var(--running)",
    "paused": "var(--running)",
    "interrupted": "var(--soft)",
}
SEQUENTIAL = [[k / 4, f"var(--s{k})"] for k in range(5)]
"""Colour scale from the best value to the worst."""
SEQUENTIAL_LINES = [*SEQUENTIAL[:3], [0.75, "var(--p3)"], [1.0, "var(--p4)"]]
"""The same scale for lines, whose worst values must stand out from the background too."""
COLOUR_BAR = {"thickness": 10, "tickformat": ".0%", "outlinewidth": 0}
"""Of shares."""
INTERVAL = "[%{customdata[0]:.1%}, %{customdata[1]:.1%}]"
"""Hover text of an interval, whose ends come first in `customdata`."""
DOTTED = {"color": "var(--soft)", "dash": "dot", "width": 1.5}
"""The line of a reference level."""
MOST_TICKS = 7
MANY_POINTS = 5_000
"""More points than this are drawn by WebGL, if the browser has it."""


@dataclass(frozen=True)
class Figure:
    """One figure of the page.

    Args:
        key: Its id in the page, letters and dashes.
        title: One line.
        data: plotly.js traces.
        layout: plotly.js layout without the colours of text, grid and background.
        height: Pixels.
        note: How to read it, in a sentence or two.
        wide: Whether it keeps a minimum width on a phone and scrolls sideways.
        half: Whether two such figures share a row if there is room.
    """

    key: str
    title: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
    height: int = 340
    note: str = ""
    wide: bool = False
    half: bool = False

    def spec(self) -> dict[str, Any]:
        """Return the specification that the page's script draws."""
        return {"data": finite(self.data), "layout": finite(self.layout)}


def packed(values: ArrayLike, dtype: str = "f4") -> dict[str, str]:
    """Return an array in plotly.js's binary form, which keeps the page small.

    Args:
        values: One- or two-dimensional; NaN leaves a gap.
        dtype: "f4", or "i4" for whole numbers.
    """
    array = np.ascontiguousarray(values, dtype=f"<{dtype}")
    data = {"dtype": dtype, "bdata": base64.b64encode(array.tobytes()).decode()}
    if array.ndim == 2:
        data["shape"] = f"{array.shape[0]}, {array.shape[1]}"
    return data


def shown(text: object) -> str:
    """Return a text that plotly.js shows unchanged: its tags and entities are escaped."""
    return html.escape(printable(str(text)), quote=False)


def finite(value: Any) -> Any:
    """Return a specification that JSON can hold: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, np.generic):
        return finite(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def number(value: Any, digits: int = 3) -> str:
    """Return a parameter's value in the page's format."""
    return short_exponent(figure(value, digits)) if isinstance(value, float) else str(value)


def axis(title: str, **settings: Any) -> dict[str, Any]:
    """Return an axis with a title."""
    return {"title": {"text": title}, **settings}


def value_axis(measure: Measure, title: str | None = None, **settings: Any) -> dict[str, Any]:
    """Return an axis of trials' values; its title is their name if none is given."""
    scale = {"tickformat": ".0%"} if measure.share else {}
    return axis(shown(measure.name) if title is None else title, **scale, **settings)


def value_format(measure: Measure) -> str:
    """Return the format of a trial's value at the mouse, as plotly.js writes it."""
    return ".1%" if measure.share else ".5~g"


def of_user(measure: Measure, held: ArrayLike) -> NDArray[np.float64]:
    """Return the user's values of those that the search holds."""
    values = np.asarray(held, np.float64)
    return -values if measure.maximized else values


def best_first(measure: Measure) -> dict[str, Any]:
    """Return the setting by which a colour scale runs from the best value to the worst."""
    return {"reversescale": True} if measure.maximized else {}


def scatter(mode: str, x: Any, y: Any, hover: str = "", **settings: Any) -> dict[str, Any]:
    """Return a trace of points or lines.

    Args:
        mode: "markers" or "lines".
        x: Numbers, names, or an array that is `packed` already.
        y: The same.
        hover: Text at the mouse, a plotly.js template; empty shows none.
        settings: More of plotly.js's settings of a trace.
    """
    text = {"hovertemplate": f"{hover}<extra></extra>"} if hover else {"hoverinfo": "skip"}
    place = {"x": _ready(x), "y": _ready(y)}
    return {"type": "scatter", "mode": mode, **place, **text, **settings}


def _ready(values: Any) -> Any:
    named = isinstance(values, dict) or (len(values) > 0 and isinstance(values[0], str))
    return values if named else packed(values)


def scored_dots(
    trials: Sequence[TrialRecord],
    x: Callable[[TrialRecord], Any],
    measure: Measure,
    hover: str = "",
) -> list[dict[str, Any]]:
    """Return the values of scored trials over something of each, one trace per state.

    Args:
        trials: Complete and pruned trials.
        x: Returns what of the trial is on the x axis.
        measure: How values are shown.
        hover: Format of what is on the x axis at the mouse, as plotly.js writes it, e.g. ":.3s".
    """
    traces = []
    for state in ("pruned", "complete"):
        if chosen := [t for t in trials if t.state == state]:
            marker = {"color": STATE_COLOURS[state], "size": 6, "opacity": 0.8}
            numbers = packed([t.number for t in chosen], "i4")
            text = f"trial %{{customdata}}: %{{x{hover}}}, %{{y:{value_format(measure)}}}"
            places = [x(t) for t in chosen]
            errors = of_user(measure, [t.value or 0.0 for t in chosen])
            dots = scatter("markers", places, errors, text, name=state, marker=marker)
            traces.append({**dots, "customdata": numbers})
    return traces


def ink_dots(x: ArrayLike, y: ArrayLike, text: list[str], size: int) -> dict[str, Any]:
    """Return dark dots that stay visible on any colour, with a text for each."""
    edge = {"width": 1, "color": "var(--card)"}
    marker = {"size": size, "color": "var(--ink)", "opacity": 0.7, "line": edge}
    return scatter("markers", x, y, "%{text}", text=text, marker=marker, showlegend=False)


def whiskers(
    values: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    colour: str,
    **settings: Any,
) -> dict[str, Any]:
    """Return the error bars of values along x.

    Args:
        values: [N].
        low: [N], lower ends.
        high: [N], upper ends.
        colour: Of the bars.
        settings: More of plotly.js's settings, such as `thickness` and `width`.
    """
    ends = {"array": packed(high - values), "arrayminus": packed(values - low)}
    return {"type": "data", "symmetric": False, "color": colour, **ends, **settings}


def si(value: float) -> str:
    """Return a number with an SI prefix, e.g. 9.1 M."""
    for prefix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g}"


def log_ticks(values: Sequence[float]) -> dict[str, Any]:
    """Return the ticks of a logarithmic axis: 1, 2, 5, or powers of ten over a wide range."""
    low, high = min(values), max(values)
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 1000 else (1,)
    marks = [step * 10.0**power for power in powers for step in steps]
    return {"tickvals": marks, "ticktext": [tick(mark) for mark in marks]}


def tick(value: float) -> str:
    """Return the label of a tick: 0.002, 1e-5, 20 k."""
    return si(value) if value >= 1000 else short_exponent(f"{value:.6g}")


def short_exponent(text: str) -> str:
    """Return 1e-05 as 1e-5."""
    return re.sub(r"e-0+", "e-", text)


def round_values(low: float, high: float, *, log: bool) -> list[float]:
    """Return a few round numbers of a range: 0.5, 0.6, 0.7; on a log axis 0.01, 0.02, 0.05.

    Args:
        low: The lower end, above 0 where `log`.
        high: The upper end.
        log: Whether the axis is logarithmic.
    """
    if log:
        marks = [float(f"{mark:.6g}") for mark in log_ticks([low, high])["tickvals"]]
        marks = [mark for mark in marks if low * (1 - 1e-9) <= mark <= high * (1 + 1e-9)]
        return marks[:: -(-len(marks) // MOST_TICKS)] if marks else []
    power = 10.0 ** math.floor(math.log10((high - low) / 2))
    for step in (power * s for s in (1, 2, 2.5, 5, 10)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < MOST_TICKS:
            return [float(f"{k * step:.6g}") for k in range(first, last + 1)]
    return []


def lines(curves: Sequence[Sequence[float]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Concatenate curves into one, with a gap after each."""
    return np.concatenate([np.array([*curve, np.nan], np.float64) for curve in curves])
