"""Fit the cost model of `hpsearch.network.convolution_cost` to measured times.

    python -m benchmarks.fit_convolution --measure 40    adds shapes to the table, then fits
    python -m benchmarks.fit_convolution                 fits to the table as it is

It prints the constants to commit, and how the choice does on the table.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from hpsearch.network.convolution_cost import terms

TABLE = Path(__file__).parent / "tables" / "convolution.jsonl"
DIRECT = ("contiguous", "channels_last")


def measure_into(table: Path, count: int, seed: int) -> None:
    """Measure every way of so many drawn shapes and add them to the table."""
    from benchmarks.convolution import measure, paper_shapes
    from benchmarks.timing import prepare

    prepare(threads=1)
    for shape in paper_shapes(count, seed):
        ways = ("fft", "patches") if shape.first else ("fft",)
        values = [shape.images, shape.channels, shape.filters, shape.side, shape.taps]
        row = {"shape": values, **measure(shape, ways)}
        with table.open("a") as file:
            file.write(json.dumps(row) + "\n")


def fit(rows: list[dict[str, Any]]) -> dict[str, tuple[float, ...]]:
    """Return the constants, nanoseconds per unit, by non-negative least squares on ratios."""
    return {
        "direct": _fit("direct", [r for r in rows if r["shape"][1] > 1]),
        "direct, one channel": _fit("direct", [r for r in rows if r["shape"][1] == 1]),
        "patches": _fit("patches", [r for r in rows if "patches" in r]),
        "fft": _fit("fft", [r for r in rows if r["shape"][1] > 1]),
    }


def seconds(row: dict[str, Any], way: str) -> float:
    """Return a row's measured time; direct is torch's better layout."""
    return min(row[name] for name in DIRECT) if way == "direct" else float(row[way])


def _fit(way: Any, rows: list[dict[str, Any]]) -> tuple[float, ...]:
    work = np.array([terms(way, *row["shape"]) for row in rows])
    times = np.array([seconds(row, way) for row in rows]) * 1e9
    relative = work / times[:, None]
    size = relative.max(0)
    size[size == 0] = 1
    constants, _ = nnls(relative / size, np.ones(len(rows)))
    return tuple(float(f"{c:.4g}") for c in constants / size)


def report(rows: list[dict[str, Any]], costs: dict[str, tuple[float, ...]]) -> None:
    """Print the constants and what choosing by them gains and loses on the table."""
    say("COSTS = {")
    for name, constants in costs.items():
        say(f'    "{name}": {constants},')
    say("}")
    ratios = []
    for row in rows:
        first = row["shape"][1] == 1
        other = "patches" if first else "fft"
        names = {"direct": "direct, one channel" if first else "direct", other: other}
        estimate = {
            way: float(np.dot(costs[name], terms(way, *row["shape"])))  # type: ignore[arg-type]
            for way, name in names.items()
        }
        chosen = min(estimate, key=lambda way: estimate[way])
        ratios.append(seconds(row, chosen) / min(seconds(row, way) for way in names))
        direct = seconds(row, "direct") / seconds(row, chosen)
        say(f"{row['shape']}: {chosen} x {direct:.2f}, of the best {ratios[-1]:.2f}")
    say(f"{len(rows)} shapes: mean {np.mean(ratios):.3f} of the best, worst {max(ratios):.2f}")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure if asked, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", type=int, default=0, metavar="COUNT")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    if options.measure:
        measure_into(options.table, options.measure, options.seed)
    rows = [json.loads(line) for line in options.table.read_text().splitlines()]
    report(rows, fit(rows))


if __name__ == "__main__":
    main()
