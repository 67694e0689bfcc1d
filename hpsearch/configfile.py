"""Reading and writing configuration files: YAML 1.2 in, validated pydantic sections out.

YAML 1.2 reads 1e-3 as a number and `no` as a word; duplicate keys, tags, anchors bombs and deep
nesting are refused before anything is built from them.
"""

from __future__ import annotations

import difflib
import io
import math
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hpsearch.errors import InputError

MAX_BYTES = 1_000_000
MAX_DEPTH = 20

Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """A frozen part of a configuration; unknown keys and non-finite numbers are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises:
        InputError: The file is missing, unreadable, too large, not UTF-8, or not such YAML.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the name") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; name the file inside it") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    return parse_yaml(content, str(path))


def parse_yaml(content: bytes, source: str) -> dict[str, Any]:
    """Parse YAML bytes whose top level is a mapping; see `read_yaml`.

    Raises:
        InputError: One line that names the source and what is wrong.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if len(content) > MAX_BYTES:
        raise InputError(f"{source}: {len(content)} bytes; a configuration has at most {MAX_BYTES}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    try:
        _check_events(text, source)
        values = YAML(typ="safe", pure=True).load(text)
    except InputError:
        raise
    except (YAMLError, ValueError, RecursionError) as error:
        line = " ".join(str(error).split())[:200]
        raise InputError(f"{source}: not valid YAML: {line}") from None
    if not isinstance(values, dict):
        raise InputError(f"{source}: the top level must be KEY: VALUE lines, not {_kind(values)}")
    return values


def _check_events(text: str, source: str) -> None:
    """Refuse deep nesting, aliases and second documents while nothing is built yet."""
    from ruamel.yaml import YAML
    from ruamel.yaml.events import (
        AliasEvent,
        DocumentStartEvent,
        MappingEndEvent,
        MappingStartEvent,
        SequenceEndEvent,
        SequenceStartEvent,
    )

    opened = max(text.count("["), text.count("{"))
    if opened > 10_000:
        raise InputError(f"{source}: {opened} opening brackets; a configuration is not that deep")
    depth = documents = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        where = f"line {event.start_mark.line + 1}" if event.start_mark else "?"
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise InputError(f"{source}: {where}: nested more than {MAX_DEPTH} deep")
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            depth -= 1
        elif isinstance(event, AliasEvent):
            raise InputError(f"{source}: {where}: aliases (*name) are not allowed; write it out")
        elif isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise InputError(f"{source}: {where}: a second document; keep one per file")


def _kind(values: Any) -> str:
    return "nothing" if values is None else f"a {type(values).__name__}"


def load_section(kind: type[Model], values: Any, source: str | Path) -> Model:
    """Validate a plain dictionary.

    Args:
        kind: The pydantic model.
        values: What a YAML file held.
        source: The file's name, for the message.

    Raises:
        InputError: One line with file, key, value and what is allowed.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "top level"
        shown = repr(first["input"])
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        message = " ".join(first["msg"].removeprefix("Value error, ").split())
        if first["type"] == "extra_forbidden":
            message = "unknown key" + _nearest(kind, first["loc"])
        raise InputError(f"{source}: {key}: {message} (found {shown})") from error


def _nearest(kind: type[BaseModel], location: tuple[Any, ...]) -> str:
    for part in location[:-1]:
        field = kind.model_fields.get(str(part))
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return ""
        kind = annotation
    near = difflib.get_close_matches(str(location[-1]), list(kind.model_fields), 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(kind.model_fields)}"


def dump_yaml(values: Any) -> str:
    """Return plain data as YAML 1.2 text, keys in their order.

    Raises:
        ValueError: A number is not finite.
    """
    from ruamel.yaml import YAML

    _check_finite(values)
    yaml = YAML(typ="rt", pure=True)
    yaml.default_flow_style = False
    yaml.width = 99
    text = io.StringIO()
    yaml.dump(values, text)
    return text.getvalue()


def _check_finite(values: Any) -> None:
    if isinstance(values, dict):
        for value in values.values():
            _check_finite(value)
    elif isinstance(values, list | tuple):
        for value in values:
            _check_finite(value)
    elif isinstance(values, float) and not math.isfinite(values):
        raise ValueError(f"{values} cannot be written to a configuration")
