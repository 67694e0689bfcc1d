"""The origin of a result: the program's version and commit, its packages, the machine.

Standard library only; used by the search and by its workers.
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
    """Return the versions of program and packages, the commit, and whether files changed."""
    found: dict[str, Any] = {"hpsearch": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"versions": found, **_commit()}


def machine(device: str, threads: int, **card: str | int | None) -> dict[str, Any]:
    """Return the host, the training device and the number of threads.

    Args:
        device: Its name.
        threads: Threads of the training process.
        card: Of a card: driver, CUDA, cuDNN; and the precision of the training.
    """
    return {"host": socket.gethostname(), "device": device, "threads": threads, **card}


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
    """Return the output of git, None if it fails."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Describe the differences of two `software` records that may change a result.

    Args:
        then: Record of the result; only its entries are compared.
        now: Record of this program.
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
