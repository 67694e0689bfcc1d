"""The start of our Python processes: import path and thread settings.

Runs before anything heavy is loaded. Must not know what the processes do.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WAITING = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
"""With these a waiting thread sleeps at once, in GNU's OpenMP and in Intel's."""
CHOSEN_BY_HAND = (*WAITING, "GOMP_SPINCOUNT", "KMP_LIBRARY")


def wait_passively() -> None:
    """Let threads sleep while they wait; spinning, the default, slows a busy machine.

    Works before torch is loaded, and in processes started later. If the user has set one of the
    variables, nothing is changed.
    """
    if not any(name in os.environ for name in CHOSEN_BY_HAND):
        os.environ.update(WAITING)


def import_nothing_from_here() -> None:
    """Remove the current folder from sys.path, where `python -m hpsearch…` has put it first."""
    given = sys.orig_argv
    module = given[given.index("-m") + 1] if "-m" in given[:-1] else ""
    if module.split(".")[0] == "hpsearch" and sys.argv[0] == "-m" and not sys.flags.safe_path:
        del sys.path[0]


def leave_deleted_folder() -> None:
    """Leave the current folder if it was deleted: Intel's MKL cannot be loaded in it.

    Nothing can be created in /proc, so a relative path fails there as before.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        os.chdir("/proc" if Path("/proc").is_dir() else "/")


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs one of our modules in another process.

    -P keeps the current folder off the import path: a random.py there is not ours.

    Args:
        module: Dotted name.
        arguments: Arguments of the module.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def bare_command(file: str) -> list[str]:
    """Return the command that runs a file with the standard library alone, which starts soonest.

    Args:
        file: The program. Neither environment variables nor installed packages reach it.
    """
    return [sys.executable, "-I", "-S", file]


def child_environment(threads: int) -> dict[str, str]:
    """Return the environment variables of a process that `python_command` starts.

    Args:
        threads: Number of threads it computes with.
    """
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    places = environment.pop("PYTHONPATH", "").split(os.pathsep)
    if any(places):  # an empty place would be the current folder
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    return environment


def this_python() -> str:
    """Return the Python that runs this program, for a command that names it."""
    return sys.executable
