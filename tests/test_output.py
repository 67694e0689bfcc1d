"""OC1: a terminal after Ctrl-S or a pipe that nobody reads does not stop a search."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

from hpsearch import output
from hpsearch.output import Edge, unwaited


@contextmanager
def full_pipe(monkeypatch: pytest.MonkeyPatch, name: str = "stdout") -> Iterator[int]:
    """Put a pipe that takes nothing more in a stream's place; yield its reading end."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, name, Edge(stream))
        yield reading
        monkeypatch.undo()
        threading.Thread(target=read_all, args=[reading]).start()


def read_all(reading: int) -> bytes:
    """Read until the end."""
    found = b""
    while chunk := os.read(reading, 1 << 16):
        found += chunk
    return found


def test_OC1_nothing_waits_for_a_reader_that_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    with full_pipe(monkeypatch):
        with unwaited(sys.stdout, lambda: count):
            for number in range(50_000):
                typer.echo(f"line {number} of those that nobody reads")
        count = 1  # Ctrl-C: nor does the end wait
        sys.stdout.flush()


def test_OC1_a_reader_that_never_goes_on_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "LIMIT_S", 0.1)
    with full_pipe(monkeypatch):
        with unwaited(sys.stdout, lambda: 0):
            typer.echo("nobody reads this")
        typer.echo("nor this")
        assert not sys.stdout.isatty()


def test_OC1_a_reader_that_goes_on_gets_what_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "BEHIND", 2)
    found: list[bytes] = []
    with full_pipe(monkeypatch) as reading:
        copy = os.dup(reading)
        with unwaited(sys.stdout, lambda: 0):
            for number in range(20):
                sys.stdout.write(f"line {number}\n")
            reader = threading.Thread(target=lambda: found.append(read_until(copy, b"left out")))
            reader.start()
            while reader.is_alive():  # the notice comes with the first line there is room for
                sys.stdout.write("one more\n")
                reader.join(0.02)
        os.close(copy)
    lines = found[0].lstrip(b"x").decode().splitlines()
    assert lines[:2] == ["line 0", "line 1"]
    assert any("lines left out: nobody read" in line for line in lines)


def test_OC1_nothing_is_written_into_a_file_that_got_a_closed_outputs_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with full_pipe(monkeypatch) as reading:
        number = sys.stdout.fileno()
        with unwaited(sys.stdout, lambda: 0):
            typer.echo("waits for the reader")
            typer.echo("is written after it")
            os.close(number)
            with (tmp_path / "study.db").open("wb") as database:
                assert database.fileno() == number
                assert b"is written after it" in read_until(reading, b"after it")
                assert (tmp_path / "study.db").read_bytes() == b""
            nowhere = os.open(os.devnull, os.O_WRONLY)
            assert nowhere == number  # for full_pipe to close


def read_until(reading: int, word: bytes) -> bytes:
    """Read until a word has come."""
    found = b""
    while word not in found:
        found += os.read(reading, 1 << 16)
    return found


def test_OC1_a_stream_without_a_file_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", Edge(stream))
    with unwaited(sys.stdout, lambda: 0):
        typer.echo("one ä line")
    assert stream.getvalue() == "one ä line\n"


def test_OC1_what_is_written_arrives_as_it_is() -> None:
    reading, writing = os.pipe()
    with (
        os.fdopen(writing, "w", encoding="utf-8") as stream,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "stderr", Edge(stream))
        with unwaited(sys.stderr, lambda: 0):
            typer.echo("one ä line", err=True)
        sys.stderr.flush()
    assert read_all(reading) == "one ä line\n".encode()
    os.close(reading)
