"""Reads files that the program wrote, and checks them before anything uses them.

A file whose facts matter carries a checksum of its content. Files of version 0.1.0 have none: only
their types and ranges are checked.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpsearch.errors import EnvironmentFailure, InputError, cannot
from hpsearch.paths import read_file

MAX_BYTES = 200_000_000
"""Larger files are refused; the prior of 10,000 trials has 30 MB."""
MAX_DEPTH = 20
CHECKSUM = "checksum"
"""Key of the SHA-256 (hex) of everything else in a JSON object."""
LARGEST = 10**30
"""Larger whole numbers are refused; a float can hold this one."""
SHOWN = 60
LINE_HEAD = "# checksum: "
"""Prefix of the last line of a text with a checksum."""

Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(ge=-1e300, le=1e300)]
Positive = Annotated[float, Field(ge=0, le=1e300)]
Count = Annotated[int, Field(ge=0, le=10**24)]


class Record(BaseModel):
    """The content of one kind of file; unknown keys, of newer versions, are allowed."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, strict=True)


class Found(NamedTuple):
    """The checked content of a file.

    Args:
        values: Its content without the checksum, with defaults for missing keys.
        recorded: Whether it carried a checksum.
    """

    values: dict[str, Any]
    recorded: bool


class Lines(NamedTuple):
    """The content of a file with one JSON object a line.

    Args:
        rows: The checked lines before the first invalid one.
        problem: What is wrong with that line; None where all are valid.
    """

    rows: list[Found]
    problem: str | None


def checksum_of(values: dict[str, Any]) -> str:
    """Return the SHA-256 (hex) of plain values as JSON: keys sorted, no white space."""
    return _sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode())


def with_checksum(values: dict[str, Any]) -> dict[str, Any]:
    """Return an object as JSON reads it back, with its checksum; NaN and infinity become null."""
    plain: dict[str, Any] = json.loads(json.dumps(_finite(values)))
    plain.pop(CHECKSUM, None)
    return {**plain, CHECKSUM: checksum_of(plain)}


def dump_record(values: dict[str, Any]) -> str:
    """Return the text of a file that `read_record` reads."""
    return json.dumps(with_checksum(values), indent=1) + "\n"


def dump_line(values: dict[str, Any]) -> str:
    """Return one line of a file that `read_lines` reads."""
    return json.dumps(with_checksum(values)) + "\n"


def read_record(path: Path, kind: type[Record]) -> Found:
    """Read and check a JSON object that the program wrote.

    Args:
        path: A regular file.
        kind: The content that it must have.

    Raises:
        FileNotFoundError: There is no file.
        ValueError: It holds no such object, a value is out of its range, or the checksum does not
            fit.
        EnvironmentFailure: The machine cannot read it now.
    """
    return parse_record(read_regular(path), kind)


def read_or_none(path: Path, kind: type[Record]) -> dict[str, Any] | None:
    """Return the content of a file; None where it is missing or invalid."""
    try:
        return read_record(path, kind).values
    except (FileNotFoundError, ValueError, EnvironmentFailure):
        return None


def parse_record(content: bytes, kind: type[Record]) -> Found:
    """Check the bytes of one JSON object; see `read_record`."""
    values = parse_json(content)
    if not isinstance(values, dict):
        raise ValueError(f"holds a {type(values).__name__}, not one JSON object")
    checksum = values.pop(CHECKSUM, None)
    if checksum is not None and checksum != checksum_of(values):
        raise ValueError("its checksum does not fit: it was edited or damaged")
    return Found(check(values, kind), checksum is not None)


def parse_json(content: bytes) -> Any:
    """Read JSON; refuse NaN, infinities and deep nesting.

    Raises:
        ValueError: The content is not such JSON.
    """
    try:
        values = json.loads(content, parse_constant=_refuse)
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    _check_plain(values, 0)
    return values


def check(values: Any, kind: type[Record]) -> dict[str, Any]:
    """Check plain values; return them with defaults for missing keys.

    Raises:
        ValueError: The first invalid key, with what is allowed and what was found.
    """
    try:
        return kind.model_validate(values).model_dump()
    except ValidationError as error:
        raise ValueError(first_problem(error)) from None


def first_problem(error: ValidationError) -> str:
    """Describe the first invalid key, with what is allowed and what was found."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "top level"
    shown = repr(first["input"])
    shown = shown if len(shown) <= SHOWN else shown[: SHOWN - 3] + "..."
    text = " ".join(first["msg"].removeprefix("Value error, ").split())
    return f"{key}: {text} (found {shown})"


def read_lines(path: Path, kind: type[Record]) -> Lines:
    """Read a file with one JSON object a line, up to the first invalid line.

    Raises:
        FileNotFoundError: There is no file.
        ValueError: It cannot be read at all.
    """
    rows: list[Found] = []
    for number, line in enumerate(read_regular(path).splitlines(), start=1):
        try:
            rows.append(parse_record(line, kind))
        except ValueError as error:
            return Lines(rows, f"line {number}: {error}")
    return Lines(rows, None)


def read_regular(path: Path) -> bytes:
    """Return the bytes of a regular file. Nothing else is read: a pipe could block for ever.

    Raises:
        FileNotFoundError: There is no file.
        ValueError: It is not a regular file, or it is too large.
        EnvironmentFailure: The machine cannot read it now.
    """
    try:
        content = read_file(path, MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(*error.args) from None
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EISDIR, errno.ELOOP):  # a pipe, a link to itself
            raise ValueError("not a regular file") from None
        raise cannot("read", path, error) from error
    if len(content) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    return content


def sealed_text(text: str, values: dict[str, Any]) -> str:
    """Append a comment line with two checksums: one of the text, one of its content.

    Args:
        text: YAML.
        values: The content of the text. Its checksum allows a comparison without parsing.
    """
    said = checksum_of(values)
    return f"{text}{LINE_HEAD}{_sha256((text + said).encode())} {said}\n"


def content_checksum(content: bytes) -> str | None:
    """Return the checksum of a sealed text's content, None where it carries none.

    Raises:
        ValueError: The text's own checksum does not fit.
    """
    place = content.rfind(LINE_HEAD.encode())
    if place < 0:
        return None
    sums = content[place + len(LINE_HEAD) :].decode("ascii", "replace").split()
    if len(sums) != 2 or sums[0] != _sha256(content[:place] + sums[1].encode()):
        raise ValueError("its checksum does not fit: it was edited or damaged")
    return sums[1]


def set_aside(path: Path) -> Path:
    """Rename an invalid file to a free name, and return that name.

    Raises:
        EnvironmentFailure: It cannot be renamed.
    """
    count, aside = 1, path.with_name(f"{path.name}.damaged")
    while aside.exists():
        count += 1
        aside = path.with_name(f"{path.name}.damaged-{count}")
    try:
        path.rename(aside)
    except OSError as error:
        raise cannot("renamed", path, error) from error
    return aside


def damaged(path: Path, error: ValueError, fix: str) -> InputError:
    """Return the error for an invalid file, with the fix."""
    return InputError(f"{path}: {error}; {fix}")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number that is ever written")


def _check_plain(values: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    if isinstance(values, float) and not math.isfinite(values):
        raise ValueError("a number is not finite")
    if isinstance(values, int) and abs(values) > LARGEST:
        raise ValueError("a number has more than 30 digits")
    if isinstance(values, dict | list):
        for value in values.values() if isinstance(values, dict) else values:
            _check_plain(value, depth + 1)


def _finite(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _finite(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
