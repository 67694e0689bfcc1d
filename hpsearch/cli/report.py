"""Commands that show results: the baselines and the report page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

DataOption = Annotated[Path | None, typer.Option(help="Omniglot's zips or folders, or images.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def baselines(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Score nearest neighbour and Hausdorff distance on the sealed tasks; opens them, logged."""
    from hpsearch.data import find_dataset
    from hpsearch.results.baselines import measure_baselines

    with _progress_bars() as progress:
        dataset = find_dataset("auto", data, progress=progress)
        found = measure_baselines(dataset, progress)
    if as_json:
        typer.echo(json.dumps(found))
        return
    if dataset.notice:
        typer.echo(dataset.notice, err=True)
    n_tasks = found["nearest_neighbour"]["n_tasks"]
    head = f"one-shot accuracy, {n_tasks} {dataset.kind} tasks"
    published = "published" if dataset.kind == "omniglot" else ""
    typer.echo(f"{head:46} {'measured [95 %]':26} {published}".rstrip())
    for entry in sorted(found.values(), key=_shown, reverse=True):
        measured = ""
        if entry["accuracy"] is not None:
            low, high = entry["interval"]
            measured = f"{entry['accuracy']:6.2%} [{low:.1%}, {high:.1%}]"
        beside = "" if entry["published"] is None else f"{entry['published']:6.1%}"
        typer.echo(f"  {entry['name']:44} {measured:26} {beside}".rstrip())


def _shown(entry: dict[str, Any]) -> float:
    known = entry["published"] if entry["published"] is not None else entry["accuracy"]
    return float(known)


@contextmanager
def _progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield what shows progress bars on a terminal's stderr, and nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        shown: dict[str, Any] = {}

        def progress(label: str, done: int, total: int) -> None:
            if label not in shown:
                shown[label] = bars.add_task(label)
            bars.update(shown[label], completed=done, total=total)

        yield progress


def report(
    study: Annotated[str, typer.Argument(help="A study's folder, file or shipped name.")],
    output: Annotated[Path | None, typer.Option(help="File [STUDY/report.html].")] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of another study; its evaluated model joins the accuracies."),
    ] = None,
) -> None:
    """Write one page about a study that needs no network; a search may be at work."""
    from hpsearch.results.report import write_report
    from hpsearch.search.study_folder import find_study

    path = write_report(find_study(study), output, beside or ())
    typer.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB, open it in a browser")


COMMANDS: tuple[Callable[..., Any], ...] = (baselines, report)
