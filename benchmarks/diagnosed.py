"""What a diagnosis costs: trains the trials it ended in a recorded table once more, to their end.

    python -m benchmarks.diagnosed STUDY --table FILE --data PATH

appends one line a trial to benchmarks/tables/diagnosed.jsonl (continuable), and says how many of
the trials in the better half of the table a diagnosis ended, and how many before their best epoch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.design import Design
from benchmarks.record import Recorder
from benchmarks.table import COMPLETE, RecordedTrial, read_table
from hpsearch.intervals import wilson
from hpsearch.study.plan import plan_study

LINES = Path(__file__).parent / "tables" / "diagnosed.jsonl"
ROUNDING = 1e-5
"""Errors in a table have six digits."""


@dataclass(frozen=True)
class Again:
    """A trial that a diagnosis ended, trained again without.

    Args:
        table: The table's name.
        trial: Its number there.
        outcome: The diagnosis.
        epochs: Epochs after which it came.
        error: Lowest validation error until then.
        error_without: Lowest validation error of the whole training.
        epochs_without: Epochs of that; fewer than the study's where numbers left the finite.
    """

    table: str
    trial: int
    outcome: str
    epochs: int
    error: float
    error_without: float
    epochs_without: int


def better_half(trials: Sequence[RecordedTrial], again: Sequence[Again]) -> tuple[int, int, int]:
    """Count the trials of a table that end in its better half, and what the diagnosis did to them.

    Args:
        trials: The table's trials.
        again: The diagnosed ones, trained to their end; their errors there count.

    Returns:
        Trials in the better half; those of them that a diagnosis ended; those of these that would
        have had a lower error later, so that the diagnosis lost something.
    """
    ends = {t.trial: t.best for t in trials} | {a.trial: a.error_without for a in again}
    middle = statistics.median(ends.values())
    ended = [a for a in again if a.error_without < middle]
    lost = sum(a.error_without < a.error - ROUNDING for a in ended)
    return sum(error < middle for error in ends.values()), len(ended), lost


def read_lines(table: str, path: Path = LINES) -> list[Again]:
    """Return what has been trained again of a table."""
    if not path.exists():
        return []
    found = [Again(**json.loads(line)) for line in path.read_text().splitlines()]
    return [again for again in found if again.table == table]


def main() -> None:
    """Train what is missing, then say the share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", help="the study file that the table was recorded with")
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="as for hpsearch search")
    parser.add_argument("--share", default="1/1", help="K/N: every N-th trial, from the K-th on")
    given = parser.parse_args()
    plan = plan_study(given.study, Path("build/record"), {"trial.stop_untrainable": False})
    name = given.table.name.partition(".")[0]
    trials = read_table(given.table, plan.space).trials
    first, every = (int(part) for part in given.share.split("/"))
    ended = [t for t in trials if t.outcome != COMPLETE][first - 1 :: every]
    design = Design(plan.problem, plan.config)
    recorder: Recorder | None = None
    for trial in ended:
        if any(again.trial == trial.trial for again in read_lines(name)):
            continue
        recorder = recorder or Recorder(plan.config, given.data)
        found = recorder.record(
            trial.trial, design.params(trial.trial), design.trial_seed(trial.trial)
        )
        ran, whole = len(trial.errors), len(found.errors)
        again = Again(name, trial.trial, trial.outcome, ran, trial.best, found.best, whole)
        with LINES.open("a") as file:
            file.write(json.dumps(asdict(again)) + "\n")
        sys.stdout.write(
            f"trial {again.trial}: {again.error:.3f}, {again.error_without:.3f} without\n"
        )
        sys.stdout.flush()
    better, ended_early, lost = better_half(trials, read_lines(name))
    low, high = wilson(lost / better, better)
    sys.stdout.write(
        f"of the {better} trials in the better half {ended_early} ended by a diagnosis, {lost} of "
        f"them before their lowest error: {lost / better:.1%} [{low:.1%}, {high:.1%}]\n"
    )


if __name__ == "__main__":
    main()
