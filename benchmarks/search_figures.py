"""Draws the search benchmark: `python -m benchmarks.search_figures`, from its results.

Times to the best 5 % with their intervals, the error over simulated time, and the mean rank.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from hpsearch.paths import write_atomically
from hpsearch.report.figure import round_values

WIDTH, MARGIN, LABELS = 820, 48, 210
ROW, PANEL = 22, 300
DEFAULT = "#00695c"
OTHER = (
    "#9e9e9e", "#d95f02", "#7570b3", "#1f77b4", "#e7298a", "#66a61e", "#a6761d", "#17becf",
    "#5d4037", "#bcbd22", "#000000",
)  # fmt: skip


def main() -> None:
    """Write the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("docs/results/search.json"))
    parser.add_argument("--output", type=Path, default=Path("docs/images/search-benchmark.svg"))
    options = parser.parse_args()
    write_atomically(options.output, figure(json.loads(options.results.read_bytes())))


def figure(report: Mapping[str, Any]) -> str:
    """Return the SVG of a benchmark's report; what was replayed to its goal only has no curves."""
    times = report["time_to_best_5_percent"]
    names = sorted(times, key=lambda name: times[name]["median"] or math.inf)
    colours = {report["default"]: DEFAULT}
    for name, colour in zip([n for n in names if n not in colours], OTHER * 9, strict=False):
        colours[name] = colour
    bars = MARGIN + ROW * len(names)
    horizon = report["horizon_s"]
    parts = intervals(times, names, colours, horizon)
    over_time = report["error_over_time"]
    errors = {name: over_time[name]["median"] for name in names if name in over_time}
    seconds = over_time[next(iter(errors))]["seconds"]
    top = bars + MARGIN
    parts += curves("error of the best trial, median", seconds, errors, colours, top)
    top += PANEL + MARGIN
    parts += curves("mean rank", seconds, report["rank_over_time"], colours, top)
    height = top + PANEL + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    )
    return "\n".join([head, *parts, "</svg>", ""])


def intervals(
    times: Mapping[str, Any], names: Sequence[str], colours: Mapping[str, str], horizon: float
) -> list[str]:
    """Return a line a set-up: median and interval of its time, on a log scale."""
    least = min(t["low"] for t in times.values() if t["low"])

    def x(seconds: float | None) -> float:
        share = math.log((seconds or horizon) / least) / math.log(horizon / least)
        return LABELS + min(max(share, 0.0), 1.0) * (WIDTH - LABELS - MARGIN)

    parts = [text(LABELS, 24, "simulated seconds to the best 5 %: median, 95 % interval")]
    bottom = MARGIN + ROW * len(names)
    for tick in (t for t in (3, 5, 10, 20, 50, 100, 200, 300, 500) if least <= t <= horizon):
        parts.append(line(x(tick), MARGIN - 14, x(tick), bottom - 8, "#dddddd"))
        parts.append(text(x(tick), bottom + 6, str(tick), "middle"))
    for k, name in enumerate(names):
        y, t = MARGIN + ROW * k, times[name]
        shown = f"{name}, earlier fit" if t.get("fit") else name
        parts.append(text(LABELS - 10, y + 4, shown, "end", colours[name]))
        parts.append(line(x(t["low"]), y, x(t["high"]), y, colours[name], 3))
        if t["median"]:
            parts.append(
                f'<circle cx="{x(t["median"]):.1f}" cy="{y}" r="5" fill="{colours[name]}"/>'
            )
    return parts


def curves(
    title: str,
    seconds: Sequence[float],
    values: Mapping[str, Sequence[float]],
    colours: Mapping[str, str],
    top: int,
    axis: str = "simulated seconds",
) -> list[str]:
    """Return a panel of lines over time, the default's drawn last and thickest."""
    known = [v for row in values.values() for v in row]
    low, high = min(known), sorted(known)[int(0.995 * (len(known) - 1))]

    def place(second: float, value: float) -> str:
        x = MARGIN + second / seconds[-1] * (WIDTH - 2 * MARGIN)
        y = top + PANEL - (min(value, high) - low) / max(high - low, 1e-9) * (PANEL - 30)
        return f"{x:.1f} {y:.1f}"

    parts = [text(MARGIN, top + 12, title)]
    for tick in round_values(low, max(high, low + 1e-9), log=False):
        y = float(place(0, tick).split()[1])
        parts.append(line(MARGIN, y, WIDTH - MARGIN, y, "#dddddd"))
        parts.append(text(MARGIN - 6, y + 4, f"{tick:g}", "end"))
    parts.append(line(MARGIN, top + PANEL, WIDTH - MARGIN, top + PANEL, "#888888"))
    for tick in round_values(0, seconds[-1], log=False):
        x = float(place(tick, low).split()[0])
        parts.append(line(x, top + PANEL, x, top + PANEL + 5, "#888888"))
        parts.append(text(x, top + PANEL + 18, f"{tick:g}", "middle"))
    parts.append(text(WIDTH - MARGIN, top + PANEL + 34, axis, "end"))
    for name in sorted(values, key=lambda n: colours[n] == DEFAULT):
        path = " L ".join(place(s, v) for s, v in zip(seconds, values[name], strict=True))
        width = 3 if colours[name] == DEFAULT else 1.5
        parts.append(
            f'<path d="M {path}" fill="none" stroke="{colours[name]}" stroke-width="{width}">'
            f"<title>{escape(name)}</title></path>"
        )
    return parts


def text(x: float, y: float, words: str, anchor: str = "start", colour: str = "#333333") -> str:
    """Return one line of text."""
    place = f'x="{x:.1f}" y="{y:.1f}"'
    return f'<text {place} text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> str:
    """Return a straight line."""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width}"/>'
    )


if __name__ == "__main__":
    main()
