"""Reads what a program appends to its report file. See docs/trainer.md for the protocol."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROTOCOL = 1
"""Version of the protocol between hpsearch and a program."""
MOST_BYTES = 50_000_000
"""A longer report ends the trial: a program that writes it would fill the disk."""
MOST_LINE = 100_000
MOST_METRICS = 200
STEPS = 10**9
LARGEST = 1e150
"""A larger number counts as infinite: its square is."""
TAIL = 200
"""Bytes before the place up to which a report was read; they must stay as they were."""
WORDS = {"nan": math.nan, "inf": math.inf, "infinity": math.inf}
"""Numbers that are none, as programs write them; a sign may stand before them."""
BARE = re.compile(r"(?<=[:,\s\[])([+-]?(?:nan|inf|infinity))(?=[\s,}\]])", re.IGNORECASE)


class ReportError(Exception):
    """A line that the protocol does not allow; the message says which and why."""


@dataclass(frozen=True)
class Step:
    """One reported step: its number from 1, its value as reported, and other figures."""

    step: int
    value: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """The value that a program gives in its end; it replaces the best of its steps.

    Where no step was reported, it is the only one, with its other figures.
    """

    value: float
    metrics: Mapping[str, float] = field(default_factory=dict)


def number(value: Any, key: str) -> float:
    """Return a reported number; NaN and infinities, also those beyond `LARGEST`, are numbers here.

    Raises:
        ReportError: It is none.
    """
    if isinstance(value, str) and (word := value.strip().lower().lstrip("+-")) in WORDS:
        return -WORDS[word] if value.strip().startswith("-") else WORDS[word]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ReportError(f"{key}: {_short(value)} is no number")
    if abs(value) > LARGEST:
        return math.inf if value > 0 else -math.inf
    return float(value)


def parse(line: bytes) -> Step | Result | None:
    """Read one line; None for an empty one.

    Raises:
        ReportError: It is no report.
    """
    text = line.decode(errors="replace").strip()
    if not text:
        return None
    if len(line) > MOST_LINE:
        raise ReportError(f"{len(line)} characters; a line has at most {MOST_LINE}")
    try:
        found = json.loads(text, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        found = _bare(text)
    if not isinstance(found, dict):
        raise ReportError(f'{_short(text)} is no JSON object such as {{"step": 1, "value": 0.5}}')
    if "result" in found:
        _refuse_others(found, ("result", "metrics"))
        return Result(number(found["result"], "result"), _metrics(found.get("metrics")))
    _refuse_others(found, ("step", "value", "metrics"))
    for key in ("step", "value"):
        if key not in found:
            raise ReportError(f"{key} is missing in {_short(text)}")
    step = found["step"]
    if isinstance(step, bool) or not isinstance(step, int | float) or step != step // 1:
        raise ReportError(f"step: {_short(step)} is no whole number")
    if not 1 <= step <= STEPS:
        raise ReportError(f"step: {_short(step)} must be from 1 to {STEPS}")
    return Step(int(step), number(found["value"], "value"), _metrics(found.get("metrics")))


def _bare(text: str) -> Any:
    """Read JSON whose numbers may be written nan, -nan or inf, as printf and awk do."""
    try:
        return json.loads(BARE.sub(r'"\1"', text), object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        return None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object whose keys differ: of two values nobody knows which is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ReportError(f"{_short(next(k for k in keys if keys.count(k) > 1))}: is there twice")
    return found


def _refuse_others(found: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in found:
        if key not in known:
            raise ReportError(f"{_short(key)}: unknown key; a report has {', '.join(known)}")


def _metrics(found: Any) -> dict[str, float]:
    if found is None:
        return {}
    if not isinstance(found, dict) or len(found) > MOST_METRICS:
        raise ReportError(f"metrics must be at most {MOST_METRICS} names and numbers")
    numbers = {str(key)[:100]: number(one, f"metrics.{_short(key)}") for key, one in found.items()}
    return {key: one for key, one in numbers.items() if math.isfinite(one)}


def _short(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, str) else value
    return text if len(text) <= 60 else text[:57] + "..."


class ReportFile:
    """Follows a report file: yields its whole lines, from the first on.

    A step that is reported again in a later run of the program keeps its first value. Within one
    run steps rise, and what was read stays there.
    """

    def __init__(self, path: Path) -> None:
        """Start before the first line; the file need not exist."""
        self.path = path
        self._read, self._buffer, self._line = 0, b"", 0
        self._tail = b""
        self._good, self._closed = 0, True
        self._last, self._known = 0, set[int]()

    def cut(self) -> None:
        """Drop what is behind the last good line: a torn line, or one that is no report.

        Raises:
            OSError: It cannot be written.
        """
        self._read, self._buffer, self._tail = self._good, b"", b""
        if self.path.exists():
            with self.path.open("ab") as file:
                file.truncate(self._good)

    def begin_run(self) -> None:
        """Prepare the file for another run of the program; an empty line divides the runs.

        Raises:
            OSError: It cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.cut()
        self._last = 0
        with self.path.open("ab") as file:
            if self._good:
                file.write(b"\n" if self._closed else b"\n\n")

    def lines(self, *, last: bool = False) -> Iterator[Step | Result]:
        """Yield new steps, each once, and results.

        Args:
            last: Whether the program has ended, so that a line without an end is whole.

        Raises:
            ReportError: A line is no report, or the file is too long or not the one that was read.
        """
        chunk = self._new(last=last)
        *whole, self._buffer = (self._buffer + chunk).split(b"\n")
        if last and self._buffer:
            whole.append(self._buffer)
            self._buffer, self._closed = b"", False
        for line in whole:
            self._line += 1
            try:
                found = parse(line)
                if isinstance(found, Step):
                    self._check_rises(found)
                elif found is None:
                    self._last = 0
            except ReportError as error:
                raise ReportError(f"report line {self._line}: {error}") from None
            self._good = min(self._good + len(line) + 1, self._read)
            if isinstance(found, Step) and found.step in self._known:
                continue
            if isinstance(found, Step):
                self._known.add(found.step)
            if found is not None:
                yield found

    def _check_rises(self, found: Step) -> None:
        if found.step <= self._last:
            raise ReportError(f"step {found.step} after step {self._last}; steps must rise")
        self._last = found.step

    def _new(self, *, last: bool) -> bytes:
        """Return what is behind the part that was read.

        A shorter file may be about to be written again, up to the program's end.
        """
        try:
            size = os.stat(self.path).st_size  # noqa: PTH116 (fifty times a second)
            if size <= self._read and not last:
                return b""
            with self.path.open("rb") as file:
                file.seek(self._read - len(self._tail))
                kept = file.read(len(self._tail)) == self._tail
                chunk = file.read(MOST_BYTES + 1 - self._read) if kept else b""
        except FileNotFoundError:
            kept, chunk = not last, b""
        if not kept:
            self._good = 0
            raise ReportError("the report was removed or written anew; append each line to it")
        self._read, self._tail = self._read + len(chunk), (self._tail + chunk)[-TAIL:]
        if self._read > MOST_BYTES:
            raise ReportError(f"the report has more than {MOST_BYTES} bytes")
        return chunk

    def earlier(self) -> Iterator[Step]:
        """Yield the steps that earlier runs reported, up to a line that is no report."""
        with contextlib.suppress(ReportError):
            for found in self.lines():
                if isinstance(found, Step):
                    yield found
