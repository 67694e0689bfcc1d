"""Reads YAML 1.2 files into validated pydantic sections, and writes them.

YAML 1.2 reads 1e-3 as a number and `no` as a word. Duplicate keys, tags, aliases and deep nesting
are refused before anything is built from them.
"""

from __future__ import annotations

import difflib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError

from hpsearch.errors import InputError, hide_passwords, shortened
from hpsearch.paths import read_file
from hpsearch.records import parse_json, read_regular

MAX_BYTES = 1_000_000
MAX_OPENED = 10_000
"""Opening brackets: the scanner's time grows with the square of their number."""

Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """A frozen part of a configuration. Unknown keys and non-finite numbers are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises:
        InputError: The file is missing, unreadable, too large, not UTF-8, or not such YAML.
    """
    try:
        content = read_file(path)
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
        InputError: One line with the source and the error.
    """
    from ruamel.yaml import YAML

    from hpsearch.yaml_parser import CheckedParser, Refused

    if len(content) > MAX_BYTES:
        raise InputError(
            f"{source}: {len(content)} bytes; a configuration has at most {MAX_BYTES}"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source}: not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from None
    opened = max(text.count("["), text.count("{"))
    if opened > MAX_OPENED:
        raise InputError(f"{source}: {opened} opening brackets; a configuration is not that deep")
    reader = YAML(typ="safe", pure=True)
    reader.Parser = CheckedParser
    try:
        values = reader.load(text)
    except Refused as refused:
        raise InputError(f"{source}: {refused}") from None
    except Exception as error:  # the parser raises many types for damaged text
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f"line {mark.line + 1}: " if mark else ""
        shown = shortened(problem or error, 200)
        raise InputError(f"{source}: {where}not valid YAML: {shown}") from None
    if not isinstance(values, dict):
        raise InputError(f"{source}: the top level must be KEY: VALUE lines, not {_kind(values)}")
    return values


def _kind(values: Any) -> str:
    return "nothing" if values is None else f"a {type(values).__name__}"


def load_section(kind: type[Model], values: Any, source: str | Path) -> Model:
    """Validate a plain dictionary.

    Args:
        kind: The pydantic model.
        values: The content of a YAML file.
        source: The file's name, for the message.

    Raises:
        InputError: One line with file, key, value and what is allowed.
    """
    try:
        found = kind.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # A misspelt key is reported twice, also as missing; the misspelling says more.
        first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
        location = _place(values, first)
        key = ".".join(str(part) for part in location) or "top level"
        shown = hide_passwords(repr(first["input"]))  # before it is cut
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        if first["type"] == "extra_forbidden":
            message = "unknown key" + _nearest(kind, location)
        else:  # a value may have several types: report what each of them requires
            words = dict.fromkeys(in_words(e) for e in errors if _place(values, e) == location)
            message = "; or ".join(words).replace("; or must be", ", or")
        where = _line(source, location)
        raise InputError(f"{source}: {where}{key}: {message} (found {shown})") from error
    if counted := _counted(values, found):
        where, key = _line(source, counted), ".".join(counted)
        raise InputError(f"{source}: {where}{key}: must be a number, not true or false")
    return found


def _counted(values: Any, found: BaseModel) -> tuple[str, ...]:
    """Return the keys of a true or false that pydantic took for 1 or 0; none where none was."""
    if not isinstance(values, dict):
        return ()
    for key, value in values.items():
        held = getattr(found, str(key), None)
        if isinstance(value, bool) and isinstance(held, int | float) and type(held) is not bool:
            return (key,)
        if isinstance(held, BaseModel) and (deeper := _counted(value, held)):
            return (key, *deeper)
    return ()


WORDS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be KEY: VALUE lines",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be above {gt:.15g}",
    "greater_than_equal": "must be at least {ge:.15g}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "invalid_key": "its key must be text",
    "less_than": "must be below {lt:.15g}",
    "less_than_equal": "must be at most {le:.15g}",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "missing": "is missing",
    "model_type": "must be KEY: VALUE lines",
    "string_pattern_mismatch": "has characters that are not allowed",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "tuple_type": "must be a list",
}
"""Messages for pydantic's types of errors."""
LIMITS = ("gt", "ge", "lt", "le")
COUSINS = {
    "batch_pairs": ("batch_size",),
    "choices": ("choice", "options", "values"),
    "high": ("max", "maximum", "upper"),
    "hours": ("time", "timeout"),
    "l2": ("weight_decay",),
    "learning_rate": ("lr",),
    "low": ("lower", "min", "minimum"),
    "max_epochs": ("epochs",),
    "trials": ("n_trials",),
}
"""Settings, and their names in other programs."""


def in_words(error: Mapping[str, Any]) -> str:
    """Return the message for one of pydantic's errors."""
    words = WORDS.get(error["type"])
    if words is None:
        return " ".join(str(error["msg"]).removeprefix("Value error, ").split())
    limits = {k: float(v) if k in LIMITS else v for k, v in error.get("ctx", {}).items()}
    return words.format(**limits)


def _place(values: Any, error: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the keys in the location of pydantic's error, without the types that it tried."""
    keys: list[Any] = []
    for part in error["loc"]:
        inside = isinstance(values, dict) and part in values
        inside = inside or (isinstance(values, list | tuple) and part in range(len(values)))
        if not inside:
            return (*keys, error["loc"][-1]) if error["type"] == "missing" else tuple(keys)
        keys.append(part)
        values = values[part]
    return tuple(keys)


def _line(source: str | Path, location: tuple[Any, ...]) -> str:
    """Return "line N: " of a key in a YAML file, and an empty text for other sources."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path, line = Path(source), 0
    try:
        if path.suffix not in (".yaml", ".yml"):
            return ""
        node = YAML(typ="safe", pure=True).compose(read_file(path).decode("utf-8-sig"))
    except (OSError, ValueError, YAMLError):
        return ""
    for part in location:
        inner = getattr(node, "value", None)
        entries = inner if isinstance(inner, list) else []
        if isinstance(part, int) and part < len(entries) and not isinstance(entries[part], tuple):
            node = entries[part]
            line = node.start_mark.line + 1
            continue
        pairs = [e for e in entries if isinstance(e, tuple) and e[0].value == str(part)]
        if not pairs:
            break
        line, node = pairs[0][0].start_mark.line + 1, pairs[0][1]
    return f"line {line}: " if line else ""


def _nearest(kind: type[BaseModel], location: tuple[Any, ...]) -> str:
    hint: Any = kind
    for part in location[:-1]:
        hint = _within(hint, part)
    section = next((h for h in (hint, *get_args(hint)) if _is_section(h)), None)
    if section is None:
        return ""
    asked, known = str(location[-1]), list(section.model_fields)
    near = [name for name in known if asked in COUSINS.get(name, ())]
    near = near or difflib.get_close_matches(asked, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"


def _is_section(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseModel)


def _within(hint: Any, part: Any) -> Any:
    """Return the type of a part of a type; None where it is unknown."""
    if _is_section(hint):
        field = hint.model_fields.get(str(part))
        return field.annotation if field else _extra(hint)
    inside, origin = get_args(hint), get_origin(hint)
    if not inside or origin is Literal:
        return None
    if origin in (dict, list, tuple):
        return inside[-1] if origin is dict else inside[0]
    return next((found for h in inside if (found := _within(h, part)) is not None), None)


def _extra(kind: type[BaseModel]) -> Any:
    """Return the type of a model's extra values, None where it allows none."""
    hint = get_type_hints(kind).get("__pydantic_extra__")
    return (get_args(hint) or (None,))[-1]


def dump_yaml(values: Any) -> str:
    """Return plain data as YAML 1.2 text; keep the order of keys.

    Raises:
        ValueError: A number is not finite.
    """
    from ruamel.yaml import YAML

    try:
        json.dumps(values, allow_nan=False, default=str)
    except ValueError:
        raise ValueError(
            "a number that is not finite cannot be written to a configuration"
        ) from None
    yaml = YAML(typ="rt", pure=True)
    yaml.default_flow_style = False
    yaml.width = 99
    text = io.StringIO()
    yaml.dump(values, text)
    return text.getvalue()


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: The file is missing or holds something else.
        EnvironmentFailure: The machine cannot read it now.
    """
    try:
        values = parse_json(read_regular(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the study's folder is incomplete") from None
    except ValueError as error:
        raise InputError(
            f"{path}: cannot be read as JSON ({error}); restore it from a copy"
        ) from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: must hold one JSON object")
    return values
