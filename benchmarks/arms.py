"""Three arms of the same search for the same time: the default, without pruning, random.

    python -m benchmarks.arms --hours 1 --workers 2 --data PATH

The same command continues after any stop. What each arm gave goes to docs/results/arms.json; the
page docs/internals/arms.md and its figure docs/images/arms.svg are made from that file, so arms
may be run on different days (`--arm NAME`), and --table only writes what there is.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpsearch.configfile import read_json
from hpsearch.errors import InputError
from hpsearch.interpreter import python_command
from hpsearch.intervals import wilson
from hpsearch.paths import StudyFolder, write_atomically
from hpsearch.report.figure import round_values
from hpsearch.results.pruning import pruning
from hpsearch.storage.view import StudyView, read_study

STUDY = "koch2015_35px"
ARMS: dict[str, tuple[str, ...]] = {
    "default": (),
    "without pruning": ("--pruner", "none"),
    "random, without pruning": ("--sampler", "random", "--pruner", "none"),
}
DOCS = Path(__file__).parents[1] / "docs"
RESULTS = Path("results") / "arms.json"
COLOURS = ("#1f77b4", "#d95f02", "#7570b3")
WIDTH, HEIGHT, MARGIN = 760, 380, 56


@dataclass(frozen=True)
class Trial:
    """What one trial of an arm gave.

    Args:
        state: Where it ended, as the dashboard names it.
        error: Its lowest validation error; None before an epoch has ended.
        epochs: Epochs trained.
        multiply_adds: Multiply-adds trained.
        trainable: False when it diverged, saturated or died.
    """

    state: str
    error: float | None
    epochs: int
    multiply_adds: float
    trainable: bool


@dataclass(frozen=True)
class Arm:
    """What one arm gave, as docs/results/arms.json keeps it.

    Args:
        hours: Time its driver was at work.
        workers: Trials at a time.
        seed: Of the study.
        tasks: Validation tasks behind each error.
        commit: The first trial's commit of hpsearch; None outside a checkout.
        trials: Its trials, in the order of their numbers.
        pruning: What its pruner did, as `Pruning.to_json` gives it.
    """

    hours: float
    workers: int
    seed: int
    tasks: int
    commit: str | None
    trials: tuple[Trial, ...]
    pruning: Mapping[str, Any]

    @classmethod
    def from_view(cls, view: StudyView, workers: int) -> Arm:
        """Read an arm off its study."""
        trials = tuple(
            Trial(
                t.state, t.value, len(t.values),
                float(view.attributes[t.number].get("multiply_adds", 0)), t.trainable,
            )
            for t in view.trials
        )  # fmt: skip
        found = pruning(view.trials, view.config).to_json()
        return cls(
            round(view.driver_seconds / 3600, 3), workers, view.config.seed,
            int(view.dataset.get("n_tasks", 320)), _commit(view.folder), trials, found,
        )  # fmt: skip

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Arm:
        """Read an arm as `asdict` wrote it."""
        return cls(**{**values, "trials": tuple(Trial(**t) for t in values["trials"])})


@dataclass(frozen=True)
class Step:
    """When the best error of a search fell to what: after so many multiply-adds trained."""

    compute: float
    error: float


def _commit(folder: StudyFolder) -> str | None:
    """Return the commit that the first trial's provenance names."""
    path = folder.trial(0).provenance
    return json.loads(path.read_bytes())[0].get("commit") if path.exists() else None


def folder_of(root: Path, arm: str) -> Path:
    """Return where an arm's study lies."""
    return root / arm.replace(", ", "-").replace(" ", "-")


def run_arm(arm: str, given: argparse.Namespace) -> int:
    """Run or continue one arm until its hours are spent; return the exit code."""
    command = [
        *python_command("hpsearch.cli.main", "search", STUDY), *ARMS[arm],
        "--hours", str(given.hours), "--workers", str(given.workers), "--seed", str(given.seed),
        "--device", "cpu", "--output", str(folder_of(given.output, arm)),
    ]  # fmt: skip
    if given.data:
        command += ["--data", str(given.data)]
    return subprocess.run(command, check=False).returncode


def steps(arm: Arm) -> list[Step]:
    """Return the falls of an arm's best error, trials in the order of their numbers."""
    found: list[Step] = []
    compute = 0.0
    for trial in arm.trials:
        compute += trial.multiply_adds
        better = not found or (trial.error or 1.0) < found[-1].error
        if trial.state == "complete" and trial.error is not None and better:
            found.append(Step(compute, trial.error))
    if found:
        found.append(Step(compute, found[-1].error))
    return found


def row(name: str, arm: Arm) -> str:
    """Return an arm's row of the table."""
    states = [t.state for t in arm.trials]
    errors = [t.error for t in arm.trials if t.state == "complete" and t.error is not None]
    figure = "-"
    if errors:
        low, high = wilson(min(errors), arm.tasks)
        figure = f"{min(errors):.3f} [{low:.3f}, {high:.3f}] on {arm.tasks} tasks"
    found = arm.pruning
    lost = "unknown" if found["interval"] is None else f"{found['lost']} of {found['audited']}"
    saved = f"{found['epochs_saved'] - found['epochs_spent']:.0f} ({found['share_saved']:.0%})"
    finished = sum(states.count(state) for state in ("complete", "pruned", "failed"))
    untrainable = sum(not t.trainable for t in arm.trials)
    return (
        f"| {name} | {arm.hours:.2f} | {finished} | {states.count('complete')} "
        f"| {found['pruned']} | {untrainable} | {states.count('failed')} "
        f"| {sum(t.epochs for t in arm.trials)} | {saved} | {lost} | {figure} |"
    )


def page(arms: Mapping[str, Arm]) -> str:
    """Return the page: one row an arm, and the command that made it."""
    first = next(iter(arms.values()))
    commits = sorted({arm.commit[:7] for arm in arms.values() if arm.commit})
    return "\n".join(
        [
            f"# Arms of `{STUDY}`",
            "",
            f"Made by `python -m benchmarks.arms --workers {first.workers} --seed {first.seed}` "
            f"on the real Omniglot (commit {', '.join(commits) or 'unknown'}; trial by trial in "
            "results/arms.json). One seed, so differences between arms of less than the intervals "
            "say nothing. The best error is that of the search, unconfirmed: the best of several "
            "looks better than it is, the more so the more there were.",
            "",
            "| arm | hours | trials finished | complete | pruned | could not be trained | failed "
            "| epochs trained | epochs saved | pruned winners (audits) | best validation error |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
            *(row(name, arm) for name, arm in arms.items()),
            "",
            "![best validation error by compute](../images/arms.svg)",
            "",
        ]
    )


def curves(arms: Mapping[str, Arm]) -> str:
    """Return an SVG: each arm's best error by multiply-adds trained, and a dot for every trial."""
    most = (
        max((sum(t.multiply_adds for t in arm.trials) for arm in arms.values()), default=0) or 1.0
    )
    errors = [t.error for arm in arms.values() for t in arm.trials if t.error is not None]
    low = 0.1 * math.floor(10 * min(errors, default=0.0))

    def place(compute: float, error: float) -> tuple[float, float]:
        x = MARGIN + compute / most * (WIDTH - 2 * MARGIN)
        return x, HEIGHT - MARGIN - (error - low) / (1 - low) * (HEIGHT - 2 * MARGIN)

    ticks = [round(low + 0.1 * k, 1) for k in range(round((1 - low) / 0.1) + 1)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        *(
            f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{MARGIN - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
            for tick in ticks
            for _, y in (place(0, tick),)
        ),
        *(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}" stroke="#888"/>'
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>'
            for tick in round_values(0, most, log=False)
            for x, bottom in (place(tick, low),)
        ),
        f'<text x="{MARGIN}" y="{HEIGHT - 8}">multiply-adds trained</text>',
        f'<text x="{MARGIN}" y="{MARGIN - 30}">validation error: best complete trial so far (line)'
        ", every trial (dot, hollow: not complete)</text>",
    ]
    for number, (name, arm) in enumerate(arms.items()):
        colour, compute = COLOURS[number % len(COLOURS)], 0.0
        for trial in arm.trials:
            compute += trial.multiply_adds
            if trial.error is not None:
                x, y = place(compute, trial.error)
                fill = colour if trial.state == "complete" else "white"
                parts.append(
                    f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{fill}" stroke="{colour}"/>'
                )
        line, previous = [], None
        for step in steps(arm):
            if previous is not None:
                line.append(place(step.compute, previous.error))
            line.append(place(step.compute, step.error))
            previous = step
        if line:
            path = " L ".join(f"{x:.1f} {y:.1f}" for x, y in line)
            parts.append(f'<path d="M {path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<text x="{WIDTH - MARGIN}" y="{MARGIN + 18 * number - 8}" text-anchor="end" '
            f'fill="{colour}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def recorded(docs: Path) -> dict[str, Arm]:
    """Return the arms that docs/results/arms.json holds, in the order of `ARMS`."""
    path = docs / RESULTS
    found = read_json(path) if path.exists() else {}
    return {name: Arm.from_json(found[name]) for name in ARMS if name in found}


def write(given: argparse.Namespace) -> bool:
    """Record the arms that lie under the output and write the page; say whether there is any."""
    docs = given.docs
    arms = recorded(docs)
    for name in ARMS:
        try:
            view = read_study(StudyFolder(folder_of(given.output, name)))
        except InputError:
            continue
        arms[name] = Arm.from_view(view, given.workers)
    arms = {name: arms[name] for name in ARMS if name in arms}
    if arms:
        values = {name: asdict(arm) for name, arm in arms.items()}
        write_atomically(docs / RESULTS, json.dumps(values, indent=1) + "\n")
        write_atomically(docs / "internals" / "arms.md", page(arms))
        write_atomically(docs / "images" / "arms.svg", curves(arms))
    return bool(arms)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the arms one after the other and write what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="Omniglot's zips or folders")
    parser.add_argument("--hours", type=float, default=1.0, help="of each arm")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/arms"))
    parser.add_argument(
        "--arm", action="append", choices=list(ARMS), help="only this one; repeatable"
    )
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page is written")
    parser.add_argument("--table", action="store_true", help="only write what is there")
    given = parser.parse_args(arguments)
    code = 0
    for arm in () if given.table else given.arm or ARMS:
        code = run_arm(arm, given)
        write(given)
        if code:
            return code
    if given.table and not write(given):
        sys.stderr.write(f"{given.output}: no arm has begun; leave --table out\n")
        return 2
    return code


if __name__ == "__main__":
    sys.exit(main())
