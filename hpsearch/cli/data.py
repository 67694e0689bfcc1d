"""Commands about data sets: check a source, fetch Omniglot, show a data set.

The data package is imported inside the commands, so that `--help` is instant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hpsearch.cli.bars import progress_bars
from hpsearch.cli.options import DataOption, DatasetOption, JsonOption
from hpsearch.output import notice, say, say_json
from hpsearch.wording import percent

if TYPE_CHECKING:
    from hpsearch.data import Characters, Dataset

Sheets = Mapping[str, tuple[Path, str]]
WORDS = {key: (key[:-1], key) for key in ("alphabets", "characters", "images")}
"""What a role's counts are called, one and several."""
OWN_WORDS = {
    "alphabets": ("group", "groups"),
    "characters": ("class", "classes"),
    "images": ("picture", "pictures"),
}
app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command()
def check(
    data: DataOption = None, dataset: DatasetOption = None, json: JsonOption = False
) -> None:
    """Read a data set, check its content and print a summary."""
    found = _find(dataset or ("auto" if data else "omniglot"), data, afresh=True)
    _print(found, json, "sound: " if found.notice else "whole: ")


@app.command()
def fetch(data: DataOption = None, json: JsonOption = False) -> None:
    """Put Omniglot into the cache, from --data, HPSEARCH_DATA or the authors' address."""
    _print(_find("omniglot", data, test=data is None), json, "ready: ")


@app.command()
def show(data: DataOption = None, dataset: DatasetOption = None, json: JsonOption = False) -> None:
    """Show the data set that a search would use: counts, oddities, and a contact sheet."""
    found = _find(dataset or "auto", data)
    _print(found, json, "", _draw_sheets(found))


def _find(kind: str, data: Path | None, *, afresh: bool = False, test: bool = False) -> Dataset:
    """Find a data set with a progress bar on a terminal's stderr."""
    from hpsearch.sources.find import find_dataset

    with progress_bars() as progress:
        return find_dataset(kind, data, progress=progress, afresh=afresh, test=test)


def _draw_sheets(dataset: Dataset) -> Sheets:
    """Write a contact sheet of each split; the sealed split only of own images.

    Returns:
        The file and its description, by role. A sheet that cannot be written is left out with a
        notice, because a shared cache may be read-only.
    """
    from hpsearch.data import open_test_set
    from hpsearch.data.contact_sheet import contact_sheet
    from hpsearch.errors import EnvironmentFailure
    from hpsearch.paths import cache_folder, write_atomically

    roles: dict[str, Callable[[], Characters]] = {
        "background": dataset.background,
        "validation": dataset.validation,
    }
    if dataset.kind == "folder":  # the user made these images; the opening is logged anyway
        roles["test"] = lambda: open_test_set(dataset, "data show: contact sheet").characters
    folder = cache_folder().absolute() / "sheets" / dataset.folder.name
    sheets = {}
    for role, images in roles.items():
        path = folder / f"{role}.png"
        try:
            png, words = contact_sheet(images(), paper=dataset.paper)
            write_atomically(path, png)
            sheets[role] = path, words
        except EnvironmentFailure as error:
            notice(f"no contact sheet of {role}: {error}")
    return sheets


def _print(dataset: Dataset, json: bool, prefix: str, sheets: Sheets | None = None) -> None:
    from hpsearch.data.packed_files import read_meta

    meta = read_meta(dataset.folder)
    facts = {
        "kind": dataset.kind,
        "fingerprint": dataset.fingerprint,
        "folder": str(dataset.folder),
        "roles": meta["roles"],
        "ways": dataset.ways,
        "paper": dataset.paper,
        "colour_px": dataset.colour_px,
        "chance": 1 / dataset.ways,
        "test_tasks": meta["test_tasks"]["runs"] * meta["test_tasks"]["ways"],
        "notice": dataset.notice,
        "notices": list(dataset.notices),
        "sheets": {role: str(path) for role, (path, _) in (sheets or {}).items()},
    }
    if dataset.notice:
        say(dataset.notice, err=True)
    if json:
        say_json(facts)
        return
    say(f"{prefix}{dataset.description}")
    say(f"fingerprint {dataset.fingerprint}")
    things = OWN_WORDS if dataset.kind == "folder" else WORDS
    for role, counts in meta["roles"].items():
        sealed = " (sealed)" if role == "test" else ""
        parts = [
            f"{counts[key]} {one if counts[key] == 1 else more}"
            for key, (one, more) in things.items()
        ]
        say(f"{role}: {', '.join(parts)}{sealed}")
    tests = f"{facts['test_tasks']} sealed test tasks"
    say(f"tasks: {dataset.ways} ways, chance {percent(1 / dataset.ways)}; {tests}")
    for text in dataset.notices:
        notice(text, err=False)
    for role, (path, words) in (sheets or {}).items():
        say(f"contact sheet of {role}: {path} ({words})")
    say(f"packed in {dataset.folder}")
