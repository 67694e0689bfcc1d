"""Reads back what the program wrote: every such file is foreign input until it has passed here.

A fact that counts carries a checksum of its content. Files of version 0.1.0 have none: they are
believed as far as their types and ranges allow.
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
"""No file that is read back is larger: the prior of 10,000 trials has 30 MB."""
MAX_DEPTH = 20
CHECKSUM = "checksum"
"""The key of SHA-256 (hex) of everything else that a JSON object holds."""
LARGEST = 10**30
"""No whole number is larger: floating point holds it."""
SHOWN = 60
LINE_HEAD = "# checksum: "
"""How the last line of a text with a checksum begins."""

Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(ge=-1e300, le=1e300)]
Positive = Annotated[float, Field(ge=0, le=1e300)]
Count = Annotated[int, Field(ge=0, le=10**24)]


class Record(BaseModel):
    """What one kind of file must hold; keys of newer versions are let through."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, strict=True)


class Found(NamedTuple):
    """What a file held.

    Args:
        values: Its content without the checksum, with the defaults of what it leaves out.
        recorded: Whether it carried one.
    """

    values: dict[str, Any]
    recorded: bool


class Lines(NamedTuple):
    """What a file of one JSON object a line held.

    Args:
        rows: The lines before the first that cannot be believed, each checked.
        problem: What is wrong with that one; None where all are whole.
    """

    rows: list[Found]
    problem: str | None


def checksum_of(values: dict[str, Any]) -> str:
    """Return SHA-256 (hex) of an object that JSON gave: keys in order, no white space."""
    return _sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode())


def with_checksum(values: dict[str, Any]) -> dict[str, Any]:
    """Return an object as JSON gives it back, with its checksum; numbers not finite become null."""
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
    """Read a JSON object that the program wrote.

    Args:
        path: A regular file.
        kind: What it must hold.

    Raises:
        FileNotFoundError: There is none.
        ValueError: What is wrong with it: no such object, a value out of its range, or a checksum
            that does not fit.
        EnvironmentFailure: The machine cannot read it now.
    """
    return parse_record(read_regular(path), kind)


def read_or_none(path: Path, kind: type[Record]) -> dict[str, Any] | None:
    """Return what a file holds; None where there is none, or none that is believed."""
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
    """Read JSON without NaN, infinities and deep nesting.

    Raises:
        ValueError: It is none.
    """
    try:
        values = json.loads(content, parse_constant=_refuse)
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    _check_plain(values, 0)
    return values


def check(values: Any, kind: type[Record]) -> dict[str, Any]:
    """Check plain values; return them, with the defaults of what they leave out.

    Raises:
        ValueError: The first key that is wrong, with what is allowed and what was found.
    """
    try:
        return kind.model_validate(values).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "top level"
        shown = repr(first["input"])
        shown = shown if len(shown) <= SHOWN else shown[: SHOWN - 3] + "..."
        text = " ".join(first["msg"].removeprefix("Value error, ").split())
        raise ValueError(f"{key}: {text} (found {shown})") from None


def read_lines(path: Path, kind: type[Record]) -> Lines:
    """Read a file of one JSON object a line, up to the first that cannot be believed.

    Raises:
        FileNotFoundError: There is none.
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
    """Return a regular file's bytes; nothing else is opened, so that no pipe makes us wait.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is no regular file, or too large.
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
    """Return a text with two checksums in a comment as its last line: its own, and its content's.

    Args:
        text: YAML.
        values: What it says, so that this can be compared without parsing it.
    """
    said = checksum_of(values)
    return f"{text}{LINE_HEAD}{_sha256((text + said).encode())} {said}\n"


def content_checksum(content: bytes) -> str | None:
    """Return the checksum of what a sealed text says, None where it carries none.

    Raises:
        ValueError: The text's own checksum does not fit.
    """
    place = content.rfind(LINE_HEAD.encode())
    if place < 0:
        return None
    told = content[place + len(LINE_HEAD) :].decode("ascii", "replace").split()
    if len(told) != 2 or told[0] != _sha256(content[:place] + told[1].encode()):
        raise ValueError("its checksum does not fit: it was edited or damaged")
    return told[1]


def set_aside(path: Path) -> Path:
    """Rename a file that is not believed, and return its new name; none is replaced.

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


def damaged(path: Path, error: ValueError, way_out: str) -> InputError:
    """Return what to tell of a file that is not believed, with the way out."""
    return InputError(f"{path}: {error}; {way_out}")


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
