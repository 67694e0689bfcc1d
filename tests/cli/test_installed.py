"""The program as it is installed: as a module, with a shell's completion, and what it may lack."""

from __future__ import annotations

import inspect
import os
import pydoc
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import hpsearch
from hpsearch import __version__
from hpsearch.app.python import search
from tests.support.command_line import run

ROOT = Path(__file__).parents[2]


def module(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hpsearch", *words], env={**os.environ, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_of11_python_m_hpsearch_is_the_command_line() -> None:
    assert module("--version").stdout == f"hpsearch {__version__}\n"
    assert module("status", "nowhere").returncode == 2


INTERRUPTED = """
import signal, sys, time, types
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from hpsearch.__main__ import main

class Import:
    def find_spec(self, name, *_):
        if name == "hpsearch.cli.main":
            signal.raise_signal(signal.SIGINT)

class Destructor:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def run():
    try:
        Destructor()
        time.sleep(20)
    except KeyboardInterrupt:
        sys.exit(130)

if sys.argv[1] == "import":
    sys.meta_path.insert(0, Import())
else:
    sys.modules["hpsearch.cli.main"] = types.SimpleNamespace(main=run)
main()
"""


@pytest.mark.parametrize(("when", "code"), [("import", -signal.SIGINT), ("destructor", 130)])
def test_an_interrupt_is_neither_a_traceback_nor_lost(when: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, when], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_of11_a_shell_can_be_taught_the_commands(shell: str) -> None:
    script = run_as_shell("--show-completion", shell)
    assert "_HPSEARCH_COMPLETE=complete_" + shell in script


def run_as_shell(option: str, shell: str) -> str:
    """Ask for a shell's completion, which is told by the environment of typer's own tests."""
    program = f"import sys; sys.argv = ['hpsearch', {option!r}, {shell!r}]\n"
    program += "from hpsearch.cli.main import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False,
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_of11_a_word_begun_is_completed() -> None:
    program = "import sys; sys.argv = ['hpsearch']\nfrom hpsearch.cli.main import main\nmain()"
    for words, found in (("hpsearch stat", "status"), ("hpsearch search --pru", "--pruner")):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False,
            env={
                **os.environ, "_HPSEARCH_COMPLETE": "complete_bash", "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split()) - 1),
            },
        )  # fmt: skip
        assert done.stdout.split() == [found], done


def test_of11_help_of_the_search_is_of_the_call() -> None:
    assert inspect.isfunction(hpsearch.search)
    text = pydoc.render_doc(hpsearch.search, renderer=pydoc.plaintext)
    assert "search(study" in text
    assert all(name in text for name in inspect.signature(search).parameters)


@pytest.mark.parametrize(
    ("missing", "extra", "words"),
    [
        ("ray", "ray", ["--executor", "ray"]),
        ("psycopg", "postgres", ["--storage", "postgresql://me@db.example/studies"]),
    ],
)
def test_oa8_what_is_advised_can_be_installed(
    missing: str, extra: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.chdir(tmp_path)
    done = run("search", "quickstart", *words)
    assert done.code == 2
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    advised = shlex.split(done.err.split("pip install ")[1].replace(", or use local", ""))
    assert advised == extras[extra]
    assert "make install-cluster" in done.err


def test_oa8_no_text_tells_to_install_what_no_index_has() -> None:
    for path in [*ROOT.glob("hpsearch/**/*.py"), *ROOT.glob("docs/**/*.md"), ROOT / "README.md"]:
        assert "pip install hpsearch" not in (text := path.read_text(encoding="utf-8")), path
        assert "hpsearch[" not in text, path
