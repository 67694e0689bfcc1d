"""Tables of the settings of study files and space files, written from the pydantic models.

Sphinx puts them where a page says `<!-- settings: study -->`; see conf.py. Knows no Sphinx.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel

from hpsearch.samplers.config import OPTIONS, SamplerConfig
from hpsearch.space.space import SearchSpace
from hpsearch.study.config import StudyConfig

FILES: dict[str, type[BaseModel]] = {"study": StudyConfig, "space": SearchSpace}
MARKER = re.compile(r"<!-- settings: (\w+) -->")
TYPES = {
    "array": "list",
    "boolean": "true or false",
    "integer": "integer",
    "null": "none",
    "number": "number",
    "object": "mapping",
    "string": "text",
}
UNNAMED = {"convolutions": "conv1, conv2, ...", "parameters": "PATH"}
"""How a key is shown that the author of the file chooses."""


@dataclass(frozen=True)
class Setting:
    """One row of a table.

    Args:
        key: As the file has it, without the sections around it.
        type: In words.
        default: As YAML, or `required`.
        allowed: Choices or bounds, empty where there are none.
        meaning: The docstring under the field.
    """

    key: str
    type: str
    default: str
    allowed: str
    meaning: str

    def row(self) -> str:
        """Return the row in Markdown."""
        cells = (f"`{self.key}`", self.type, self.default, self.allowed, self.meaning)
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def pages(text: str) -> str:
    """Return a page's source with every marker replaced by its tables."""
    return MARKER.sub(lambda found: tables(FILES[found[1]]), text)


def tables(model: type[BaseModel]) -> str:
    """Return the tables of a file: its own keys, then a heading and a table for each section."""
    parts = []
    for path, section in sections(model):
        if path:
            parts.append(f"## `{path}`\n\n{' '.join((inspect.getdoc(section) or '').split())}\n")
        rows = [setting.row() for setting in settings(section)]
        if rows:
            head = "| key | type | default | allowed | meaning |\n| --- | --- | --- | --- | --- |"
            parts.append("\n".join([head, *rows, ""]))
    return "\n".join(parts)


def sections(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield a model and the models within it, by their path in the file."""
    yield path, model
    before = f"{path}." if path else ""
    hints = get_type_hints(model, include_extras=True)
    if extra := hints.get("__pydantic_extra__"):
        for inner in _models(extra):
            yield from sections(inner, before + UNNAMED["convolutions"])
    for key, field in model.model_fields.items():
        for inner in _models(field.annotation):
            name = f"{key}.{UNNAMED[key]}" if key in UNNAMED else key
            yield from sections(inner, before + name)
    if model is SamplerConfig:
        by_kind: dict[type[BaseModel], list[str]] = {}
        for sampler, kind in OPTIONS.items():
            by_kind.setdefault(kind, []).append(sampler)
        for kind, names in by_kind.items():
            yield f"{before}options of {', '.join(names)}", kind


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a type is made of, each once."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    found = [model for part in get_args(annotation) for model in _models(part)]
    return list(dict.fromkeys(found))


def settings(model: type[BaseModel]) -> list[Setting]:
    """Return the keys of one section, in the order of the model."""
    schema, meanings = model.model_json_schema(), docstrings(model)
    found = []
    for key, field in model.model_fields.items():
        spec = schema["properties"][key]
        inner = _models(field.annotation)
        meaning = meanings.get(key) or (inspect.getdoc(inner[0]) if inner else None) or ""
        default = "required" if field.is_required() else _default(field.default, spec)
        if field.default_factory_takes_validated_data:
            default = "see there"
        meaning = " ".join(meaning.split())
        found.append(Setting(key, _type(spec), default, _allowed(spec), meaning))
    return found


def docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring under each field of a model and of the models it extends."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if not issubclass(one, BaseModel) or one is BaseModel:
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                value = text.value if isinstance(text, ast.Expr) else None
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    found[field.target.id] = inspect.cleandoc(value.value)
    return found


def _default(value: Any, spec: dict[str, Any]) -> str:
    if isinstance(value, BaseModel):
        given = value.model_dump(exclude_defaults=True)
        return ", ".join(f"`{key}: {one}`" for key, one in given.items()) or "its own defaults"
    value = spec.get("default")
    if value in (None, {}, []):
        return "none"
    shown = str(value).lower() if isinstance(value, bool) else value
    return f"`{shown}`" if shown != "" else "empty"


def _type(spec: dict[str, Any]) -> str:
    if "anyOf" in spec:
        kinds = [_type(one) for one in spec["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "$ref" in spec:
        return "section"
    if "enum" in spec or "const" in spec:
        return "choice"
    return TYPES.get(spec.get("type", ""), "any value")


def _allowed(spec: dict[str, Any]) -> str:
    if "anyOf" in spec:
        parts = [_allowed(one) for one in spec["anyOf"] if one.get("type") != "null"]
        return ", or ".join(dict.fromkeys(filter(None, parts)))
    if "enum" in spec:
        return ", ".join(f"`{one}`" for one in spec["enum"])
    if "const" in spec:
        return f"`{spec['const']}`"
    if spec.get("type") in ("integer", "number"):
        return _range(spec, "minimum", "maximum", "")
    if spec.get("type") == "string":
        return _range(spec, "minLength", "maxLength", " characters")
    if spec.get("type") == "array":
        return _range(spec, "minItems", "maxItems", " entries")
    return _range(spec, "minProperties", "maxProperties", " entries")


def _range(spec: dict[str, Any], least: str, most: str, unit: str) -> str:
    """Return bounds in words, e.g. `1 to 100 characters` and `above 0, at most 1`."""
    keys = {"at least": least, "above": "exclusiveMinimum", "at most": most}
    keys["below"] = "exclusiveMaximum"
    bounds = {
        word: f"{float(spec[key]):,.15g}"
        for word, key in keys.items()
        if spec.get(key) is not None
    }
    if "at least" in bounds and "at most" in bounds:
        return f"{bounds['at least']} to {bounds['at most']}{unit}"
    return ", ".join(f"{word} {value}{unit}" for word, value in bounds.items())
