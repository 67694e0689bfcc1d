"""What the page's figures are made of: plain plotly.js specifications, colours by name.

A colour is written `var(--name)`; the page's script puts in what the style sheet says, so that one
specification serves light and dark. Text of the user's goes through `shown`, as plotly.js reads a
part of HTML.
"""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hpsearch.recognition.support import printable

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
"""From the best value to the worst."""
SEQUENTIAL_LINES = [*SEQUENTIAL[:3], [0.75, "var(--p3)"], [1.0, "var(--p4)"]]
"""The same for lines, of which the worst can still be seen on the paper."""
MOST_TICKS = 7
MANY_POINTS = 5_000
"""From here on points are drawn by WebGL; the page draws them itself where there is none."""


@dataclass(frozen=True)
class Figure:
    """One drawing of the page.

    Args:
        key: Its name in the page, letters and dashes.
        title: What it shows, a line.
        data: plotly.js traces.
        layout: plotly.js layout without colours of text, grid and paper.
        height: Pixels.
        note: How to read it, a sentence or two.
        wide: Whether it keeps a width of its own on a phone and is moved sideways.
        half: Whether two of it stand side by side where there is room.
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
        """Return what the page's script draws."""
        return {"data": finite(self.data), "layout": finite(self.layout)}


def packed(values: ArrayLike, dtype: str = "f4") -> dict[str, str]:
    """Return an array as plotly.js reads it without a number for each value in the page.

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
    """Return a text that plotly.js shows as it is: it reads tags and entities, so none are left."""
    return html.escape(printable(str(text)), quote=False)


def finite(value: Any) -> Any:
    """Return a specification whose numbers JSON can hold: what is not finite is left empty."""
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
    """Return a parameter's value as the page writes it."""
    if isinstance(value, float):
        return short_exponent(f"{value:.{digits}g}")
    return str(value)


def error_axis(**settings: Any) -> dict[str, Any]:
    """Return an axis of one-shot validation errors."""
    return {"title": {"text": "validation error"}, "tickformat": ".0%", **settings}


def si(value: float) -> str:
    """Return a count with its prefix, e.g. 9.1 M."""
    for prefix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g}"


def log_ticks(values: Sequence[float]) -> dict[str, Any]:
    """Return the ticks of a logarithmic axis: 1, 2, 5, or whole powers where they are many."""
    low, high = min(values), max(values)
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 1000 else (1,)
    marks = [step * 10.0**power for power in powers for step in steps]
    return {"tickvals": marks, "ticktext": [tick(mark) for mark in marks]}


def tick(value: float) -> str:
    """Return a round number as an axis writes it: 0.002, 1e-5, 20 k."""
    return si(value) if value >= 1000 else short_exponent(f"{value:.6g}")


def short_exponent(text: str) -> str:
    """Return 1e-05 as 1e-5."""
    return re.sub(r"e-0+", "e-", text)


def round_values(low: float, high: float, *, log: bool) -> list[float]:
    """Return a few round numbers of a range: 0.5, 0.6, 0.7; on a logarithmic one 0.01, 0.02, 0.05.

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
    """Join curves into one, with a gap after each."""
    if not curves:
        return np.empty(0)
    return np.concatenate([np.append(np.asarray(c, np.float64), np.nan) for c in curves])
