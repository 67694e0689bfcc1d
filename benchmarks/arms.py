"""Three arms of the same search for the same time: the default, without pruning, random.

    python -m benchmarks.arms --hours 1 --workers 2 --data PATH

The same command continues after any stop, writes docs/arms.md and docs/images/arms.svg from what
is there, and with --table only writes them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder, write_atomically
from hpsearch.results.intervals import wilson
from hpsearch.results.pruning import pruning
from hpsearch.search.history import best_trial
from hpsearch.search.record import StudyView, read_study

STUDY = "koch2015_35px"
ARMS: dict[str, tuple[str, ...]] = {
    "default": (),
    "without pruning": ("--pruner", "none"),
    "random, without pruning": ("--sampler", "random", "--pruner", "none"),
}
DOCS = Path(__file__).parents[1] / "docs"
COLOURS = ("#1f77b4", "#d95f02", "#7570b3")
WIDTH, HEIGHT, MARGIN = 760, 380, 56


@dataclass(frozen=True)
class Step:
    """When the best error of a search fell to what: after so many multiply-adds trained."""

    compute: float
    error: float


def folder_of(root: Path, arm: str) -> Path:
    """Return where an arm's study lies."""
    return root / arm.replace(", ", "-").replace(" ", "-")


def run_arm(arm: str, given: argparse.Namespace) -> int:
    """Run or continue one arm until its hours are spent; return the exit code."""
    command = [
        sys.executable, "-m", "hpsearch.cli.main", "search", STUDY, *ARMS[arm],
        "--hours", str(given.hours), "--workers", str(given.workers), "--seed", str(given.seed),
        "--device", "cpu", "--output", str(folder_of(given.output, arm)),
    ]  # fmt: skip
    if given.data:
        command += ["--data", str(given.data)]
    return subprocess.run(command, check=False).returncode


def steps(view: StudyView) -> list[Step]:
    """Return the falls of a study's best error, trials in the order of their numbers."""
    found: list[Step] = []
    compute = 0.0
    for trial in view.trials:
        compute += float(view.attributes[trial.number].get("multiply_adds", 0))
        better = not found or (trial.value or 1.0) < found[-1].error
        if trial.state == "complete" and trial.value is not None and better:
            found.append(Step(compute, trial.value))
    if found:
        found.append(Step(compute, found[-1].error))
    return found


def table(views: dict[str, StudyView], given: argparse.Namespace) -> str:
    """Return the page: one row an arm, and the command that made it."""
    rows = []
    for arm, view in views.items():
        states = [t.state for t in view.trials]
        best = best_trial(view.trials)
        figure = "-"
        if best is not None and best.value is not None:
            tasks = int(view.dataset.get("n_tasks", 320))
            low, high = wilson(best.value, tasks)
            figure = f"{best.value:.3f} [{low:.3f}, {high:.3f}] on {tasks} tasks"
        found = pruning(view.trials, view.config)
        untrainable = sum(not t.trainable for t in view.trials)
        trained = sum(len(t.values) for t in view.trials)
        lost = "unknown" if found.share_lost is None else f"{found.lost} of {found.audited}"
        saved = f"{found.epochs_saved - found.epochs_spent:.0f} ({found.share_saved:.0%})"
        rows.append(
            f"| {arm} | {view.driver_seconds / 3600:.2f} | {sum(t.finished for t in view.trials)} "
            f"| {states.count('complete')} | {found.pruned} | {untrainable} "
            f"| {states.count('failed')} | {trained} | {saved} | {lost} | {figure} |"
        )
    return "\n".join(
        [
            f"# Three arms of `{STUDY}`",
            "",
            f"Made by `python -m benchmarks.arms --hours {given.hours:g} --workers {given.workers} "
            f"--seed {given.seed}`; one seed, so differences between arms of less than the "
            "intervals say nothing. The best error is that of the search, unconfirmed: the best "
            "of several looks better than it is.",
            "",
            "| arm | hours | trials finished | complete | pruned | could not be trained | failed "
            "| epochs trained | epochs saved | pruned winners (audits) | best validation error |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
            *rows,
            "",
            "![best validation error by compute](images/arms.svg)",
            "",
        ]
    )


def curves(arms: dict[str, list[Step]]) -> str:
    """Return an SVG of each arm's best validation error against the multiply-adds trained."""
    most = max((s[-1].compute for s in arms.values() if s), default=1.0) or 1.0
    low = min((s[-1].error for s in arms.values() if s), default=0.0)
    high = max((s[0].error for s in arms.values() if s), default=1.0)
    span = max(high - low, 1e-3)

    def place(compute: float, error: float) -> str:
        x = MARGIN + compute / most * (WIDTH - 2 * MARGIN)
        y = HEIGHT - MARGIN - (error - low) / span * (HEIGHT - 2 * MARGIN)
        return f"{x:.1f} {y:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<path d="M {place(0, high)} L {place(0, low)} L {place(most, low)}" fill="none" '
        'stroke="#888"/>',
        f'<text x="{MARGIN}" y="{HEIGHT - 16}">multiply-adds trained, up to {most:.2g}</text>',
        f'<text x="8" y="{MARGIN - 20}">best validation error, {low:.3f} to {high:.3f}</text>',
    ]
    for number, (arm, found) in enumerate(arms.items()):
        colour = COLOURS[number % len(COLOURS)]
        line, previous = [], None
        for step in found:
            if previous is not None:
                line.append(place(step.compute, previous.error))
            line.append(place(step.compute, step.error))
            previous = step
        if line:
            path = " L ".join(line)
            parts.append(f'<path d="M {path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<text x="{WIDTH - 230}" y="{MARGIN + 18 * number}" fill="{colour}">{arm}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def write(given: argparse.Namespace, docs: Path = DOCS) -> bool:
    """Write the page and its figure from the arms that have begun; say whether any has."""
    views = {}
    for arm in ARMS:
        try:
            views[arm] = read_study(StudyFolder(folder_of(given.output, arm)))
        except InputError:
            continue
    if views:
        write_atomically(docs / "arms.md", table(views, given))
        figure = curves({arm: steps(view) for arm, view in views.items()})
        write_atomically(docs / "images" / "arms.svg", figure)
    return bool(views)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the arms one after the other and write what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="Omniglot's zips or folders")
    parser.add_argument("--hours", type=float, default=1.0, help="of each arm")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/arms"))
    parser.add_argument("--table", action="store_true", help="only write what is there")
    given = parser.parse_args(arguments)
    code = 0
    for arm in () if given.table else ARMS:
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
