"""The files of one trial: the driver writes them; reading checks them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from hpsearch import records
from hpsearch.configfile import dump_yaml, parse_yaml
from hpsearch.errors import InputError
from hpsearch.json_files import SAME, EndedTrial
from hpsearch.paths import TrialFolder, write_atomically
from hpsearch.records import Count, Number, Positive, Record
from hpsearch.study.config import by_path
from hpsearch.trainers.command import CommandTrial
from hpsearch.trainers.recipe import Recipe, read_recipe
from hpsearch.training.epoch import EpochResult
from hpsearch.trial import TrialRecord, Value


class Result(Record):
    """result.json of a trial."""

    trial: EndedTrial
    epochs: Count | None = None
    seconds: Positive | None = None
    images: Count | None = None
    multiply_adds: Count | None = None
    peak_bytes: Count | None = None


class EpochLine(Record):
    """One line of epochs.jsonl."""

    model_config = ConfigDict(extra="forbid")

    epoch: Annotated[int, Field(ge=0, le=10**9)]
    loss: float | None
    validation_error: Number
    seconds: Positive
    images: Count
    multiply_adds: Count
    diagnosis: str | None = None
    peak_bytes: Count | None = None
    metrics: dict[str, Number] = Field(default_factory=dict)


class Deaths(Record):
    """attempts.json: deaths of workers since a trial's last new epoch."""

    attempts: Annotated[int, Field(ge=0, le=10**6)] = 0
    """Number of deaths."""
    epoch: Annotated[int, Field(ge=0, le=10**9)] = 0
    """The trial's last epoch when they happened."""
    death: str | None = None
    """Cause of the last one."""
    ended_well: Count = 0
    """Trials of the study that had ended well at the first one."""

    @property
    def cause(self) -> str:
        """Cause of the last death, in words."""
        return self.death or "unknown"


class TrainedBy(Record):
    """One entry of provenance.json."""

    versions: dict[str, str] = Field(default_factory=dict)
    commit: str | None = None
    dirty: bool | None = None
    host: str = ""
    device: str = ""
    threads: Count = 0
    fingerprint: str = ""
    seed: Count = 0
    study_seed: Count = 0


class ResultFile(NamedTuple):
    """A valid result: the trial, the file's other values, and whether it has a checksum."""

    trial: TrialRecord
    beside: dict[str, Any]
    recorded: bool


def read_result(path: Path) -> ResultFile | None:
    """Return a trial's result, None where it is missing or invalid."""
    try:
        return load_result(path)
    except (FileNotFoundError, ValueError):
        return None


def load_result(path: Path) -> ResultFile:
    """Read a trial's result.json.

    Raises:
        FileNotFoundError: There is no file.
        ValueError: It is invalid, with the reason.
    """
    values, recorded = records.read_record(path, Result)
    trial = TrialRecord.from_json(values.pop("trial"))
    if not recorded:
        for value in trial.values.values():
            _refuse_no_share(value)
    if path.parent.name.isdigit() and trial.number != int(path.parent.name):
        raise ValueError(f"trial.number: {trial.number}, of another trial's folder")
    return ResultFile(trial, values, recorded)


def _refuse_no_share(value: float) -> None:
    """Refuse a value of version 0.1.0, which knew errors only and wrote no checksums.

    Raises:
        ValueError: It is no share.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"value {value} must be from 0 to 1")


def check_ended(trial: TrialRecord) -> None:
    """Refuse an ended trial that result.json could not hold.

    Raises:
        ValueError: The first invalid key.
    """
    records.check(records.parse_json(json.dumps(trial.to_json()).encode()), EndedTrial)


class Curve(NamedTuple):
    """The epochs of an epochs.jsonl.

    Args:
        epochs: Those before the first line that is torn by a kill, out of order or out of range.
        problem: What is wrong with that line; None where every line is whole.
    """

    epochs: list[EpochResult]
    problem: str | None = None

    @property
    def errors(self) -> dict[int, float]:
        """Validation error by epoch."""
        return {result.epoch: result.validation_error for result in self.epochs}


def read_curve(path: Path) -> Curve:
    """Read an epochs.jsonl; a file that is missing holds no epoch."""
    try:
        lines = records.read_lines(path, EpochLine)
    except FileNotFoundError:
        return Curve([])
    except ValueError as error:
        return Curve([], str(error))
    epochs: list[EpochResult] = []
    for values, recorded in lines.rows:
        if epochs and values["epoch"] <= epochs[-1].epoch:
            return Curve(epochs, f"epoch {values['epoch']} after {len(epochs)}")
        try:
            if not recorded:
                _refuse_no_share(values["validation_error"])
        except ValueError as error:
            return Curve(epochs, str(error))
        epochs.append(EpochResult.from_json(values))
    return Curve(epochs, lines.problem)


def epoch_line(result: EpochResult) -> str:
    """Return an epoch's line of epochs.jsonl."""
    return records.dump_line(result.to_json())


def read_provenance(folder: TrialFolder) -> list[dict[str, Any]]:
    """Return the machines and versions that trained a trial, the newest last.

    Empty for trials without provenance; a damaged file counts as missing.
    """
    try:
        return load_provenance(folder.provenance)
    except (FileNotFoundError, ValueError):
        return []


def load_provenance(path: Path) -> list[dict[str, Any]]:
    """Read a provenance.json.

    Raises:
        FileNotFoundError: There is no file.
        ValueError: It is invalid, with the reason.
    """
    held = records.parse_json(records.read_regular(path))
    try:
        TypeAdapter(list[TrainedBy]).validate_python(held)
    except ValidationError as error:
        raise ValueError(records.first_problem(error)) from None
    return list(held)


def write_config(folder: TrialFolder, config: Recipe) -> None:
    """Write a trial's config.yaml, with its checksum."""
    plain = config.plain()
    write_atomically(folder.config, records.sealed_text(dump_yaml(plain), plain))


class Compared(NamedTuple):
    """The comparison of a trial's config.yaml with the configuration that its parameters give.

    Args:
        problem: The first setting that differs, with both values, or why the file is invalid.
        recorded: Whether the file has a checksum.
        missing: Whether there is no file.
    """

    problem: str | None = None
    recorded: bool = False
    missing: bool = False


def compare_config(folder: TrialFolder, expected: Recipe) -> Compared:
    """Compare a trial's config.yaml with the configuration that its parameters give."""
    try:
        content = records.read_regular(folder.config)
        recorded = records.content_checksum(content)
        if recorded == records.checksum_of(expected.plain()):
            return Compared(recorded=True)
        held = _parse_config(content, folder.config.name)
    except FileNotFoundError:
        return Compared(missing=True)
    except ValueError as error:
        return Compared(str(error))
    return Compared(differing(held, expected.plain()), recorded is not None)


def trained_params(
    folder: TrialFolder, names: Iterable[str]
) -> tuple[dict[str, Any], bool] | None:
    """Return parameters from a trial's config.yaml, and whether it carries a checksum.

    None where the file is missing or invalid, or a network lacks one of the parameters. A
    command's are left out where their condition does not hold.
    """
    try:
        content = records.read_regular(folder.config)
        recorded = records.content_checksum(content) is not None
        config = read_recipe(_parse_config(content, folder.config.name))
        if isinstance(config, CommandTrial):
            return {n: config.parameters[n] for n in names if n in config.parameters}, recorded
        return {name: config.value(name) for name in names}, recorded
    except (FileNotFoundError, ValueError, InputError, KeyError):
        return None


def _parse_config(content: bytes, name: str) -> dict[str, Any]:
    try:
        values = parse_yaml(content, name)
        read_recipe(values, name)
    except InputError as error:
        raise ValueError(str(error).removeprefix(f"{name}: ")) from None
    return values


def differing(held: Mapping[str, Any], expected: Mapping[str, Any]) -> str | None:
    """Return the first setting that differs from the expected configuration, with both values.

    A setting that only `expected` has is newer than the held file, and does not count.
    """
    ours = by_path(expected)
    for key, value in by_path(held).items():
        if key in ours and not same(value, ours[key]):
            return f"{key.removeprefix('layers.')}: {value}, by the database {ours[key]}"
    return None


def differing_params(one: Mapping[str, Value], other: Mapping[str, Value]) -> str | None:
    """Return the first parameter with different values in both, None where there is none."""
    for name, value in one.items():
        if name in other and not same(value, other[name]):
            return f"{name}: {value} and {other[name]}"
    return None


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal, numbers up to rounding."""
    if isinstance(one, float | int) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=SAME)
    return bool(one == other)
