"""Commands after the search: export, retrain, dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import DataOption, DeviceOption, StudyArgument, TrustOption
from hpsearch.errors import HpsearchError, InputError
from hpsearch.output import notice, say
from hpsearch.paths import shell_word
from hpsearch.wording import duration, interval, percent

if TYPE_CHECKING:
    from hpsearch.data import Dataset
    from hpsearch.data.dataset import Reading
    from hpsearch.training.epoch import EpochResult


def export(
    study: StudyArgument,
    trial: Annotated[
        int | None, typer.Option(help="Number of the trial; by default the best.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(help='Conditions that choose the trial: "multiply_adds <= 1e7".'),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="File [STUDY/best.yaml].")] = None,
) -> None:
    """Write the best configuration to a file that can be trained without the study."""
    from hpsearch.confirm.certificate import in_words
    from hpsearch.confirm.confirmation import candidates
    from hpsearch.results.export import export_best
    from hpsearch.storage.view import read_study
    from hpsearch.study.plan import find_begun

    folder = find_begun(study)
    done = export_best(folder, trial, output, at)
    if done.picked:
        notice(f"handed over is {done.picked}")
    for difference in done.notices:
        notice(f"the trial was trained with {difference}")
    if done.certificate is None:
        what = "another trial, unconfirmed" if trial is not None else "unconfirmed best"
        what = f"the best with {at}, unconfirmed" if at is not None else what
        enough = candidates(read_study(folder))
        again = f"hpsearch confirm {shell_word(folder.root)}, or " if enough else ""
        advice = f"next: {again}hpsearch retrain {shell_word(done.path)}"
    else:
        what = in_words(done.certificate)
        advice = f"next: hpsearch retrain {shell_word(done.path)}"
    say(f"{done.path}: {what}; {advice}")


def retrain(
    config: Annotated[Path, typer.Argument(help="best.yaml.")],
    data: DataOption = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed; by default the trial's.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Maximum number of epochs.")] = None,
    include_validation: Annotated[
        bool,
        typer.Option(
            "--include-validation",
            help="Train on the validation characters too; no validation error is measured.",
        ),
    ] = False,
    output: Annotated[Path | None, typer.Option(help="Model folder [beside CONFIG].")] = None,
    device: DeviceOption = None,
    trust: TrustOption = False,
) -> int:
    """Train an exported configuration in full; the same command continues."""
    from hpsearch.app.retrain import Settings, holds_command, retrain_command
    from hpsearch.cli.bars import forecast_bar
    from hpsearch.execution.devices import choose_device
    from hpsearch.provenance import differences, software
    from hpsearch.results.export import stale
    from hpsearch.results.retrain import read_exported
    from hpsearch.results.retrain import retrain as train_model
    from hpsearch.sources.omniglot import FEW_ALPHABETS

    beside = config.parent / "model"
    folder = output or beside
    replaces = folder.resolve() == beside.resolve()
    if holds_command(config):
        for option, given in (("--data", data), ("--include-validation", include_validation)):
            if given:
                raise InputError(f"{option}: a command finds its data itself; leave it out")
        return retrain_command(
            config,
            folder,
            Settings(seed, epochs, device or "auto", trust=trust, replaces=replaces),
        )
    exported, _ = read_exported(config)
    kind = exported.dataset.kind if exported.dataset else "auto"
    fingerprint = exported.dataset.fingerprint if exported.dataset else None
    dataset = data_of_model(kind, data, config.parent, fingerprint)
    if dataset.notice:
        notice(dataset.notice)
    if include_validation and dataset.kind in FEW_ALPHABETS:
        few, more = (len(dataset.labels(role).alphabets) for role in ("background", "validation"))
        notice(
            f"--include-validation: the training alphabets are the {few} of {dataset.kind} and "
            f"the {more} of validation; leave it out for a model of {few} alphabets"
        )
    if old := stale(config):
        notice(old)
    for difference in differences(exported.provenance, software()) if exported.provenance else []:
        notice(f"found with {difference}: the result may differ")
    seen = "error on validation characters it trains on"
    what = seen if include_validation else "validation error"

    with forecast_bar("training") as bar:
        begun = False

        def progress(result: EpochResult, most: int) -> None:
            nonlocal begun
            error = f"{percent(result.validation_error)}, {duration(result.seconds)}"
            if result.epoch == 0:
                say(f"the start as it is, nothing is trained: {what} {error}", err=True)
                return
            if not begun:
                bar(result.epoch - 1, most)
            begun, left = True, bar(result.epoch, most)
            say(
                f"epoch {result.epoch}/{most}: loss {result.loss:.4f}, {what} {error}"
                f"{f', {left}' if left else ''}",
                err=True,
            )

        metrics = train_model(
            config,
            dataset,
            folder,
            seed=seed,
            epochs=epochs,
            include_validation=include_validation,
            device=choose_device(device or "auto"),
            progress=progress,
            aside=notice if replaces else None,
        )
    if include_validation:
        error = metrics["seen_in_training"]["validation_error"]
        say(
            f"{folder}: trained on background and validation characters for {metrics['epochs']} "
            f"epochs, a fixed number; the weights are those of the last one. Its error of "
            f"{percent(error)} on validation characters was seen in training: only hpsearch "
            f"evaluate measures its accuracy; certificate: {metrics['certificate']['verdict']}"
        )
        return 0
    _print_metrics(folder, metrics, own=dataset.kind == "folder")
    return 0


def _verification(metrics: dict[str, Any], groups: str) -> str:
    accuracy, pairs = metrics["verification_accuracy"], f"on {metrics['n_pairs']} pairs"
    if accuracy is not None:
        return f"verification accuracy {percent(accuracy)} {pairs}"
    accuracy = metrics["calibrated_accuracy"]
    if accuracy is None:
        return f"verification AUC {metrics['verification_auc']:.3f}"
    return f"verification accuracy {percent(accuracy)} {pairs}, calibrated on other {groups}"


def _print_metrics(folder: Path, metrics: dict[str, Any], *, own: bool) -> None:
    """Print a model's validation figures, each with its standard error.

    Own images have classes, perhaps in groups, and pictures: no alphabets and drawers.
    """
    dense = metrics["objective"] == "dense"
    groups, drawn = ("classes", "pictures") if own else ("alphabets", "drawers")
    on = "all tasks" if own else "all tasks of eight drawers"
    on = on if dense else f"{metrics['n_tasks']} tasks"
    say(
        f"{folder}: validation error {percent(metrics['validation_error'])} "
        f"{_interval(metrics['interval'])} on "
        f"{on} (epoch {metrics['weights_epoch']}), {_verification(metrics, groups)}"
    )
    paper, every, noise = metrics["tasks_320"], metrics["dense"], metrics["noise"]
    both = f"{percent(paper['error'])}, all tasks {percent(every['error'])}"
    if (plain := metrics["validation_error_without_averaging"]) is not None:
        both += f"; without averaging over views {percent(plain)} on {on}"
    say(f"  {paper['n_tasks']} tasks {both}")
    if noise:
        say(
            f"  standard error {100 * noise['tasks_320']:.1f} and {100 * noise['dense']:.1f} "
            f"points ({drawn} and tasks redrawn), {100 * noise['tasks_320_alphabets']:.1f} and "
            f"{100 * noise['dense_alphabets']:.1f} ({groups} too)"
        )
    if metrics["degenerate"]:
        say(f"  {guessing(metrics)}")
    certificate = metrics["certificate"]
    where = f" {_interval(certificate['interval'])}" if certificate["interval"] else ""
    say(
        f"  error {percent(metrics['fresh_error'])} on fresh tasks; certificate: "
        f"{certificate['verdict']}{where}"
    )
    if found := metrics["none_of_these"]:
        points, ways = found["check"]["points"], found["check"]["ways"]
        point = min(points, key=lambda one: abs(one["false_accept"] - 0.05))
        say(
            f"  recognise --false-accept {point['false_accept']:g} accepts "
            f"{percent(point['measured'])} {_interval(point['measured_interval'])} of unknown and "
            f"keeps {percent(point['kept'], 0)} of known validation classes, {ways} ways"
        )


def guessing(figures: dict[str, Any]) -> str:
    """Say that a model's scores mean nothing, by its verification AUC."""
    auc = figures["verification_auc"]
    return (
        f"DEGENERATE: the scores tell same from different no better than guessing (AUC {auc:.3f})"
    )


def _interval(ends: list[float] | None) -> str:
    return "" if ends is None else interval(ends)


def dashboard(
    study: StudyArgument,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8080,
    write: Annotated[bool, typer.Option("--write", help="Allow changes to the study.")] = False,
) -> None:
    """Browse a study in Optuna Dashboard on 127.0.0.1."""
    from hpsearch.results.dashboard import serve
    from hpsearch.study.plan import find_begun

    address = f"http://127.0.0.1:{port}/dashboard/ (Ctrl-C ends it)"
    serve(find_begun(study), port, write=write, ready=lambda: say(address))


def data_of_model(
    kind: str,
    data: Path | None,
    beside: Path,
    fingerprint: str | None,
    *,
    test: bool = False,
    pictures: Reading = "auto",
) -> Dataset:
    """Find a model's data: as given, else those of the study beside it, else by kind."""
    from hpsearch.data import open_packed
    from hpsearch.data.pack import holds_test
    from hpsearch.json_files import read_dataset
    from hpsearch.sources.find import find_dataset

    if data is None:
        try:
            held = read_dataset(beside / "dataset.json")
            packed = Path(held.get("packed") or "nowhere")
            if not test or holds_test(packed):
                return open_packed(packed)
            data = Path(held["source"]) if held.get("source") else None
        except HpsearchError:
            pass  # no study beside it, or its packed data are missing
    return find_dataset(kind, data, fingerprint=fingerprint, test=test, pictures=pictures)
