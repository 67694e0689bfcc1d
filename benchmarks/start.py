"""Trains the first trials that a start proposes: `python -m benchmarks.start STUDY`.

Each start's first points are trained to their end, unpruned, in turn, so that they can be compared
before any model has learnt. The middle of the search space is one point and is trained with as
many seeds. Continuable. One thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from benchmarks.record import Recorder
from hpsearch.intervals import wilson
from hpsearch.samplers.config import BLIND
from hpsearch.samplers.suggest import suggest
from hpsearch.seeding import derive_seed
from hpsearch.study.config import SamplerConfig
from hpsearch.study.plan import plan_study

MIDDLE = "middle"
STARTS = (*BLIND, MIDDLE)


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", help="study file: space, trial, limits and dataset")
    parser.add_argument("--trials", type=int, default=30, help="trials of each start")
    parser.add_argument("--starts", nargs="*", choices=STARTS, default=STARTS, help="only these")
    parser.add_argument("--data", type=Path, help="as for hpsearch search")
    parser.add_argument("--output", type=Path, default=Path("build/start.jsonl"))
    options = parser.parse_args()
    plan = plan_study(options.study, Path("build/start"), {})
    config = plan.config
    problem = plan.problem
    recorder = Recorder(config, options.data)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    known = read(options.output)
    for number in range(options.trials):
        for start in options.starts:
            if (start, number) in known:
                continue
            name, place = ("recentred", 0) if start == MIDDLE else (start, number)
            params = suggest(problem, SamplerConfig(name=name), [], config.seed, place)
            seed = derive_seed(config.seed, "start", start, number) % 2**32
            trial = recorder.record(number, params, seed)
            row = {"start": start, "trial": number, "outcome": trial.outcome, "error": trial.best}
            with options.output.open("a") as file:
                file.write(json.dumps(row) + "\n")
            known[start, number] = row
            tell(row)
    sys.stdout.write(table(list(known.values())))


def read(path: Path) -> dict[tuple[str, int], dict[str, object]]:
    """Return the rows of a file by start and trial; none where there is no file."""
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines]
    return {(row["start"], row["trial"]): row for row in rows}


def tell(row: dict[str, object]) -> None:
    """Print a trial as it ends."""
    sys.stdout.write(f"{row['start']} {row['trial']}: {row['outcome']}, {row['error']:.3f}\n")
    sys.stdout.flush()


def table(rows: list[dict[str, object]]) -> str:
    """Return median and best error of each start, and its share in the best quarter of all."""
    errors: dict[str, list[float]] = {}
    for row in rows:
        whole = row["outcome"] == "complete"
        errors.setdefault(str(row["start"]), []).append(float(str(row["error"])) if whole else 1.0)
    every = [e for values in errors.values() for e in values]
    quarter = statistics.quantiles(every, n=4)[0]
    lines = ["| start | trials | untrainable | best | median | among the best quarter of all |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for start, values in sorted(errors.items()):
        among = sum(value <= quarter for value in values)
        low, high = wilson(among / len(values), len(values))
        lines.append(
            f"| `{start}` | {len(values)} | {sum(v == 1.0 for v in values)} | {min(values):.3f} | "
            f"{statistics.median(values):.3f} | {among / len(values):.2f} "
            f"({low:.2f} to {high:.2f}) |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
