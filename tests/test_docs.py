"""What the documents show is run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from hpsearch.cli.main import app

DOCS = Path(__file__).parent.parent / "docs"


def blocks(document: str, language: str) -> list[str]:
    text = (DOCS / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(command: list[str], cwd: Path) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def options(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, list[str]]]:
    """Yield every command in words, and its options."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from options(inner, (*words, name))
    if not hasattr(command, "commands"):
        yield " ".join(words), [p.opts[-1] for p in command.params if p.opts[-1].startswith("--")]


def test_every_command_and_option_is_on_the_page_of_commands() -> None:
    lines = (DOCS / "commands.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    for command, known in options(typer.main.get_command(app)):
        (row,) = [r for r in rows if re.search(rf"`{command}[ `]", r)]
        missing = [option for option in known if not re.search(rf"{option}\b", row)]
        assert (command, missing) == (command, [])


@pytest.mark.timeout(1200)
def test_the_python_page_does_what_it_says(tmp_path: Path) -> None:
    search, rank = blocks("python.md", "python")
    (shell,) = blocks("python.md", "sh")
    (tmp_path / "search.py").write_text(search)
    out = run([sys.executable, "search.py"], tmp_path)
    assert re.search(r"trial \d: 0\.\d{3}, confirmed: False", out), out
    for line in shell.strip().splitlines():
        program, *arguments = line.split()
        assert program == "hpsearch"
        run([sys.executable, "-m", "hpsearch.cli.main", *arguments], tmp_path)
    rng = np.random.default_rng(0)
    support = tmp_path / "support"
    support.mkdir()
    for name in ("first", "second", "third", "fourth"):
        Image.fromarray(rng.integers(0, 256, (60, 60), np.uint8)).save(support / f"{name}.png")
    (tmp_path / "query.png").write_bytes((support / "third.png").read_bytes())
    (tmp_path / "rank.py").write_text(rank)
    lines = run([sys.executable, "rank.py"], tmp_path).splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r"[01]\.\d{3} (first|second|third|fourth)", line) for line in lines)
