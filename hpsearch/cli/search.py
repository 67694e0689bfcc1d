"""Commands about a study: search, status, list, trials, copy, migrate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import (
    DataOption,
    DeviceOption,
    JsonOption,
    StudyArgument,
    TrustOption,
    open_study,
)
from hpsearch.errors import HpsearchError, InputError, one_line
from hpsearch.output import say, say_json
from hpsearch.paths import shell_word
from hpsearch.wording import count, figure, in_states

if TYPE_CHECKING:
    from hpsearch.storage.view import StudyView
    from hpsearch.trial import TrialRecord


def search(
    study: Annotated[
        str | None,
        typer.Argument(
            help="A study's folder, file or shipped name [own for own images, else quickstart]."
        ),
    ] = None,
    data: DataOption = None,
    trials: Annotated[
        int | None, typer.Option(help="Finished trials after which the study ends.")
    ] = None,
    hours: Annotated[float | None, typer.Option(help="Hours of work after which it ends.")] = None,
    workers: Annotated[int | None, typer.Option(help="Number of parallel trials.")] = None,
    device: DeviceOption = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="A network trained on photographs, e.g. efficientnet-lite0."),
    ] = None,
    executor: Annotated[str | None, typer.Option(help="local or ray.")] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster, HOST:PORT or auto; implies ray.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="sqlite, or postgresql://[USER@]HOST[:PORT]/DATABASE.")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="Sampler by name [bayes].")] = None,
    pruner: Annotated[str | None, typer.Option(help="Pruner by name [expected].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the study file, KEY=VALUE.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="A study whose trials the sampler learns from.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The study's folder [runs/STUDY].")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and print the plan; run nothing.")
    ] = False,
    trust: TrustOption = False,
) -> int:
    """Start a search; the same command continues it."""
    changes: dict[str, Any] = {
        "budget.trials": trials,
        "budget.hours": hours,
        "workers": workers,
        "device": device,
        "trial.backbone.name": backbone,
        "executor": executor or ("ray" if address else None),
        "address": address,
        "storage": storage,
        "sampler.name": sampler,
        "pruner.name": pruner,
        "seed": seed,
        "warm_start.study": from_,
    }
    given = {key: value for key, value in changes.items() if value is not None}
    from hpsearch.app.search import run_search
    from hpsearch.cli.live import live_view
    from hpsearch.study.default_study import default_study

    given |= _settings(set_ or [])
    study = study or default_study(data, output, backbone)
    return run_search(study, data, given, output, live_view, dry_run=dry_run, trust=trust)


def _settings(entries: list[str]) -> dict[str, Any]:
    """Read KEY=VALUE entries; the value is read as YAML."""
    from hpsearch.configfile import parse_yaml

    settings = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {entry}: write KEY=VALUE, e.g. trial.max_epochs=5")
        parsed = parse_yaml(os.fsencode(f"value: {value}"), f"--set {entry}")
        settings[key.strip()] = parsed["value"]
    return settings


def status(study: StudyArgument, json: JsonOption = False) -> None:
    """Show the state of a study."""
    from collections import Counter

    from hpsearch.app.watch import forecast_line
    from hpsearch.confirm.certificate import as_shown, best_of
    from hpsearch.confirm.front import expected_json, front_json, front_lines
    from hpsearch.data.dataset import in_words
    from hpsearch.driver.stopping import forecast_study, why_over
    from hpsearch.maintenance.at_work import STATES, standings
    from hpsearch.results.best import best_in_words
    from hpsearch.results.pruning import pruning

    view = open_study(study)
    pruned, over = pruning(view.trials, view.config), why_over(view)
    counts = Counter(standings(view).values())
    best, certificate = best_of(view)
    if json:
        found = best and {
            "trial": best.number,
            **_values(view, best),
            "params": dict(best.params),
            "confirmed": certificate is not None,
            **({"certificate": as_shown(certificate)} if certificate else {}),
        }
        trials = {state: counts[state] for state in STATES}
        head = {"study": view.name, "dataset": view.dataset["kind"], "trials": trials}
        fronts: dict[str, Any] = {}
        if view.config.goals.several:
            fronts = {"front": front_json(view), "front_posterior": expected_json(view)}
        say_json({**head, "best": found, **fronts, "pruning": pruned.to_json(), "over": over})
        return
    say(f"{view.name} on {in_words(view.dataset['kind'])}, in {view.folder.root}")
    interrupted = counts["interrupted"]
    it = "it" if interrupted == 1 else "them"
    also = f", {interrupted} interrupted (the same search continues {it})" if interrupted else ""
    say(in_states(counts, STATES[:-1]) + also)
    causes = Counter((t.cause or "").split(":")[0] for t in view.trials if not t.trainable)
    if causes:
        kinds = ", ".join(f"{number} {kind}" for kind, number in causes.most_common())
        say(f"not trainable, among the pruned: {kinds}")
    if pruned.pruned or pruned.audited:
        say(pruned.sentence())
    if over:
        say(f"over: {over}")
    elif left := forecast_line(forecast_study(view)):
        say(left)
    hint = " (the best of several looks better than it is)" if best and not certificate else ""
    several = view.config.goals.several
    say(best_in_words(view) + ("" if several else hint))
    for line in front_lines(view) if several else ():
        say(line)
    if several:
        return
    for name, value in best.params.items() if best else ():
        say(f"  {name:24} {figure(value, 3)}")


def _values(view: StudyView, best: TrialRecord) -> dict[str, float | None]:
    """Return the best trial's value; the siamese trainer's also under its older key."""
    value = None if best.value is None else view.config.shown.of(best.value)
    older = {"validation_error": best.value} if view.config.shown.share else {}
    return {"value": value, **older}


def list_studies(
    folder: Annotated[Path, typer.Argument(help="The folder of the studies.")] = Path("runs"),
) -> None:
    """List shipped studies and those found in a folder."""
    from hpsearch.data.dataset import in_words
    from hpsearch.maintenance.at_work import standings
    from hpsearch.results.best import best_in_words
    from hpsearch.shipped_files import shipped_names

    say("shipped: " + ", ".join(shipped_names("studies")))
    for path in sorted(folder.glob("*/study.yaml")) if folder.is_dir() else []:
        try:
            view = open_study(str(path.parent))
            found, data = best_in_words(view), in_words(view.dataset["kind"])
            left = sum(standing == "interrupted" for standing in standings(view).values())
        except HpsearchError as error:  # includes a server that does not answer
            say(f"{path.parent}: {error}")
            continue
        done = count(sum(t.finished for t in view.trials), "trial")
        stopped = f", {left} interrupted" if left else ""
        say(f"{path.parent}: {view.name} on {data}, {done} finished{stopped}; {found}")


list_studies.__name__ = "list"


def trials(
    study: StudyArgument, csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False
) -> None:
    """List a study's trials."""
    import csv as csv_module
    import io

    from hpsearch.confirm.certificate import best_of, confirmed_errors
    from hpsearch.maintenance.at_work import standings

    view = open_study(study)
    standing, shown = standings(view), view.config.shown
    if not csv:
        again = confirmed_errors(best_of(view)[1])
        for t in view.trials:
            value = "-" if t.value is None else shown.text(t.value, 2)
            sure = f"confirmed {again[t.number]}" if t.number in again else ""
            told = "; ".join(text for text in (sure, one_line(t.cause or "")) if text)
            epochs = count(len(t.values), shown.step)
            say(f"{t.number:5} {standing[t.number]:11} {value:>8} {epochs:>10}  {told}".rstrip())
        return
    names = list(dict.fromkeys(name for t in view.trials for name in t.params))
    keys = ("validation_error", "epochs") if shown.share else (shown.name, "steps")
    rows: list[list[Any]] = [["trial", "state", *keys, *names, "cause"]]
    for t in view.trials:
        params = [t.params.get(name, "") for name in names]
        held = None if t.value is None else shown.of(t.value)
        rows.append([t.number, standing[t.number], held, len(t.values), *params, t.cause or ""])
    text = io.StringIO()
    csv_module.writer(text).writerows([_cell(value) for value in row] for row in rows)
    say(text.getvalue().removesuffix("\n"))


def copy(
    study: StudyArgument,
    to: Annotated[
        str, typer.Option(help="sqlite, sqlite:///FILE, or postgresql://[USER@]HOST/DATABASE.")
    ],
) -> None:
    """Copy a study's database elsewhere; the original stays unchanged."""
    from hpsearch.maintenance.copy import copy_study
    from hpsearch.storage.engine import Database
    from hpsearch.study.begun import read_as_begun
    from hpsearch.study.plan import find_begun

    folder = find_begun(study)
    config = read_as_begun(folder)
    with Database(folder, config.storage).lock("hpsearch copy"):
        copied = copy_study(folder, config, to)
    say(f"{copied} trials copied to {to}, equal on both sides")
    if not to.startswith("sqlite:"):
        there = f"{shell_word(folder.root)} --storage {shell_word(to)}"
        say(f"to continue there: hpsearch search {there}")


def migrate(
    study: StudyArgument,
    space: Annotated[Path, typer.Option(help="The changed search space, a file.")],
) -> None:
    """Move a study to a changed space; its trials keep the values they were trained with."""
    from hpsearch.maintenance.migrate import migrate as move
    from hpsearch.study.plan import find_begun

    folder = find_begun(study)
    done = move(folder, space)
    for what, names in (("added", done.added), ("removed", done.removed)):
        if names:
            say(f"{what}: {', '.join(names)}")
    say(
        f"{folder.root}: {done.inside} trials are in the new space, {done.moved} count at its "
        f"nearest point, {done.unseen} are hidden from the sampler; the old database is "
        f"{done.backup}"
    )
    say(f"next: hpsearch search {shell_word(folder.root)}")


def _cell(value: Any) -> Any:
    """Prevent a spreadsheet from reading text as a formula; numbers stay numbers."""
    formula = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if formula else value
