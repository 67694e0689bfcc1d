"""The page and the picture of what `benchmarks.gpu` found. Knows no torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

MAX_LINES = 60
COLOURS = {"PASS": "#2a7f3f", "FAIL": "#b3261e", "NUMBER": "#2f5d9b", "UNMEASURED": "#8a8a8a"}
HIDDEN = ("step", "name", "verdict", "seconds", "checks", "why")
WIDTH, ROW, LEFT, RIGHT = 720, 24, 250, 110
LONGEST = 400
"""Characters of the figures of one step on the page; results.jsonl has all."""


def page(rows: Sequence[Mapping[str, Any]], seconds: float) -> str:
    """Return the summary in Markdown, at most MAX_LINES lines.

    Args:
        rows: The steps' lines.
        seconds: Of all steps together.
    """
    facts = rows[0] if rows else {}
    counts = Counter(row["verdict"] for row in rows)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in COLOURS if counts[verdict])
    lines = [
        f"# Check of {facts.get('card') or 'a device'}",
        "",
        f"{told}; {seconds:.0f} s. torch {facts.get('torch')}, CUDA {facts.get('cuda')}, cuDNN "
        f"{facts.get('cudnn')}, driver {facts.get('driver')}, Python {facts.get('python')}.",
        "",
        "![seconds and verdict of each step](steps.svg)",
        "",
        "| step | | verdict | s | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = (row["step"], row["name"], row["verdict"], row["seconds"], _why(row))
        lines.append("| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |")
    lines += ["", "Figures, in full in results.jsonl:", ""]
    for row in rows:
        figures = {key: value for key, value in row.items() if key not in HIDDEN}
        if figures:
            lines.append(f"- {row['step']}: `{_short(figures)}`")
    return "\n".join(lines) + "\n"


def _why(row: Mapping[str, Any]) -> str:
    checks = row.get("checks", {})
    failed = [what for what, holds in checks.items() if not holds]
    return row.get("why") or "; ".join(failed) or (f"{len(checks)} hold" if checks else "")


def _short(figures: Mapping[str, Any]) -> str:
    text = json.dumps(figures).replace("`", "'")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def picture(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the seconds of each step as bars, coloured by verdict, as an SVG."""
    longest = max((row["seconds"] for row in rows), default=1.0) or 1.0
    height = ROW * len(rows) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for place, row in enumerate(rows):
        top = 5 + ROW * place
        long = max(2.0, (WIDTH - LEFT - RIGHT) * row["seconds"] / longest)
        colour, base = COLOURS[row["verdict"]], top + 16
        name = escape(f"{row['step']} {row['name']}")
        told = f"{row['seconds']:.1f} s {row['verdict'].lower()}"
        parts += [
            f'<text x="{LEFT - 8}" y="{base}" text-anchor="end">{name}</text>',
            f'<rect x="{LEFT}" y="{top + 3}" width="{long:.1f}" height="{ROW - 6}" '
            f'fill="{colour}"/>',
            f'<text x="{LEFT + long + 6:.1f}" y="{base}" fill="{colour}">{told}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
