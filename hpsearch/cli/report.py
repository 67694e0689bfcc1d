"""Commands that show results: the baselines and the report page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hpsearch.cli.bars import progress_bars
from hpsearch.cli.options import (
    BesideOption,
    DataOption,
    DatasetOption,
    JsonOption,
    StudyArgument,
)
from hpsearch.output import say, say_json, say_table
from hpsearch.wording import interval, percent


def baselines(
    data: DataOption = None,
    dataset: DatasetOption = None,
    json: JsonOption = False,
    beside: BesideOption = None,
) -> None:
    """Score pixels and untrained networks on the sealed tasks; the opening is logged."""
    from hpsearch.data.dataset import OMNIGLOT
    from hpsearch.scoring.baselines import PUBLISHED, measure_baselines, read_networks
    from hpsearch.sources.find import find_dataset

    with progress_bars() as progress:
        opened = find_dataset(dataset or "auto", data, progress=progress, test=True)
        networks = read_networks(beside or (), opened.fingerprint)
        found = measure_baselines(opened, progress)
    for key, measured in networks.items():
        unknown = {"name": PUBLISHED[key][0], "published": None}
        found[key] = {**found.get(key, unknown), **measured}
    if json:
        say_json(found)
        return
    if opened.notice:
        say(opened.notice, err=True)
    n_tasks = found["nearest_neighbour"]["n_tasks"]
    published = "published" if opened.kind in OMNIGLOT else ""
    head = f"one-shot accuracy, {n_tasks} {opened.kind} tasks"
    rows = [[head, "measured [95 %]", "AUC", published]]
    for entry in sorted(found.values(), key=_shown, reverse=True):
        figure, auc = "", ""
        if entry["accuracy"] is not None:
            figure = f"{percent(entry['accuracy'], 2):>7} {interval(entry['interval'])}"
            auc = f"{entry['verification_auc']:.3f}" + ("!" if entry["degenerate"] else "")
        known = "" if entry["published"] is None else percent(entry["published"])
        rows.append([f"  {entry['name']}", figure, auc, known])
    say_table(rows, "<<<>")
    say("AUC: of verification on same and different pairs; ! marks guessing, within 0.05 of 0.5")


def _shown(entry: dict[str, Any]) -> float:
    known = entry["published"] if entry["published"] is not None else entry["accuracy"]
    return float(known)


def report(
    study: StudyArgument,
    output: Annotated[Path | None, typer.Option(help="File [STUDY/report.html].")] = None,
    beside: BesideOption = None,
) -> None:
    """Write a study's report, one page that works offline; a search may be running."""
    from hpsearch.report import write_report
    from hpsearch.study.plan import find_begun

    path = write_report(find_begun(study), output, beside or ())
    say(f"{path}: {path.stat().st_size / 1e6:.1f} MB, open it in a browser")
