"""The program's edge: what it prints to which terminal, and what becomes of it without one."""

from __future__ import annotations

import io
import json
import os
import pty
import shutil
import sqlite3
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest

from hpsearch.app.watch import PlainLines
from hpsearch.cli.live import LiveView
from hpsearch.execution import Ending
from hpsearch.output import BEHIND, LOOKALIKES, Edge, edges, plain
from hpsearch.paths import shell_word
from tests.driver.test_driver import search
from tests.support.cases import write_study
from tests.support.command_line import run
from tests.support.fake_executor import FakeExecutor
from tests.support.slow import rest_slow

RULING = "\x1b]0;mine\x07\x1b[2J\x9b2Ja\rb\x08\u202e\u2028\udce9"
"""Sets a title, clears the screen, writes over what stands there, turns letters round."""
COMMANDS = (
    ["trials"], ["trials", "--csv"], ["status"], ["status", "--json"], ["show", "0"],
    ["show", "0", "--json"], ["verify"], ["verify", "--json"], ["doctor"], ["doctor", "--json"],
)  # fmt: skip


def command_line(*words: object) -> list[str]:
    return [sys.executable, "-m", "hpsearch", *map(str, words)]


def rules(text: str) -> set[str]:
    kinds = {"Cc", "Cs", "Cf", "Zl", "Zp"}
    return {c for c in text if unicodedata.category(c) in kinds and c not in "\n\t"}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two trials, one of which failed."""
    executor = FakeExecutor()
    executor.failing[1] = Ending.OUT_OF_MEMORY
    folder = tmp_path_factory.mktemp("runs") / "s"
    changes = {"sampler__name": "random", "pruner__name": "none"}
    search(folder, executor, budget__trials=2, trial__max_epochs=2, **changes)
    return folder


@pytest.fixture
def hostile(searched: Path, tmp_path: Path) -> Path:
    """The study with control characters in every text that its database holds."""
    folder = shutil.copytree(searched, tmp_path / "runs" / "hostile\x1b[31m\n")
    with sqlite3.connect(folder / "study.db") as connection:
        for key, value in connection.execute(
            "SELECT rowid, value_json FROM trial_user_attributes"
        ):
            if isinstance(text := json.loads(value), str):
                changed = json.dumps(RULING + text), key
                connection.execute(
                    "UPDATE trial_user_attributes SET value_json = ? WHERE rowid = ?", changed
                )
    return folder


@pytest.mark.parametrize("words", [*COMMANDS, ["list"]], ids=" ".join)
def test_oe4_no_command_lets_a_study_rule_the_terminal(hostile: Path, words: list[str]) -> None:
    name, *options = words
    done = run(name, hostile.parent if name == "list" else hostile, *options)
    assert done.code in (0, 2), done
    assert not rules(done.out.replace("\r\n", "\n") + done.err), done
    if "--json" in options and done.code == 0:
        json.loads(done.out)


@pytest.mark.parametrize("letter", [c for c in RULING if not c.isprintable()])
def test_a_character_that_rules_a_terminal_is_replaced(letter: str) -> None:
    assert not rules(plain(f"a{letter}b\n"))


def test_lines_columns_and_the_letters_of_every_script_stay() -> None:
    for text in ("a\tb\nc\n", "1,2\r\n3,4\r\n", "\u0645\u06cc\u200c\u062e", "\u4eee\u540d é ━"):
        assert plain(text) == text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8", "utf-16"])
def test_oa7_every_encoding_can_be_printed_to(encoding: str) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding, newline="")
    edge = Edge(screen)
    edge.write("".join(LOOKALIKES) + "\u4eee" + RULING + "\n")
    edge.flush()
    shown = screen.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert shown.endswith("\n")
    if encoding == "ascii":
        assert shown.startswith("_.-~=+*##-.+-?")


class Screen(io.StringIO):
    """A terminal that keeps what is written."""

    def isatty(self) -> bool:
        return True


def test_oe4_the_live_view_shows_colours_and_no_foreign_sequence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rich.live import Live

    from hpsearch.cli.console import make_console

    monkeypatch.setattr(sys, "stdout", Edge(Screen()))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with Live(console=make_console(), auto_refresh=False) as live:
        LiveView(f"name {RULING}", live).message(f"told {RULING}")
    shown = sys.stdout.stream.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[" in shown
    for sequence in ("\x1b]", "\x1b[2J", "\x9b", "\x07", "\u202e", "\udce9"):
        assert sequence not in shown


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&- >&- 2>&-", "2>&1 | true"])
@pytest.mark.parametrize(
    "words", rest_slow([["--help"], ["show", "no"], ["list"]], 2), ids=" ".join
)
def test_oa7_an_output_that_nobody_reads_ends_a_command_quietly(
    words: Sequence[str], redirect: str
) -> None:
    shell = (
        f"{' '.join(map(shell_word, command_line(*words)))} {redirect}; exit ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.returncode == (2 if "no" in words else 0)
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stderr.count("\n") == ("no" in words and redirect == ">&-")


def test_an_output_that_cannot_be_written_is_exit_3() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command_line("list"), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 3
    assert done.stderr.startswith("hpsearch: standard output: No space left on device")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_terminal_not_in_utf_8_shows_a_curve(searched: Path) -> None:
    for encoding in ("latin-1", "ascii"):
        done = subprocess.run(
            command_line("show", searched, 0), capture_output=True, check=False,
            env={**os.environ, "PYTHONIOENCODING": encoding},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert b"validation error by epoch  #_" in done.stdout


def test_a_search_does_not_wait_for_a_reader_that_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading, "rb", buffering=0) as reader:
        monkeypatch.setattr(sys, "stdout", edge := Edge(stream))
        with edge.unwaited():
            for number in range(BEHIND + 200):
                PlainLines().message(f"{number} {'x' * 4000}")
        got = b""
        while f"\n{BEHIND - 1} ".encode() not in got:  # what it had room for comes, in order
            got += reader.read(1 << 16)
        assert got.startswith(b"0 x")


def test_oa7_a_search_outlives_its_terminal(tmp_path: Path) -> None:
    words = ["search", write_study(tmp_path), "--trials", 1, "--set", "dataset=glyphs"]
    words += ["--output", tmp_path / "s"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, command_line(*words))
    seen = b""
    while b"small in" not in seen:
        seen += os.read(terminal, 1000)
    os.close(terminal)  # the kernel hangs up on the search and its workers
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    status = run("status", tmp_path / "s", "--json")
    assert json.loads(status.out)["trials"]["complete"] == 1


def test_the_streams_are_put_back() -> None:
    before = sys.stdout, sys.stderr
    with edges() as (out, err):
        assert (sys.stdout, sys.stderr) == (out, err)
    assert (sys.stdout, sys.stderr) == before
