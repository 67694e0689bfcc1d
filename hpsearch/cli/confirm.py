"""The command that confirms a study's best: trains the best few again and writes a certificate."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hpsearch.errors import InputError
from hpsearch.paths import shell_word


def confirm(
    study: Annotated[str, typer.Argument(help="A study's folder, file or shipped name.")],
    top: Annotated[int, typer.Option(min=2, max=50, help="Best trials to train again.")] = 5,
    seeds: Annotated[int, typer.Option(min=2, max=100, help="Fresh seeds of each.")] = 3,
    workers: Annotated[int | None, typer.Option(min=1, help="Trainings at once.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Train the best trials again with fresh seeds, on fresh tasks; the same command continues."""
    from json import dumps

    from hpsearch.app.executors import find_workplace
    from hpsearch.app.search import Caught, held_dataset, interrupts
    from hpsearch.cli.bars import forecast_bar, say
    from hpsearch.output import unwaited
    from hpsearch.results.certificate import certify, write_certificate
    from hpsearch.results.confirmation import Confirmation, Run, best_trials, read_run
    from hpsearch.storage.database import read_study
    from hpsearch.study.data_check import check_study_data
    from hpsearch.study.plan import find_study, plan_study, study_lock

    folder = find_study(study)
    view = read_study(folder)
    changes = {k: v for k, v in {"workers": workers, "device": device}.items() if v is not None}
    plan = plan_study(str(folder.root), None, changes)
    candidates = best_trials(view, top)
    runs = [Run(t.number, place) for place in range(seeds) for t in candidates]

    def tell(text: str) -> None:
        say(text, err=json)

    with study_lock(folder, "hpsearch confirm"):
        dataset = held_dataset(plan, lambda text: say(text, err=True))
        check_study_data(plan, dataset)
        packed = dataset.folder.resolve()
        tell(
            f"{view.name}: training the best {len(candidates)} of "
            f"{sum(t.state == 'complete' for t in view.trials)} complete trials with {seeds} fresh "
            "seeds each"
        )
        executor, caught = find_workplace(plan).make(), Caught()
        try:
            shown = sys.stderr if json else sys.stdout
            with (
                unwaited(shown, lambda: caught.count),
                interrupts(caught),
                forecast_bar("confirming") as bar,
            ):
                work = Confirmation(view, runs, packed, executor, tell, lambda: caught.count, bar)
                complete = work.train()
        finally:
            executor.close()
        if not complete:
            tell("the same command continues")
            return 128 + caught.signal
        found = {run: read_run(folder.confirmation, run) for run in runs}
        if missing := [run for run, result in found.items() if result is None]:
            raise InputError(
                f"{folder.confirmation / missing[0].name}: its result cannot be read back; run the "
                "same command again"
            )
        of_trial: dict[int, list[Mapping[str, Any]]] = {t.number: [] for t in candidates}
        for run, result in found.items():
            if result is not None:
                of_trial[run.trial].append(result)
        certificate = certify(view, candidates, of_trial)
        write_certificate(folder, certificate)
    if json:
        typer.echo(dumps(certificate))
    else:
        print_certificate(certificate, folder.root)
    return 0


def print_certificate(certificate: Mapping[str, Any], root: Path) -> None:
    """Print a certificate for a person."""
    from rich.table import Table

    from hpsearch.cli.console import make_console
    from hpsearch.results.certificate import in_words
    from hpsearch.wording import interval, percent, points

    typer.echo(in_words(certificate))
    one = certificate["interval_one_training"]
    typer.echo(f"  one more training of it falls within {interval(one)} %")
    if other := certificate["interval_other_alphabets"]:
        typer.echo(f"  on other alphabets like these: {interval(other)} %")
    optimism = certificate["optimism"]
    more = ", other drawers and the choice of the best epoch the rest"
    away, ends = optimism["measured"], optimism["interval"]
    figure = (
        f"the search's figure for trial {optimism['trial']}, {percent(optimism['search_error'])},"
    )
    typer.echo(
        f"  {figure} is {points(-away)} from the truth {interval([-ends[1], -ends[0]])}; luck among "
        f"{optimism['trials']} trials explains {points(-optimism['luck'])}"
        f"{more if away > optimism['luck'] else ''}"
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("trial", "search", "again", "shrunken", "95 %", "P(best)", "behind the first"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in certificate["candidates"]:
        error = 100 * row["behind_best_se"]
        behind = f"{points(row['behind_best'])} (standard error {error:.1f})"
        table.add_row(
            str(row["trial"]),
            percent(row["search_error"]),
            percent(row["mean"]),
            percent(row["error"]),
            interval(row["interval"]),
            percent(row["probability_best"], 0),
            "-" if row["trial"] == certificate["trial"] else behind,
        )
    make_console().print(table)
    typer.echo(f"{root / 'certificate.json'}: written; next: hpsearch export {shell_word(root)}")


COMMANDS: tuple[Callable[..., Any], ...] = (confirm,)
