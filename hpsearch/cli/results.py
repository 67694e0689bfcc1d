"""Commands after the search: export, retrain, evaluate, dashboard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.errors import InputError

if TYPE_CHECKING:
    from hpsearch.data import Dataset
    from hpsearch.training.epoch import EpochResult

DataOption = Annotated[Path | None, typer.Option(help="Omniglot's zips or folders, or images.")]
ModelArgument = Annotated[Path, typer.Argument(help="A model folder.")]


def export(
    study: Annotated[str, typer.Argument(help="A study's folder, file or shipped name.")],
    trial: Annotated[int | None, typer.Option(help="Another trial than the best.")] = None,
    output: Annotated[Path | None, typer.Option(help="File [STUDY/best.yaml].")] = None,
) -> None:
    """Write the best configuration as a file that trains without the study."""
    from hpsearch.results.export import export_best
    from hpsearch.search.study_folder import find_study

    path = export_best(find_study(study), trial, output)
    typer.echo(f"{path}: unconfirmed best; next: hpsearch retrain {path}")


def retrain(
    config: Annotated[Path, typer.Argument(help="best.yaml.")],
    data: DataOption = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed than the trial's.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs at most.")] = None,
    output: Annotated[Path | None, typer.Option(help="Model folder [beside CONFIG].")] = None,
) -> None:
    """Train an exported configuration in full; the same command continues."""
    from hpsearch.execution.devices import choose_device
    from hpsearch.results.retrain import read_exported
    from hpsearch.results.retrain import retrain as train_model

    values, _ = read_exported(config)
    dataset = _dataset(values.get("dataset", {}).get("kind", "auto"), data, config.parent)
    folder = output or config.parent / "model"

    def tell(result: EpochResult, most: int) -> None:
        typer.echo(
            f"epoch {result.epoch}/{most}: loss {result.loss:.4f}, validation error "
            f"{result.validation_error:.3f}, {result.seconds:.0f} s",
            err=True,
        )

    metrics = train_model(
        config, dataset, folder, seed=seed, epochs=epochs, device=choose_device("auto"), progress=tell
    )
    low, high = metrics["interval"]
    typer.echo(
        f"{folder}: validation error {metrics['validation_error']:.3f} [{low:.3f}, {high:.3f}] on "
        f"{metrics['n_tasks']} tasks (epoch {metrics['best_epoch']}), verification accuracy "
        f"{metrics['verification_accuracy']:.4f} on {metrics['n_pairs']} pairs"
    )


def evaluate(
    model: ModelArgument,
    data: DataOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a model on the sealed one-shot tasks; every opening is logged."""
    from json import dumps

    from hpsearch.configfile import read_yaml
    from hpsearch.results.evaluate import TABLE_2
    from hpsearch.results.evaluate import evaluate as score

    if not model.is_dir():
        raise InputError(f"{model}: no such model folder; run hpsearch retrain first")
    described = read_yaml(model / "config.yaml")
    kind = described.get("dataset", {}).get("kind", "auto")
    result = score(model, _dataset(kind, data, model.parent))
    if json:
        typer.echo(dumps(result))
        return
    low, high = result["interval"]
    warning = " DEGENERATE: the scores do not depend on the images" if result["degenerate"] else ""
    typer.echo(
        f"one-shot accuracy {result['accuracy']:.1%} [{low:.1%}, {high:.1%}] on "
        f"{result['n_tasks']} tasks of {result['dataset']}{warning}"
    )
    for name, part in result["per_alphabet"].items():
        typer.echo(f"  {name:36} {part['accuracy']:6.1%} of {part['n_tasks']}")
    if result["dataset"] == "omniglot":
        typer.echo("published on the same 400 tasks (Koch et al. 2015, Table 2):")
        for name, accuracy in TABLE_2:
            typer.echo(f"  {name:46} {accuracy:6.1%}")


def dashboard(
    study: Annotated[str, typer.Argument(help="A study's folder, file or shipped name.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8080,
    write: Annotated[bool, typer.Option("--write", help="Allow changes to the study.")] = False,
) -> None:
    """Browse a study in Optuna Dashboard on 127.0.0.1."""
    from hpsearch.results.dashboard import serve
    from hpsearch.search.study_folder import find_study

    folder = find_study(study)
    typer.echo(f"http://127.0.0.1:{port}/dashboard/ (Ctrl-C ends it)")
    serve(folder, port, write=write)


def _dataset(kind: str, data: Path | None, beside: Path) -> Dataset:
    """Find the data of a model: as given, else what the study beside it used, else by kind."""
    from json import loads

    from hpsearch.data import open_packed
    from hpsearch.data.find import find_dataset

    remembered = beside / "dataset.json"
    if data is None and remembered.is_file():
        packed = Path(loads(remembered.read_text())["packed"])
        if (packed / "meta.json").exists():
            return open_packed(packed)
    return find_dataset(kind, data)


COMMANDS: tuple[Callable[..., Any], ...] = (export, retrain, evaluate, dashboard)
