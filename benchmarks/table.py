"""The recorded table: one row per trial and epoch, compressed CSV. Knows no training.

Columns: trial, epoch (from 1), validation_error, seconds (of computing since the trial's start),
outcome (complete, or why the trial could not be trained), then one column per parameter.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpsearch.configfile import parse_yaml
from hpsearch.errors import InputError
from hpsearch.paths import write_atomically
from hpsearch.space.parameter import Parameter
from hpsearch.space.space import SearchSpace
from hpsearch.trial import Value

COLUMNS = ("trial", "epoch", "validation_error", "seconds", "outcome")
COMPLETE = "complete"


@dataclass(frozen=True)
class RecordedTrial:
    """One trial of a table.

    Args:
        trial: Its number.
        params: Its parameters by name.
        errors: Validation error of each epoch, from epoch 1.
        seconds: Seconds from the trial's start to the end of each epoch.
        outcome: "complete", or why it could not be trained ("diverged").
    """

    trial: int
    params: dict[str, Value]
    errors: tuple[float, ...]
    seconds: tuple[float, ...]
    outcome: str

    @property
    def complete(self) -> bool:
        """Whether it could be trained to its end."""
        return self.outcome == COMPLETE

    @property
    def best(self) -> float:
        """The objective: the lowest validation error of any epoch."""
        return min(self.errors)


@dataclass(frozen=True)
class Table:
    """All trials of a table, by number."""

    trials: tuple[RecordedTrial, ...]

    @property
    def epochs(self) -> int:
        """Epochs of a complete trial."""
        return max(len(t.errors) for t in self.trials)

    def repeated(self) -> list[tuple[RecordedTrial, RecordedTrial]]:
        """Return the pairs of trials that share their configuration under two seeds."""
        first: dict[tuple[Value, ...], RecordedTrial] = {}
        pairs = []
        for trial in self.trials:
            key = tuple(trial.params.values())
            if key in first:
                pairs.append((first[key], trial))
            else:
                first[key] = trial
        return pairs


def read_table(path: Path, space: SearchSpace) -> Table:
    """Read a table, compressed or not.

    Args:
        path: The CSV file; gzip when its name ends in .gz.
        space: Its parameters are the columns that are read, each as its own type.

    Raises:
        InputError: One line with file, row and what is wrong.
    """
    try:
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        rows = list(csv.DictReader(io.StringIO(text.decode(), newline="")))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from error
    if not rows:
        raise InputError(f"{path}: holds no row; record trials first")
    missing = [c for c in (*COLUMNS, *space.parameters) if c not in rows[0]]
    if missing:
        raise InputError(
            f"{path}: column {missing[0]!r} is missing; needed are {', '.join(COLUMNS)} and one "
            f"for each parameter of {space.name}"
        )
    grouped: dict[int, list[dict[str, str]]] = {}
    for number, row in enumerate(rows, start=2):
        try:
            grouped.setdefault(int(row["trial"]), []).append(row)
            if int(row["epoch"]) != len(grouped[int(row["trial"])]):
                raise ValueError(f"epoch {row['epoch']}; epochs count from 1, in order")
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: row {number}: {error}") from error
    return Table(tuple(_trial(path, n, grouped[n], space) for n in sorted(grouped)))


def _trial(
    path: Path, number: int, rows: Sequence[dict[str, str]], space: SearchSpace
) -> RecordedTrial:
    try:
        found = RecordedTrial(
            trial=number,
            params={name: _value(p, name, rows[0][name]) for name, p in space.parameters.items()},
            errors=tuple(_error(row["validation_error"]) for row in rows),
            seconds=tuple(float(row["seconds"]) for row in rows),
            outcome=rows[-1]["outcome"],
        )
        if found.complete and not 0 < found.seconds[-1] < math.inf:
            raise ValueError(f"seconds {found.seconds[-1]:g}; a trial takes time, above 0")
    except (TypeError, ValueError, InputError) as error:
        raise InputError(f"{path}: trial {number}: {error}") from error
    return found


def _error(text: str) -> float:
    """Return a validation error; what is not finite counts as always wrong."""
    value = float(text)
    return value if math.isfinite(value) else 1.0


def _value(parameter: Parameter, name: str, text: str) -> Value:
    if parameter.choices is not None:
        for choice in parameter.choices:
            if str(choice) == text:
                value: Value = choice
                return value
        return parameter.nearest(name, text)
    try:
        return parameter.nearest(name, float(text))
    except ValueError as error:
        raise ValueError(f"{name}: {text!r} is no number") from error


def write_table(path: Path, trials: Iterable[RecordedTrial]) -> None:
    """Write a table whole, aside and renamed; the same trials give the same bytes."""
    ordered = sorted(trials, key=lambda t: t.trial)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*COLUMNS, *ordered[0].params])
    for trial in ordered:
        values = [_text(value) for value in trial.params.values()]
        for epoch, (error, seconds) in enumerate(
            zip(trial.errors, trial.seconds, strict=True), start=1
        ):
            writer.writerow(
                [trial.trial, epoch, f"{error:.6g}", f"{seconds:.3f}", trial.outcome, *values]
            )
    data = buffer.getvalue().encode()
    write_atomically(path, gzip.compress(data, 9, mtime=0) if path.suffix == ".gz" else data)


def _text(value: Value) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def read_space(source: str) -> SearchSpace:
    """Read a space file or a shipped space by name; its parameters may be of any problem."""
    path = Path(source)
    if path.is_file():
        return SearchSpace.from_values(parse_yaml(path.read_bytes(), source), source)
    return SearchSpace.from_yaml(source)
