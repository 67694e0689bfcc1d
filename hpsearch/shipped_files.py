"""Find the search spaces and studies that ship with the program."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path
from typing import Literal

from hpsearch.errors import InputError

Kind = Literal["search_spaces", "studies"]
SHIPPED_MODEL = Path(__file__).parent / "recognition" / "weights"
"""The folder of the shipped model, trained on Omniglot's 40 unsealed alphabets."""


def shipped_names(kind: Kind) -> list[str]:
    """Return the names of the shipped files of a kind, sorted."""
    return sorted(_shipped(kind))


def find_shipped(kind: Kind, name: str) -> Path:
    """Return the file of a shipped search space or study.

    Args:
        kind: The folder.
        name: The file's name without `.yaml`.

    Raises:
        InputError: No such file is shipped; the message names a similar one or all.
    """
    found = _shipped(kind)
    if name in found:
        return found[name]
    known = sorted(found)
    what = "search space" if kind == "search_spaces" else "study"
    shown = name if len(name) <= 60 else name[:57] + "..."
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"shipped are {', '.join(known) or 'none'}"
    raise InputError(f"{shown!r}: no such file and no shipped {what}; {hint}")


def _shipped(kind: Kind) -> dict[str, Path]:
    """Return the files by name: those beside the package in a checkout, else those in it."""
    package = Path(str(resources.files("hpsearch")))
    folders = (package.parent / kind, package / "shipped" / kind)
    return {path.stem: path for folder in folders for path in folder.glob("*.yaml")}
