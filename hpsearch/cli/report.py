"""Commands that show results: the baselines and the report page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from hpsearch.cli.bars import progress_bars
from hpsearch.wording import interval, percent

DataOption = Annotated[Path | None, typer.Option(help="Omniglot's zips or folders, or images.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def baselines(
    data: DataOption = None,
    as_json: JsonOption = False,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of a study; its evaluated model is the siamese net of its kind."
        ),
    ] = None,
) -> None:
    """Score pixels and networks that know nothing on the sealed tasks; opens them, logged."""
    from hpsearch.results.baselines import PUBLISHED, measure_baselines, read_networks
    from hpsearch.sources.find import find_dataset

    with progress_bars() as progress:
        dataset = find_dataset("auto", data, progress=progress, test=True)
        networks = read_networks(beside or (), dataset.fingerprint)
        found = measure_baselines(dataset, progress)
    for key, measured in networks.items():
        unknown = {"name": PUBLISHED[key][0], "published": None}
        found[key] = {**found.get(key, unknown), **measured}
    if as_json:
        typer.echo(json.dumps(found))
        return
    if dataset.notice:
        typer.echo(dataset.notice, err=True)
    n_tasks = found["nearest_neighbour"]["n_tasks"]
    head = f"one-shot accuracy, {n_tasks} {dataset.kind} tasks"
    published = "published" if dataset.kind == "omniglot" else ""
    typer.echo(f"{head:46} {'measured [95 %]':22} {'AUC':7} {published}".rstrip())
    for entry in sorted(found.values(), key=_shown, reverse=True):
        figure, auc = "", ""
        if entry["accuracy"] is not None:
            figure = f"{percent(entry['accuracy'], 2):>7} {interval(entry['interval'])}"
            auc = f"{entry['verification_auc']:.3f}" + ("!" if entry["degenerate"] else "")
        known = "" if entry["published"] is None else f"{percent(entry['published']):>7}"
        typer.echo(f"  {entry['name']:44} {figure:22} {auc:7} {known}".rstrip())
    typer.echo(
        "AUC: of telling same pairs from different ones; ! marks guessing, within 0.05 of 0.5"
    )


def _shown(entry: dict[str, Any]) -> float:
    known = entry["published"] if entry["published"] is not None else entry["accuracy"]
    return float(known)


def report(
    study: Annotated[str, typer.Argument(help="A study's folder, file or shipped name.")],
    output: Annotated[Path | None, typer.Option(help="File [STUDY/report.html].")] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of another study; its evaluated model joins the accuracies."),
    ] = None,
) -> None:
    """Write one page about a study that needs no network; a search may be at work."""
    from hpsearch.report import write_report
    from hpsearch.study.plan import find_study

    path = write_report(find_study(study), output, beside or ())
    typer.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB, open it in a browser")


COMMANDS: tuple[Callable[..., Any], ...] = (baselines, report)
