"""Where a result comes from: the program's version and commit, its packages, the machine.

Standard library only; the search and its workers both ask here.
"""

from __future__ import annotations

import importlib.metadata
import platform
import socket
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hpsearch import __version__

PACKAGES = ("torch", "optuna", "scikit-optimize", "numpy", "scipy")
"""Packages whose version may change a result."""
GIT_S = 10


@cache
def software() -> dict[str, Any]:
    """Return the program's version, commit and whether it was changed since, and its packages."""
    found: dict[str, Any] = {"hpsearch": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"versions": found, **_commit()}


def machine(device: str, threads: int) -> dict[str, Any]:
    """Return the host, what trains on it and with how many threads."""
    return {"host": socket.gethostname(), "device": device, "threads": threads}


def _commit() -> dict[str, Any]:
    """Return the commit of the source and whether it was changed; None where there is no git."""
    source = Path(__file__).parent.parent
    head = _git(source, "rev-parse", "HEAD")
    ours = _git(source, "ls-files", "hpsearch/provenance.py")
    if not head or not ours:  # installed from a package, or inside somebody else's repository
        return {"commit": None, "dirty": None}
    changed = _git(source, "status", "--porcelain", "--untracked-files=no")
    return {"commit": head, "dirty": None if changed is None else bool(changed)}


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, None where it cannot."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in words what of two `software` records differs and may change a result.

    Args:
        then: Of the result; what it does not name is not compared.
        now: Of this program.
    """
    found = []
    old, new = then.get("versions") or {}, now.get("versions") or {}
    for name, version in old.items():
        if name in new and new[name] != version:
            found.append(f"{name} {version}, here {new[name]}")
        elif name not in new:
            found.append(f"{name} {version}, here none")
    before, here = then.get("commit"), now.get("commit")
    if before and here and before != here:
        found.append(f"commit {before[:12]}, here {here[:12]}")
    if then.get("dirty"):
        found.append("source changed since its commit")
    return found
