"""What was written is read back as it was, and nothing else is believed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.json_files import read_dataset
from hpsearch.records import (
    MAX_BYTES,
    Record,
    content_checksum,
    dump_line,
    dump_record,
    read_lines,
    read_record,
    sealed_text,
    set_aside,
)
from hpsearch.storage.trial_files import load_result
from hpsearch.trial import TrialRecord


class Note(Record):
    """A kind of file."""

    error: float
    by: dict[str, int]


class Newer(Record):
    """A kind of file that has gained a key."""

    error: float
    cause: str | None = None


VALUES = {"error": 0.1 + 0.2, "by": {"b": 1, "a": 2}}


def test_what_a_file_leaves_out_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    path.write_text(dump_record(VALUES))
    assert read_record(path, Newer).values == {**VALUES, "cause": None}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    path.write_text(dump_record(VALUES))
    assert read_record(path, Note) == (VALUES, True)
    path.write_text(json.dumps(VALUES))
    assert read_record(path, Note) == (VALUES, False), "version 0.1.0 recorded nothing"
    path.write_text(dump_line(VALUES) + dump_line(VALUES)[:20])
    rows, problem = read_lines(path, Note)
    assert [row.values for row in rows] == [VALUES]
    assert problem is not None
    assert problem.startswith("line 2: ")


CONTENT: dict[str, str] = {
    "an edited value": dump_record(VALUES).replace("0.30000000000000004", "0.2"),
    "NaN": '{"error": NaN, "by": {}}',
    "infinity": '{"error": 1e999, "by": {}}',
    "a list": "[1, 2]",
    "nothing": "",
    "half a file": dump_record(VALUES)[:30],
    "another type": '{"error": "0.1", "by": {}}',
    "a missing key": '{"error": 0.1}',
    "deep nesting": '{"error": 0.1, "by": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "a large number": '{"error": 0.1, "by": {"a": ' + "9" * 400 + "}}",
    "a larger number": '{"error": 0.1, "by": {"a": ' + "9" * 10_000 + "}}",
    "no UTF-8": "\udcff",
}


@pytest.mark.parametrize("case", CONTENT)
def test_nothing_else_is_believed(tmp_path: Path, case: str) -> None:
    """one ValueError that says why, whatever the file holds"""
    path = tmp_path / "note.json"
    path.write_bytes(CONTENT[case].encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"\w"):
        read_record(path, Note)


def make_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)


PLACES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a link to itself": lambda path: path.symlink_to(path),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a file of 200 MB": make_large,
}


@pytest.mark.parametrize("case", PLACES)
@pytest.mark.timeout(20)
def test_only_a_regular_file_is_read(tmp_path: Path, case: str) -> None:
    """no wait, no endless reading"""
    PLACES[case](tmp_path / "note.json")
    with pytest.raises(ValueError, match=r"regular file|more than"):
        read_record(tmp_path / "note.json", Note)


def test_a_missing_file_and_an_unreadable_one_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path / "note.json", Note)
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path / "file" / "note.json", Note)

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(EnvironmentFailure, match="Permission denied"):
        read_record(tmp_path / "file", Note)


def test_a_sealed_text_says_what_it_holds() -> None:
    text = sealed_text("a: 1\n", {"a": 1}).encode()
    assert content_checksum(text) == content_checksum(sealed_text("a:  1\n", {"a": 1}).encode())
    assert content_checksum(b"a: 1\n") is None
    for changed in (text.replace(b"1\n", b"2\n", 1), text[:-3], text + b"b: 1\n"):
        with pytest.raises(ValueError, match="checksum"):
            content_checksum(changed)


def test_what_is_set_aside_replaces_nothing(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        (tmp_path / "a.json").touch()
        names.append(set_aside(tmp_path / "a.json").name)
    assert names == ["a.json.damaged", "a.json.damaged-2", "a.json.damaged-3"]


ENDED: dict[str, Any] = TrialRecord(
    3, "complete", {"fc.width": 8}, {1: 0.5, 2: 0.25}, 0.25, seconds=1.0
).to_json()
CHANGES: dict[str, dict[str, Any]] = {
    "below zero": {"value": -7.0, "values": {"1": -7.0}},
    "above one": {"value": 1.5, "values": {"1": 1.5}},
    "not the lowest": {"value": 0.1},
    "no value": {"value": None},
    "an epoch below 0": {"values": {"-1": 0.25}},
    "an epoch that is none": {"values": {"two": 0.25}},
    "an unknown state": {"state": "perfect"},
    "still running": {"state": "running"},
    "another trial's": {"number": 4},
    "a list of parameters": {"params": [1]},
    "a nested parameter": {"params": {"fc.width": [1]}},
    "a truth for a number": {"value": True, "values": {"1": True}},
    "an unknown key": {"colour": "red"},
    "seconds below zero": {"seconds": -1.0},
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_result_out_of_range_is_not_believed(tmp_path: Path, case: str) -> None:
    """without a checksum too: a folder of version 0.1.0"""
    path = tmp_path / "00003" / "result.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"trial": ENDED, "epochs": 2}))
    assert load_result(path).trial.value == 0.25
    path.write_text(json.dumps({"trial": {**ENDED, **CHANGES[case]}, "epochs": 2}))
    with pytest.raises(ValueError, match=r"\w"):
        load_result(path)


def test_a_message_names_file_key_value_and_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text('{"kind": "glyphs", "fingerprint": 7}')
    with pytest.raises(
        InputError, match=r"dataset\.json: fingerprint: .*found 7.*; restore"
    ) as told:
        read_dataset(path)
    assert "\n" not in str(told.value)
