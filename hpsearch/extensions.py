"""Finds classes that other people wrote: by entry point, or as FILE.py:CLASS or MODULE:CLASS.

A name with a colon is code that a study file names; hpsearch.study.code_trust says who may run it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import pkgutil
import re
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from hpsearch.errors import InputError, one_line

CODE = re.compile(r"(?P<place>[^\x00-\x1f\x7f]{1,1000}):(?P<name>[A-Za-z_][A-Za-z0-9_]*)")
MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


def is_code(name: str) -> bool:
    """Return whether a name is FILE.py:CLASS or MODULE:CLASS."""
    if (found := CODE.fullmatch(name)) is None:
        return False
    return found["place"].endswith(".py") or MODULE.fullmatch(found["place"]) is not None


def is_installed(group: str, name: str) -> bool:
    """Return whether an installed package has an entry point of this name."""
    return bool(entry_points(group=group, name=name))


def check_installed(group: str, name: str) -> str:
    """Return the name of an entry point.

    Raises:
        ValueError: There is none of this name.
    """
    if is_installed(group, name):
        return name
    known = ", ".join(sorted({one.name for one in entry_points(group=group)}))
    raise ValueError(f"must be installed by a package: {known or 'none is'}")


def check_name(group: str, name: str) -> str:
    """Return a name that `load` may find. No code is loaded.

    Raises:
        ValueError: It is neither code nor an entry point of the group.
    """
    if is_code(name) or is_installed(group, name):
        return name
    others = sorted({one.name for one in entry_points(group=group)})
    known = f", or installed: {', '.join(others)}" if others else ""
    raise ValueError(f"must be a class of your own, FILE.py:CLASS or MODULE:CLASS{known}")


def whole(name: str, folder: Path) -> str:
    """Return a name with the path of its file absolute.

    Args:
        name: Any name; what is no FILE.py:CLASS is returned as it is.
        folder: Where a relative path begins.
    """
    place, _, last = name.rpartition(":")
    if not is_code(name) or not place.endswith(".py"):
        return name
    return f"{(folder / Path(place).expanduser()).resolve()}:{last}"


def load(group: str, name: str) -> Any:
    """Return the class, or what else the name stands for.

    Args:
        group: A group of entry points.
        name: A name that `check_name` accepts, a file's path absolute.

    Raises:
        InputError: There is no such file, module or class, or loading it failed.
    """
    try:
        if not is_code(name):
            found = entry_points(group=group, name=name)
            return next(iter(found)).load()
        place, _, last = name.rpartition(":")
        module = _file(place) if place.endswith(".py") else pkgutil.resolve_name(place)
        return getattr(module, last)
    except FileNotFoundError:
        raise InputError(f"{name}: no such file; check its path") from None
    except StopIteration:
        raise InputError(f"{name}: no entry point of {group}; install what has it") from None
    except Exception as error:
        text = one_line(f"{type(error).__name__}: {error}")[:300]
        raise InputError(f"{name}: cannot be loaded ({text})") from error


@functools.cache
def _file(path: str) -> Any:
    """Load a file under a name of its own; its folder does not get onto the import path."""
    name = f"hpsearch_extension_{hashlib.sha256(path.encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
