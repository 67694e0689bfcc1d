"""How Python processes of ours begin: what they may import, and how their threads wait.

Runs before anything heavy is loaded. Must not know what the processes do.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WAITING = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
"""GNU's OpenMP and Intel's: a thread that waits for others sleeps at once."""
CHOSEN_BY_HAND = (*WAITING, "GOMP_SPINCOUNT", "KMP_LIBRARY")


def wait_passively() -> None:
    """Let threads sleep while they wait; by default they spin, and slow each other on a busy machine.

    Has an effect before torch is loaded, and in the processes started later. Whoever has set one
    of the variables keeps what they chose.
    """
    if not any(name in os.environ for name in CHOSEN_BY_HAND):
        os.environ.update(WAITING)


def import_nothing_from_here() -> None:
    """Take the current folder off the path where `python -m hpsearch…` has put it first."""
    given = sys.orig_argv
    module = given[given.index("-m") + 1] if "-m" in given[:-1] else ""
    if module.split(".")[0] == "hpsearch" and sys.argv[0] == "-m" and not sys.flags.safe_path:
        del sys.path[0]


def leave_deleted_folder() -> None:
    """Go elsewhere when the current folder was deleted: Intel's MKL cannot be loaded in it.

    In /proc nothing can be created, so that a relative path fails there as it did before.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        os.chdir("/proc" if Path("/proc").is_dir() else "/")


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of ours in another process.

    With -P nothing is imported from the folder the user stands in: a random.py there is not ours.

    Args:
        module: Dotted name.
        arguments: What follows on its command line.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment(threads: int) -> dict[str, str]:
    """Return the variables of a process that `python_command` starts.

    Args:
        threads: How many threads it computes with.
    """
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    places = environment.pop("PYTHONPATH", "").split(os.pathsep)
    if any(places):  # an empty place would be the current folder
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    return environment
