"""Configuration files: YAML 1.2 in, one line of error that names file, line and key."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from hpsearch.configfile import (
    MAX_BYTES,
    Section,
    dump_yaml,
    load_section,
    parse_yaml,
    read_yaml,
)
from hpsearch.errors import InputError
from hpsearch.yaml_parser import MAX_DEPTH


class Inner(Section):
    """A part within a part."""

    filter_size: int = Field(ge=1, le=9)
    rate: float = 0.1


class Open(BaseModel):
    """A part whose further keys are all of one kind."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Inner]

    first: Inner


class Outer(Section):
    """A small configuration."""

    name: str
    momentum: float = Field(0.5, ge=0, le=1)
    inner: Inner = Inner(filter_size=3)
    layers: Open | None = None
    open: Open = Open(first=Inner(filter_size=1))
    choices: tuple[int | Inner, ...] = ()


def load(path: Path, text: str) -> Outer:
    path.write_text(text)
    return load_section(Outer, read_yaml(path), path)


def refused(path: Path, text: str | bytes) -> str:
    """Return the message that refuses a file, after its name."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError) as caught:
        load_section(Outer, read_yaml(path), path)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.yaml"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.0E+3", 1000.0),
        (".5", 0.5),
        ("010", 10),
        ("0o10", 8),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("1:30", "1:30"),
        ("true", True),
        ("null", None),
        ("'1e-3'", "1e-3"),
        ("[1, no]", [1, "no"]),
    ],
)
def test_yaml_is_version_1_2(text: str, value: Any) -> None:
    read = parse_yaml(f"key: {text}\n".encode(), "x")["key"]
    assert read == value
    assert type(read) is type(value)


def test_a_byte_order_mark_and_an_explicit_version_are_read(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf%YAML 1.2\n---\nname: x\n")
    assert read_yaml(path) == {"name": "x"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nseed: 1\nname: y\n", 'line 3: not valid YAML: found duplicate key "name"'),
        ("inner:\n  rate: 1\n  rate: 2\n", 'line 3: not valid YAML: found duplicate key "rate"'),
        ("name: &a x\nother: *a\n", "line 2: aliases (*name) are not allowed; write it out"),
        ("a: &a {b: 1}\nname:\n  <<: *a\n", "line 3: aliases"),
        ("name: x\n---\nname: y\n", "line 2: a second document; keep one per file"),
        ("name: x\n...\nname: y\n", "line 3: a second document"),
        ("inner:\n\trate: 1\n", r"line 2: not valid YAML: found character '\t'"),
        ("name: 'x\n", "line 2: not valid YAML: found unexpected end of stream"),
        ("name: x: y\n", "line 1: not valid YAML: mapping values are not allowed here"),
        ("name: !!python/object/apply:os.system [ls]\n", "line 1: tags (tag:yaml.org,2002:python"),
        ("inner:\n  rate: !!bool maybe\n", "line 2: tags (tag:yaml.org,2002:bool)"),
        ("name: !ours x\n", "line 1: tags (!ours) are not allowed"),
        ("%YAML 1.1\n---\nname: no\n", "line 2: not YAML 1.2; remove the %YAML line"),
        ("name: " + "9" * 5000 + "\n", "not valid YAML: Exceeds the limit"),
        ("name: 2001-99-99\n", "not valid YAML: month must be in 1..12"),
        ('name: "\\e[31m"\n', r"line 1: the character '\x1b' is not allowed"),
        ('x: 1\n"\\e[31m": 2\n', r"line 2: the character '\x1b' is not allowed"),
        ('name: "\\ud800"\n', r"line 1: the character '\ud800' is not allowed"),
        ('name: "a\\0b"\n', r"line 1: the character '\x00' is not allowed"),
        ("? {a: 1}\n: 2\n", "line 1: not valid YAML: found unhashable key"),
        (b"\x00\x01\x02", "not valid YAML: unacceptable character #x0000"),
        (b"name: \x1b[31mred\n", "not valid YAML: unacceptable character #x001b"),
        (bytes(range(256)), "not UTF-8 text (byte 128); save it as UTF-8"),
        ("name: x\n".encode("utf-16"), "not UTF-8 text (byte 0); save it as UTF-8"),
        ("", "the top level must be KEY: VALUE lines, not nothing"),
        ("# only this\n", "the top level must be KEY: VALUE lines, not nothing"),
        ("- name\n- x\n", "the top level must be KEY: VALUE lines, not a list"),
        ("x\n", "the top level must be KEY: VALUE lines, not a str"),
        ("name: " + "[" * 3000, "line 1: nested more than 20 deep"),
        ("- " * 3000, "line 1: nested more than 20 deep"),
        ("".join(" " * n + "a:\n" for n in range(300)), "line 21: nested more than 20 deep"),
        ("[" * 20_000, "20000 opening brackets; a configuration is not that deep"),
        ("# " + "x" * MAX_BYTES, f"{MAX_BYTES + 2} bytes; a configuration has at most"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(
    path: Path, text: str | bytes, message: str
) -> None:
    assert refused(path, text).startswith(message)


def test_nesting_to_the_limit_and_a_file_of_the_largest_size_are_read(path: Path) -> None:
    deepest = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    text = f"name: {deepest} #"
    path.write_text(text + "x" * (MAX_BYTES - len(text)))
    assert "name" in read_yaml(path)


@pytest.mark.parametrize("what", ["missing", "folder", "unreadable"])
def test_a_file_that_cannot_be_read_is_refused(path: Path, what: str) -> None:
    message = {"missing": "no such file; check the name", "folder": "is a folder; name the file"}
    if what == "folder":
        path.mkdir()
    elif what == "unreadable":
        path.symlink_to(path)  # chmod does not keep root out
    with pytest.raises(InputError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: {message.get(what, 'cannot be read (')}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nmomentun: 1\n", "line 2: momentun: unknown key; did you mean 'momentum'? (fo"),
        ("name: x\nzzz: 1\n", "line 2: zzz: unknown key; known: name, momentum, inner, layers,"),
        (
            "name: x\ninner:\n  rate: 1\n  filter_siz: 3\n",
            "line 4: inner.filter_siz: unknown key; did you mean 'filter_size'? (found 3)",
        ),
        (
            "name: x\nopen:\n  first: {filter_size: 1}\n  conv1: {filter_size: 1, rat: 2}\n",
            "line 4: open.conv1.rat: unknown key; did you mean 'rate'? (found 2)",
        ),
        ("momentum: 0.5\n", "name: is missing (found {'momentum': 0.5})"),
        ("name: x\ninner:\n  rate: 1\n", "line 2: inner.filter_size: is missing (found"),
        ("name: x\n\n\nmomentum: 1.5\n", "line 4: momentum: must be at most 1 (found 1.5"),
        ("name: x\nmomentum: .nan\n", "line 2: momentum: must be a finite number"),
        ("name: x\ninner: {filter_size: 1, rate: .inf}\n", "line 2: inner.rate: must be a finite"),
        (
            "name: x\ninner: {filter_size: 1, rate: 1e999}\n",
            "line 2: inner.rate: must be a finite",
        ),
        (
            "name: x\ninner: {filter_size: 1.5}\n",
            "line 2: inner.filter_size: must be a whole number",
        ),
        ("name: x\ninner: 7\n", "line 2: inner: must be KEY: VALUE lines (found 7"),
        ("name: x\nmomentum: true\n", "line 2: momentum: must be a number, not true or false"),
        ("name: x\ninner:\n  filter_size: true\n", "line 3: inner.filter_size: must be a number"),
        ("name: no\nmomentum: no\n", "line 2: momentum: must be a number ("),
        ("name: x\nchoices:\n  - 1\n  - many\n", "line 4: choices.1: must be a whole number"),
        ("name: x\n1: 2\n", "line 2: 1: its key must be text (found 1)"),
        ("name: x\n[1, 2]: 2\n", "top level: its key must be text"),
        ('name: x\n"a\\nb": 2\n', "line 2: a b: unknown key"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_line_and_key(
    path: Path, text: str, message: str
) -> None:
    assert refused(path, text).startswith(message)


def test_a_long_value_is_shown_in_part(path: Path) -> None:
    message = refused(path, f"name: x\nmomentum: {'y' * 500}\n")
    assert len(message) < 200
    assert "'yyy" in message


def test_a_line_is_given_only_where_there_is_a_file_to_look_into(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("momentun: 1\n")
    for source in ("the command line", tmp_path / "absent.yaml", tmp_path, tmp_path / "text"):
        with pytest.raises(InputError) as caught:
            load_section(Outer, {"name": "x", "momentun": 1}, source)
        assert str(caught.value).startswith(f"{source}: momentun: unknown key")


def test_a_section_is_frozen_and_takes_whole_numbers_for_floats(path: Path) -> None:
    config = load(path, "name: x\nmomentum: 1\nchoices: [1, {filter_size: 2}]\n")
    assert config.momentum == 1.0
    assert config.choices == (1, Inner(filter_size=2))
    with pytest.raises(ValueError, match="frozen"):
        config.name = "y"


SOUND = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63) | st.none()
WORDS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12)
PLAIN = st.recursive(
    SOUND | st.booleans() | WORDS | st.sampled_from(["no", "1e-3", "~", "1:30", "=", "<<", "- x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.dictionaries(WORDS, PLAIN, max_size=5))
@example({"a": 1e-07, "b": "1e-07", "c": "no", "d": 0.1 + 0.2, "e": [], "f": {}, "g": "x\ny: z"})
def test_what_is_written_is_read_back(values: dict[str, Any]) -> None:
    assert parse_yaml(dump_yaml(values).encode(), "x") == values


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_not_written(value: float) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        dump_yaml({"a": [{"b": value}]})


PIECES = st.sampled_from(
    [
        *"[]{},:|>#~=\t\n'\"\\\x00\x85\u2028é1x",
        *(
            "name",
            "inner",
            "rate",
            ": ",
            "\n  ",
            "- ",
            "&a ",
            "*a",
            "!!int ",
            "!x ",
            ".nan",
            "1e-3",
        ),
        *("%YAML 1.1\n", "---\n", "...\n", "? ", "<<", "0x", "\\e", "\\ud800"),
    ]
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(PIECES, max_size=30).map(lambda p: "".join(p).encode()) | st.binary(max_size=60))
@example(b"a: !!bool x")
@example(b"a: !!timestamp x")
@example(b"<<: 1")
@example(b"= : 1")
@example(b"a: =")
def test_any_bytes_are_read_or_refused_in_one_line(content: bytes) -> None:
    message = "x: "
    try:
        load_section(Outer, parse_yaml(content, "x"), "x")
    except InputError as error:
        message = str(error)
    assert message.startswith("x: ")
    assert message.isprintable()
