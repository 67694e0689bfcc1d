"""The command evaluate: scores a model on few-shot tasks of any data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from hpsearch.cli.options import DataOption, DeviceOption, JsonOption, ModelArgument
from hpsearch.cli.results import data_of_model, guessing
from hpsearch.errors import InputError
from hpsearch.output import notice, say, say_json
from hpsearch.wording import count, interval, percent

if TYPE_CHECKING:
    from hpsearch.data import Dataset
    from hpsearch.data.dataset import Reading


def evaluate(
    model: ModelArgument,
    data: DataOption = None,
    ways: Annotated[
        int | None, typer.Option(min=2, help="Candidates of a task [the data's own].")
    ] = None,
    shots: Annotated[
        int | None, typer.Option(min=1, help="Support images of each candidate [1].")
    ] = None,
    tasks: Annotated[
        int | None,
        typer.Option(min=1, max=10**6, help="Tasks drawn by a fixed seed [the stored ones]."),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option(metavar="group|any", help="Candidates of one group, or of any [group]."),
    ] = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Score a model: on the sealed part of its own data, on all classes of other data."""
    from hpsearch.data.few_shot import Within
    from hpsearch.execution.devices import choose_device
    from hpsearch.scoring.evaluate import Wanted
    from hpsearch.scoring.evaluate import evaluate as score

    _one_of("--within", within, (None, *get_args(Within)))
    _one_of("--device", device, ("auto", "cpu", "cuda"))
    wanted = Wanted(ways, shots, tasks, cast(Within | None, within))
    dataset = _data(model, data)
    result = score(model, dataset, choose_device(device or "auto"), wanted)
    for line in result["left_out"]:
        notice(line)
    if seen := result["seen"]:
        notice(
            f"{count(seen, 'picture')} of these trained or chose the model: the accuracy is not "
            "one of new pictures; name the model's own data, or others"
        )
    if json:
        say_json(result)
    else:
        _print_result(dataset, result)


def _one_of(option: str, value: str | None, allowed: tuple[str | None, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{option} {value}: give {', '.join(filter(None, allowed))}")


def _data(model: Path, path: Path | None) -> Dataset:
    """Open the named data, or else the model's own.

    Raises:
        InputError: They are missing; or none are named, and the model's own are not found.
    """
    from hpsearch.data.dataset import OMNIGLOT
    from hpsearch.recognition.model import in_colour, on_paper, read_description
    from hpsearch.sources.omniglot import find_parts

    description = read_description(model)
    trained_on = description["dataset"]
    kind, fingerprint = str(trained_on["kind"]), str(trained_on["fingerprint"])
    if path is not None and not (kind in OMNIGLOT and find_parts(path)):
        kind = "auto"  # other data, or own images
    grey: Reading = "paper" if on_paper(description) else "plain"
    pictures = "rgb" if in_colour(description) else grey  # as `recognise` reads them
    dataset = data_of_model(kind, path, model.parent, fingerprint, test=True, pictures=pictures)
    if path is None and dataset.fingerprint != fingerprint:
        raise InputError(
            f"{model / 'config.yaml'}: dataset.fingerprint: trained on {fingerprint[:12]}, the "
            f"data found are {dataset.kind} {dataset.fingerprint[:12]}; name the data with --data"
        )
    return dataset


def _print_result(dataset: Dataset, result: dict[str, Any]) -> None:
    from hpsearch.data.dataset import OMNIGLOT

    warning = f" {guessing(result)}" if result["degenerate"] else ""
    shots = result["shots"]
    say(
        f"{'one' if shots == 1 else shots}-shot accuracy {percent(result['accuracy'])} "
        f"{interval(result['interval'])} on {count(result['n_tasks'], 'task')} of "
        f"{_named(dataset)}{warning}"
    )
    if dataset.kind not in OMNIGLOT:
        whose = {"all": "all", "sealed": "the sealed"}[result["part"]]
        other = "; the model was trained on other data" if result["part"] == "all" else ""
        other = "; some trained or chose the model" if result["seen"] else other
        say(
            f"  {result['ways']} ways, {whose} {result['classes']} classes of "
            f"{count(result['groups'], 'group')}{other}"
        )
    for name, part in result["per_alphabet"].items():
        say(f"  {name:36} {percent(part['accuracy']):>7} of {part['n_tasks']}")
    if dataset.kind in OMNIGLOT:
        _print_published(dataset.kind)


def _named(dataset: Dataset) -> str:
    """Return the name of the data: Omniglot's kinds, glyphs, or the title of own images."""
    return dataset.description.split(":")[0] if dataset.kind == "folder" else dataset.kind


def _print_published(kind: str) -> None:
    """Print what was published on Lake's 400 tasks."""
    from hpsearch.scoring.baselines import TABLE_2

    more = ", on all 30 background alphabets" if kind != "omniglot" else ""
    say(f"published on the same 400 tasks{more} (Koch et al. 2015, Table 2):")
    for name, accuracy in TABLE_2:
        say(f"  {name:46} {percent(accuracy):>7}")
