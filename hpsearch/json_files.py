"""The content of the program's JSON files, except a trial's: types, and ranges of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder
from hpsearch.records import Count, Number, Positive, Record, Share, damaged, read_record

Figure = Annotated[float, Field(ge=-1, le=2)]
"""An end of an error's interval; it may lie outside 0 to 1."""
Interval = Annotated[list[Figure], Field(min_length=2, max_length=2)]
Ends = Annotated[list[Number], Field(min_length=2, max_length=2)]
"""An interval of any value."""
Place = Annotated[int, Field(ge=0, le=10**9)]
"""A trial's number, or another whole number from 0."""
Epoch = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,8})$")]
SAME = 1e-12
"""Two numbers are equal when they differ by at most this share of the larger one."""
Text = Annotated[str, Field(min_length=1, max_length=10_000)]


SHARES = ("error", "errors", "mean", "search_error", "start_error", "validation_error")
"""Keys of errors, which are shares."""
FIGURES = ("behind_best", "gain", "interval", "interval_one_training", "interval_other_alphabets",
           "measured")  # fmt: skip
"""Keys of differences of errors, and of intervals."""


def _check_shares(record: Record) -> None:
    """Refuse errors that are no shares.

    Raises:
        ValueError: The first such key.
    """
    for keys, (low, high) in ((SHARES, (0, 1)), (FIGURES, (-1, 2))):
        for key in keys:
            held = getattr(record, key, None)
            for value in held if isinstance(held, list) else [held]:
                if isinstance(value, int | float) and not low <= value <= high:
                    raise ValueError(f"{key} {value} must be from {low} to {high}")


class EndedTrial(Record):
    """A trial that has ended, as `TrialRecord.to_json` writes it."""

    model_config = ConfigDict(extra="forbid")

    number: int
    state: Literal["complete", "pruned", "failed"]
    params: dict[str, bool | int | float | str]
    values: dict[Epoch, Number] = Field(default_factory=dict)
    value: Number | None = None
    trainable: bool = True
    cause: str | None = None
    audit: Annotated[int, Field(ge=1)] | None = None
    seconds: Positive | None = None
    result: Number | None = None
    figures: dict[str, Number] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _value_is_the_lowest(self) -> EndedTrial:
        if self.state == "complete" and self.value is None:
            raise ValueError("a complete trial has a value")
        if self.result is not None and self.value == self.result:
            return self
        lowest = min(self.values.values(), default=None)
        if None not in (self.value, lowest) and abs((self.value or 0) - (lowest or 0)) > SAME:
            raise ValueError(f"value {self.value}, the lowest of its epochs is {lowest}")
        return self


class DatasetNote(Record):
    """dataset.json of a study: the data that it started with."""

    kind: Text = "unknown"
    fingerprint: str = ""
    packed: str | None = None
    source: str | None = None
    description: str = ""
    ways: Annotated[int, Field(ge=2, le=10**6)] | None = None
    n_tasks: Annotated[int, Field(ge=1, le=10**9)] | None = None
    pictures: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """Of own images from rule 4 on: validation pictures that are asked for."""


class Opening(Record):
    """One line of openings.jsonl."""

    time: str = ""
    reason: str = ""
    fingerprint: str = ""


class Optimism(Record):
    """How much the search's own best error was too low."""

    trial: Place
    search_error: Number
    measured: Number
    interval: Ends
    luck: Number
    noise: Positive = 0.0
    trials: Place


class Candidate(Record):
    """One trial that was trained again."""

    trial: Place
    search_error: Number
    errors: list[Number]
    mean: Number
    error: Number
    interval: Ends
    probability_best: Share
    behind_best: Number
    behind_best_se: Positive
    broke_down: Place


class Gain(Record):
    """What training gained over a study's start, in a certificate."""

    start: Place
    start_error: Number
    trained: Place
    gain: Number
    interval: Ends
    helps: bool
    as_it_is: bool = True


class Measured(Record):
    """What a command's value is. Files hold it with lower as better."""

    name: Text
    maximized: bool = False


class Certificate(Record):
    """certificate.json. Without a `measure` it is of errors, which are shares."""

    format: Literal[1]
    trial: Place
    error: Number
    interval: Ends
    interval_one_training: Ends
    interval_other_alphabets: Ends | None
    sd_of_trainings: Positive
    probability_best: Share
    search_error: Number
    optimism: Optimism
    candidates: Annotated[list[Candidate], Field(min_length=1)]
    seeds: Annotated[int, Field(ge=1)]
    objective: str = ""
    measure: Measured | None = None
    compared: list[Place]
    gain: Gain | None = None

    @model_validator(mode="after")
    def _of_errors(self) -> Certificate:
        if self.measure is None:
            for part in (
                self,
                self.optimism,
                *self.candidates,
                *([self.gain] if self.gain else []),
            ):
                _check_shares(part)
        return self


class ConfirmedRun(Record):
    """result.json of one run of `confirm`."""

    trial: Place
    place: Place
    seed: Count
    error: Number
    per_alphabet: dict[str, Share]
    """Of a command it is empty: its value may be any number."""
    validation_error: Number
    epochs: Place
    seconds: Positive
    diagnosis: str | None
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _of_errors(self) -> ConfirmedRun:
        if self.per_alphabet:
            _check_shares(self)
        return self


class RejectionSetting(Record):
    """Evidence and thresholds for one number of ways and shots."""

    ways: Annotated[int, Field(ge=2)]
    shots: Annotated[int, Field(ge=1)]
    mean: Number
    variance: Annotated[float, Field(gt=0, le=1e300)]
    slope: Annotated[float, Field(gt=0, le=1e300)]
    bias: Number
    thresholds: list[Number]
    kept: list[Share]


class RejectionPoint(Record):
    """A stated false-accept rate, and what was measured on unseen classes."""

    false_accept: Share
    measured: Share
    measured_interval: Interval
    kept: Share
    kept_interval: Interval
    right: Share
    right_interval: Interval
    sets: Interval


class RejectionCheck(Record):
    """The thresholds of one half of the validation classes on the other half."""

    ways: Place
    shots: Place
    unit: Literal["alphabet", "class"]
    units: Place
    probability_error: Share
    points: Annotated[list[RejectionPoint], Field(min_length=1)]


class RejectionFigures(Record):
    """How a model tells queries of known classes from others."""

    rates: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)]
    settings: Annotated[list[RejectionSetting], Field(min_length=1)]
    check: RejectionCheck

    @model_validator(mode="after")
    def _settings_are_a_table(self) -> RejectionFigures:
        if sorted(set(self.rates)) != self.rates:
            raise ValueError("rates must ascend")
        found = [(one.ways, one.shots) for one in self.settings]
        ways, shots = (sorted({pair[place] for pair in found}) for place in (0, 1))
        if found != [(one, other) for one in ways for other in shots]:
            raise ValueError("settings must hold all pairs of ways and shots, in order")
        if any({len(one.thresholds), len(one.kept)} != {len(self.rates)} for one in self.settings):
            raise ValueError("settings must hold a threshold and a share for each rate")
        return self


class Calibration(Record):
    """How a model's scores become probabilities."""

    slope: Annotated[float, Field(gt=0)]
    bias: Annotated[float, Field(allow_inf_nan=False)]


class Metrics(Record):
    """metrics.json of a model."""

    include_validation: bool = False
    objective: str = ""
    weights_epoch: Place = 0
    epochs: Place = 0
    seconds: Positive = 0.0
    images: Count = 0
    validation_error: Share | None = None
    fresh_error: Share | None = None
    verification_auc: Share | None = None
    none_of_these: RejectionFigures | None = None
    calibration: Calibration | None = None
    calibrated_accuracy: Share | None = None
    calibration_error: Share | None = None
    weights_sha256: str | None = None


class OfAlphabet(Record):
    """The accuracy on one alphabet."""

    accuracy: Share
    n_tasks: Place


class Evaluation(Record):
    """evaluation.json of a model: the last one on the sealed part of its own data."""

    dataset: str = ""
    accuracy: Share
    n_tasks: Annotated[int, Field(ge=1)]
    interval: Interval
    per_alphabet: dict[str, OfAlphabet] = Field(default_factory=dict)
    verification_auc: Share | None = None
    degenerate: bool
    part: Literal["sealed"] = "sealed"
    ways: Annotated[int, Field(ge=2)] | None = None
    shots: Annotated[int, Field(ge=1)] = 1
    fingerprint: Text


class Baseline(Record):
    """The score of one training-free method."""

    name: str
    accuracy: Share | None
    interval: Interval | None
    n_tasks: Place | None
    verification_auc: Share | None = None
    degenerate: bool | None
    published: Share | None


class Baselines(Record):
    """baselines.json of a packed data set."""

    fingerprint: Text
    baselines: dict[str, Baseline]


class Counts(Record):
    """The size of one role of a data set."""

    alphabets: Place
    characters: Place
    images: Place


class PackedMeta(Record):
    """meta.json of a packed data set."""

    format: int
    kind: Text
    fingerprint: Text
    ways: Annotated[int, Field(ge=2, le=10**6)]
    turns: bool
    description: str
    rule: Annotated[int, Field(ge=1)] = 1
    paper: bool = True
    colour_px: Annotated[int, Field(ge=0, le=224)] = 0
    notices: list[str] = Field(default_factory=list)
    roles: dict[Literal["background", "validation", "test"], Counts]
    sha256: dict[str, str]
    files: dict[str, str] = Field(default_factory=dict)


NO_DATA: dict[str, Any] = {
    "kind": "command",
    "fingerprint": "",
    "packed": None,
    "source": None,
    "description": "the program's own data",
    "ways": None,
    "n_tasks": None,
}
"""dataset.json of a command's study."""


def read_dataset(path: Path) -> dict[str, Any]:
    """Read dataset.json of a study.

    Raises:
        InputError: The file is missing or invalid.
        EnvironmentFailure: The machine cannot read it now.
    """
    try:
        return read_record(path, DatasetNote).values
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {_again(path)}") from None
    except ValueError as error:
        raise damaged(path, error, _again(path)) from error


def _again(path: Path) -> str:
    """Return how to get a lost file back: begun.json holds what it said."""
    folder = StudyFolder(path.parent)
    repair = f", or {folder.repair} writes it again" if folder.begun.is_file() else ""
    return f"restore it from a copy{repair}"
