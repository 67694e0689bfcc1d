"""Runs hpsearch, or one of its workers, so that it kills itself at a named point, once.

`python -m benchmarks.kill_points POINT NTH TOKEN search STUDY ...` is `hpsearch search STUDY ...`
that sends itself SIGKILL the NTH time it comes to POINT; `... worker DEVICE THREADS` is a worker.
The file TOKEN makes it happen once: whoever can delete it dies.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.execution import local


@dataclass(frozen=True)
class KillPoint:
    """A place in the program: a function, and whether death comes before or after it.

    Args:
        target: "module:Class.function", or "module:function".
        after: Whether the function is done when death comes.
        in_worker: Whether it is a worker that dies.
    """

    target: str
    after: bool = False
    in_worker: bool = False


RECORD, STORE = "hpsearch.storage.database:StudyRecord", "hpsearch.storage.file_store:FileStore"
STORAGE = "optuna.storages._rdb.storage:RDBStorage"
POINTS: dict[str, KillPoint] = {
    "asked, not entered": KillPoint(f"{RECORD}.add"),
    "entered, no folder": KillPoint(f"{RECORD}.add", after=True),
    "folder written, not submitted": KillPoint(f"{STORE}.job", after=True),
    "before an epoch is noted": KillPoint(f"{STORE}.note_epoch"),
    "epoch noted, not reported": KillPoint(f"{RECORD}.report"),
    "before a group of reports": KillPoint(f"{RECORD}.flush"),
    "before a file is renamed": KillPoint("pathlib:Path.replace"),
    "after a file is renamed": KillPoint("pathlib:Path.replace", after=True),
    "result written, not told": KillPoint(f"{RECORD}.end"),
    "told in part": KillPoint(f"{STORAGE}._set_trial_value_without_commit"),
    "told, files not deleted": KillPoint(f"{RECORD}.end", after=True),
    "before files are deleted": KillPoint(f"{STORE}.keep_best_checkpoints"),
    "worker: inside a checkpoint": KillPoint("os:fsync", in_worker=True),
    "worker: before a rename": KillPoint("pathlib:Path.replace", in_worker=True),
    "worker: after a rename": KillPoint("pathlib:Path.replace", after=True, in_worker=True),
    "worker: epoch not reported": KillPoint(
        "hpsearch.execution.worker:DriverPipe.send", in_worker=True
    ),
}


def arm(point: KillPoint, nth: int, token: Path) -> None:
    """Wrap the point's function so that its `nth` call kills this process, if `token` is there."""
    module, _, path = point.target.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    function: Callable[..., Any] = getattr(owner, name)
    calls = 0

    @functools.wraps(function)
    def armed(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth and not point.after:
            die(token)
        value = function(*args, **kwargs)
        if calls == nth and point.after:
            die(token)
        return value

    setattr(owner, name, armed)


def die(token: Path) -> None:
    """Kill this process if the token is still there."""
    try:
        token.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def start_workers_with(command: list[str]) -> None:
    """Have this process start its workers with another command line."""
    init = local.LocalExecutor.__init__
    local.LocalExecutor.__init__ = functools.partialmethod(  # type: ignore[method-assign]
        init, command=command
    )


def main() -> None:
    """Arm the point and run the command line, or a worker."""
    name, nth, token, kind, *rest = sys.argv[1:]
    point = POINTS[name]
    if kind == "worker":
        from hpsearch.execution import worker

        sys.argv = ["worker", *rest]
        arm(point, int(nth), Path(token))
        worker.main()
        return
    from hpsearch.cli.main import main as command_line

    if point.in_worker:
        start_workers_with(
            [sys.executable, "-m", "benchmarks.kill_points", name, nth, token, "worker"]
        )
    else:
        arm(point, int(nth), Path(token))
    sys.argv = ["hpsearch", kind, *rest]
    command_line()


if __name__ == "__main__":
    main()
