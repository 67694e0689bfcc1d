"""Draws the search benchmark: `python -m benchmarks.search_figures`, from its results.

How many times as long as the default each set-up takes to the best 1 %, on every problem, and the
error of the best trial over simulated time.
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

WIDTH, MARGIN, LABELS = 820, 48, 250
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
    """Return the SVG of a benchmark's report."""
    over_time = report["error_over_time"]
    names = sorted({name for found in report["tables"].values() for name in found["seeds_of"]})
    colours = {report["default"]: DEFAULT}
    for name, colour in zip([n for n in names if n not in colours], OTHER * 9, strict=False):
        colours[name] = colour
    parts, top = [], 0
    for problem, found in report["tables"].items():
        parts += ratios(problem, found, colours, top)
        top += MARGIN + ROW * (len(found["seeds_of"]) + 1)
    errors = {name: over_time[name]["median"] for name in names if name in over_time}
    seconds = next(iter(over_time.values()))["seconds"]
    parts += curves("error of the best trial, median (siamese35)", seconds, errors, colours, top)
    height = top + PANEL + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    )
    return "\n".join([head, *parts, "</svg>", ""])


def ratios(
    problem: str, found: Mapping[str, Any], colours: Mapping[str, str], top: int
) -> list[str]:
    """Return a panel of a problem: a line a set-up, its ratio to the default on a log scale."""
    held = {name: row["1_percent"] for name, row in found["ratio_to_default"].items()}
    names = sorted(held, key=lambda name: held[name]["ratio"])
    least = min(0.5, *(row["low"] for row in held.values()))
    most = max(2.0, *(row["high"] for row in held.values()))

    def x(ratio: float) -> float:
        share = math.log(ratio / least) / math.log(most / least)
        return LABELS + share * (WIDTH - LABELS - 2 * MARGIN)

    title = f"{problem}: time to the best 1 %, in times the default's; 95 % interval"
    parts = [text(MARGIN, top + 24, title)]
    first = top + MARGIN
    bottom = first + ROW * len(names)
    for tick in (t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if least <= t <= most):
        colour = "#888888" if tick == 1 else "#dddddd"
        parts.append(line(x(tick), first - 14, x(tick), bottom - 10, colour))
        parts.append(text(x(tick), bottom + 6, f"{tick:g}", "middle"))
    for k, name in enumerate(names):
        y, row, seeds = first + ROW * k, held[name], found["seeds_of"][name]
        shown = name if seeds == found["seeds"] else f"{name} ({seeds} seeds)"
        mean = found["restricted_mean_s"][name]["1_percent"]["mean"]
        parts.append(text(LABELS - 10, y + 4, shown, "end", colours[name]))
        parts.append(line(x(row["low"]), y, x(row["high"]), y, colours[name], 3))
        parts.append(f'<circle cx="{x(row["ratio"]):.1f}" cy="{y}" r="5" fill="{colours[name]}"/>')
        parts.append(text(WIDTH - 8, y + 4, f"{mean:.0f} s", "end", colours[name]))
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
