"""Commands about data sets: check a source, fetch Omniglot, show what was found.

The data package is imported inside the commands, so that `--help` is instant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.bars import progress_bars
from hpsearch.wording import count, percent

if TYPE_CHECKING:
    from hpsearch.data import Characters, Dataset

app = typer.Typer(no_args_is_help=True, add_completion=False)

DataOption = Annotated[Path | None, typer.Option(help="Omniglot's zips or folders, or images.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def check(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Read a data set, check its content and say what is in it."""
    found = _find("auto" if data else "omniglot", data, afresh=True)
    _print(found, as_json, "sound: " if found.notice else "whole: ")


@app.command()
def fetch(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Have Omniglot in the cache, from --data, HPSEARCH_DATA or the authors' address."""
    _print(_find("omniglot", data, test=data is None), as_json, "ready: ")


@app.command()
def show(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show the data set a search would take: counts, what is odd, and a contact sheet."""
    dataset = _find("auto", data)
    _print(dataset, as_json, "", _draw_sheets(dataset))


def _find(kind: str, data: Path | None, *, afresh: bool = False, test: bool = False) -> Dataset:
    """Find a data set with a progress bar on a terminal's stderr."""
    from hpsearch.sources.find import find_dataset

    with progress_bars() as progress:
        return find_dataset(kind, data, progress=progress, afresh=afresh, test=test)


def _draw_sheets(dataset: Dataset) -> dict[str, tuple[Path, str]]:
    """Write a contact sheet of each split; the sealed one stays sealed, but for own images.

    Returns:
        Role to its file, and to what it shows in words. What cannot be written is left out, and
        said: a cache may be shared without the right to write.
    """
    from hpsearch.data import open_test_set
    from hpsearch.data.contact_sheet import contact_sheet
    from hpsearch.errors import EnvironmentFailure
    from hpsearch.paths import cache_folder, write_atomically

    roles: dict[str, Callable[[], Characters]] = {
        "background": dataset.background,
        "validation": dataset.validation,
    }
    if dataset.kind == "folder":  # whoever looks drew them; it is written down all the same
        roles["test"] = lambda: open_test_set(dataset, "data show: contact sheet").characters
    folder = cache_folder().absolute() / "sheets" / dataset.folder.name
    sheets = {}
    for role, images in roles.items():
        path = folder / f"{role}.png"
        try:
            png, words = contact_sheet(images())
            write_atomically(path, png)
        except EnvironmentFailure as error:
            typer.echo(f"NOTE: no contact sheet of {role}: {error}", err=True)
            continue
        sheets[role] = path, words
    return sheets


def _print(
    dataset: Dataset,
    as_json: bool,
    prefix: str,
    sheets: Mapping[str, tuple[Path, str]] | None = None,
) -> None:
    from hpsearch.data.packed_files import read_meta

    meta = read_meta(dataset.folder)
    facts = {
        "kind": dataset.kind,
        "fingerprint": dataset.fingerprint,
        "folder": str(dataset.folder),
        "roles": meta["roles"],
        "ways": dataset.ways,
        "chance": 1 / dataset.ways,
        "test_tasks": meta["test_tasks"]["runs"] * meta["test_tasks"]["ways"],
        "notice": dataset.notice,
        "notices": list(dataset.notices),
        "sheets": {role: str(path) for role, (path, _) in (sheets or {}).items()},
    }
    if dataset.notice:
        typer.echo(dataset.notice, err=True)
    if as_json:
        typer.echo(json.dumps(facts))
        return
    typer.echo(f"{prefix}{dataset.description}")
    typer.echo(f"fingerprint {dataset.fingerprint}")
    for role, counts in meta["roles"].items():
        sealed = " (sealed)" if role == "test" else ""
        typer.echo(
            f"{role}: {count(counts['alphabets'], 'alphabet')}, "
            f"{count(counts['characters'], 'character')}, {count(counts['images'], 'image')}{sealed}"
        )
    typer.echo(
        f"tasks: {dataset.ways} ways, chance {percent(1 / dataset.ways)}; "
        f"{facts['test_tasks']} sealed test tasks"
    )
    for text in dataset.notices:
        typer.echo(f"NOTE: {text}")
    for role, (path, words) in (sheets or {}).items():
        typer.echo(f"contact sheet of {role}: {path} ({words})")
    typer.echo(f"packed in {dataset.folder}")
