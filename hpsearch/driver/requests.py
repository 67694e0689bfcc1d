"""What users ask of a study while its search runs: try this, stop that.

A request is a file in the study's folder. Only the driver adopts it, so that it alone writes the
database. It is foreign input: what is not valid is set aside and said.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hpsearch.errors import HpsearchError, InputError, one_line
from hpsearch.paths import StudyFolder, make_private, write_atomically
from hpsearch.records import Record, dump_record, read_record, set_aside
from hpsearch.study.config import EnqueuedEntry, StudyConfig
from hpsearch.study.enqueue import enqueued_points
from hpsearch.study.plan import StudyPlan
from hpsearch.trial import TrialRecord, Value

REQUESTED = "enqueued while the study ran"
"""Origin of a trial that somebody asked for."""
LOOK_S = 0.5
"""Seconds between two looks at the folder."""
MOST = 1000
"""Requests that are read at once."""


class Request(Record):
    """One request; exactly one of its keys is set."""

    enqueue: dict[str, Any] | None = None
    """Parameters of a trial to try next; what they leave out is as in the study file's enqueue."""
    stop: Annotated[int, Field(ge=0)] | None = None
    """Number of a trial to end after its next report."""


def ask(folder: StudyFolder, request: Request) -> None:
    """Leave a request in a study's folder.

    Raises:
        EnvironmentFailure: It cannot be written.
    """
    make_private(folder.requests)
    name = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}.json"
    write_atomically(folder.requests / name, dump_record(request.model_dump(exclude_none=True)))


def waiting(folder: StudyFolder) -> list[Path]:
    """Return the requests that no driver has adopted, in the order in which they were made."""
    if not folder.requests.is_dir():
        return []
    found = (p for p in folder.requests.iterdir() if p.suffix == ".json" and p.name[0] != ".")
    return sorted(found)[:MOST]


def completed(plan: StudyPlan, params: Mapping[str, Any]) -> dict[str, Value]:
    """Return the parameters of a requested trial: feasible, and with what was left out.

    Raises:
        InputError: A parameter is unknown or no value of its kind, or nothing fits.
    """
    entry = EnqueuedEntry(params=dict(params))
    config: StudyConfig = plan.config.model_copy(update={"enqueue": (entry,)})
    return enqueued_points(config, plan.problem)[0].params


def tried(plan: StudyPlan, params: Mapping[str, Value], history: Sequence[TrialRecord]) -> int:
    """Return the number of the trial of a configuration, -1 where there is none."""
    key = plan.problem.key(params)
    return next((t.number for t in history if plan.problem.key(t.params) == key), -1)


class NoRequests:
    """Nobody asks for anything, as in a replay."""

    def look(self, history: Sequence[TrialRecord]) -> None:
        """Read new requests, if it is time."""

    def stops(self, number: int) -> bool:  # noqa: ARG002
        """Return whether somebody asked to stop a trial."""
        return False

    def to_stop(self) -> list[int]:
        """Return the trials that somebody asked to stop and that have not ended."""
        return []

    def next(self, history: Sequence[TrialRecord]) -> dict[str, Value] | None:  # noqa: ARG002
        """Return the parameters of the next requested trial; `adopted` ends the request."""
        return None

    def adopted(self, number: int) -> None:
        """Drop the request that `next` returned: it is a trial now."""

    def ended(self, number: int) -> None:
        """Drop the request to stop a trial that has ended."""


class Requests(NoRequests):
    """The requests to one driver."""

    def __init__(self, plan: StudyPlan, tell: Callable[[str], None]) -> None:
        """Start without requests; `look` reads them.

        Args:
            plan: The study.
            tell: Shows a one-line message.
        """
        self._plan, self._tell = plan, tell
        self._looked = -LOOK_S
        self._known = set[Path]()
        self._enqueued: list[tuple[Path, dict[str, Any]]] = []
        self._stops: dict[int, Path] = {}

    def look(self, history: Sequence[TrialRecord]) -> None:
        """Read new requests, if it is time."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        for path in waiting(self._plan.folder):
            if path not in self._known:
                self._known.add(path)
                self._read(path, history)

    def _read(self, path: Path, history: Sequence[TrialRecord]) -> None:
        try:
            request = read_record(path, Request).values
            if (request["enqueue"] is None) is (request["stop"] is None):
                raise ValueError("asks for nothing, or for two things")
        except FileNotFoundError:
            return
        except ValueError as error:
            self._refuse(path, error)
            return
        number = request["stop"]
        if number is None:
            self._enqueued.append((path, request["enqueue"]))
        elif number >= len(history):
            self._refuse(path, InputError(f"there is no trial {number}"))
        elif history[number].finished:
            path.unlink(missing_ok=True)
            self._tell(f"trial {number} was to be stopped and has ended: {history[number].state}")
        else:
            self._stops[number] = path
            self._tell(f"trial {number} is to stop: it ends after its next report")

    def _refuse(self, path: Path, error: Exception) -> None:
        aside = set_aside(path)
        self._tell(one_line(f"a request is refused and left as {aside.name}: {error}")[:500])

    def stops(self, number: int) -> bool:
        """Return whether somebody asked to stop a trial."""
        return number in self._stops

    def to_stop(self) -> list[int]:
        """Return the trials that somebody asked to stop and that have not ended."""
        return sorted(self._stops)

    def next(self, history: Sequence[TrialRecord]) -> dict[str, Value] | None:
        """Return the parameters of the next requested trial; `adopted` ends the request."""
        while self._enqueued:
            path, asked = self._enqueued[0]
            try:
                params = completed(self._plan, asked)
                if (same := tried(self._plan, params, history)) < 0:
                    return params
                path.unlink(missing_ok=True)
                self._tell(f"a request is trial {same} already")
            except HpsearchError as error:
                self._refuse(path, error)
            del self._enqueued[0]
        return None

    def adopted(self, number: int) -> None:
        """Drop the request that `next` returned: it is a trial now."""
        self._tell(f"trial {number} was asked for while the study ran")
        path, _ = self._enqueued.pop(0)
        path.unlink(missing_ok=True)

    def ended(self, number: int) -> None:
        """Drop the request to stop a trial that has ended."""
        if (path := self._stops.pop(number, None)) is not None:
            path.unlink(missing_ok=True)
