"""Runs what a page of docs/ shows, as it stands there; compares what the page says is printed."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?(?:m\d+)?")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LIMIT_S = 900


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The commands of a shell block, continued lines joined, comments left out."""
        joined = self.text.replace("\\\n", " ")
        lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines()]
        return [line for line in lines if line]


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page of docs/, in order."""
    return [Block(*found) for found in FENCE.findall((DOCS / page).read_text(encoding="utf-8"))]


class Shell:
    """A folder where a page's commands run, with `hpsearch` and `python` of this interpreter."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, and the programs beside it."""
        self.folder, programs = folder / "work", folder / "programs"
        self.folder.mkdir(parents=True)
        programs.mkdir()
        python = shlex.quote(sys.executable)
        for name, command in (("python", python), ("hpsearch", f"{python} -m hpsearch")):
            (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (programs / name).chmod(0o755)
        kept = {k: v for k, v in os.environ.items() if k not in ("HPSEARCH_DATA", "NO_COLOR")}
        self.environment = {
            **kept, "PATH": f"{programs}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "160",
        }  # fmt: skip

    def run(self, command: str, codes: Sequence[int] = (0,)) -> str:
        """Run a command in a terminal; return what it printed, control sequences left out."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            ["bash", "-c", command], cwd=self.folder, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        ) as process:  # fmt: skip
            os.close(theirs)
            printed = b"".join(_read(ours))
        text = ESCAPE.sub("", printed.decode()).replace("\r\n", "\n").replace("\r", "\n")
        assert process.returncode in codes, (command, text[-2000:])
        return text

    def serve(self, command: str, path: str) -> tuple[str, bytes]:
        """Start a server, ask it for a path, and end it; return its line and answer."""
        with subprocess.Popen(
            shlex.split(command), cwd=self.folder, env=self.environment,
            stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            line = process.stdout.readline()
            origin = re.match(r"http://[\d.:]+", line)
            assert origin, line
            try:
                answer = _ask(f"{origin.group()}{path}")
            finally:
                process.terminate()  # a shell in the background has SIGINT ignored
        return line, answer


def _read(descriptor: int) -> Iterator[bytes]:
    """Yield what a terminal shows until nobody writes to it any more."""
    while True:
        try:
            chunk = os.read(descriptor, 1 << 16)
        except OSError:  # what Linux says when the last writer is gone
            chunk = b""
        if not chunk:
            os.close(descriptor)
            return
        yield chunk


def _ask(address: str) -> bytes:
    """Return what a server answers, once it does."""
    for _ in range(240):
        try:
            with urlopen(address, timeout=30) as answer:
                content: bytes = answer.read()
                return content
        except OSError:
            time.sleep(0.25)
    raise AssertionError(f"{address} does not answer")


def pattern(line: str) -> re.Pattern[str]:
    """Return what a shown line stands for: numbers, bars and the width of gaps may differ."""
    parts = [r"\S+" if set(word) <= set("━╸╺") else _word(word) for word in line.split()]
    return re.compile(r"^\s*" + r"\s+".join(parts) + r"\s*$", re.MULTILINE)


def _word(word: str) -> str:
    fixed = NUMBER.split(word)
    return r"[\d.,e+m-]+".join(re.escape(part) for part in fixed)


def missing(shown: str, printed: str) -> list[str]:
    """Return the shown lines that nothing printed looks like."""
    return [
        line
        for line in shown.splitlines()
        if line.strip() not in ("", "...") and not pattern(line).search(printed)
    ]
