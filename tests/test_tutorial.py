"""Every command of the tutorial runs as it stands there, and prints what the page shows."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from tests.pages import ROOT, Block, Shell, blocks, missing, pattern

PAGE = "tutorial.md"
LIVE = ("of the budget", "at work", "trial  epoch", "progress")
"""What tells the live view from lines that stay."""


def install(block: Block) -> None:
    """Run the block on installation in the clone; if nothing is installed, see that it could."""
    first, second = block.commands
    made = (ROOT / ".venv" / ".installed").exists()
    script = "\n".join(["set -e", first, second]) if made else first.replace("make", "make -n")
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_command_runs_and_prints_what_the_page_shows(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    first, *rest = blocks(PAGE)
    install(first)
    printed, seen = "", []
    for block in rest:
        if block.language == "python":
            (shell.folder / "draw.py").write_text(block.text)
        elif block.language == "text":
            assert missing(block.text, printed) == []
        else:
            assert block.language == "sh"
            printed = ""
            for command in block.commands:
                program, name, *_ = command.split()
                if name == "dashboard":
                    line, page = shell.serve(f"{command} --port {free_port()}", "/dashboard/")
                    assert b"<html" in page
                    printed += line
                else:
                    printed += shell.run(command)
                seen.append(name if program == "hpsearch" else program)
    assert seen == [
        *("search", "search", "status", "trials", "show", "dashboard", "report"),
        *("export", "retrain", "evaluate", "python", "recognise"),
    ]
    for sign in ("arrow", "cross", "house", "table"):
        (ranks,) = printed.split(f"signs/new/{sign}.png: 4 of 4 classes\n")[1:]
        assert ranks.splitlines()[0].endswith(f"  {sign}"), ranks
    for left in ("best.yaml", "report.html", "model/weights.safetensors", "openings.jsonl"):
        assert (shell.folder / "runs/tutorial" / left).is_file(), left


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("best: trial 7, error 25.6 % [21.2, 30.7]", "best: trial 7, mistake 25.6 % [21.2, 30.7]"),
        ("trial 3 pruned, error 43.8 %", "trial 3 complete, error 43.8 %"),
        ("8 complete, 2 pruned", "8 complete, 2 pruned, 0 failed"),
    ],
)
def test_another_line_than_the_shown_one_is_noticed(shown: str, printed: str) -> None:
    assert missing(shown, printed) == [shown]
    assert missing(shown, f"  {shown.replace('3', '41')}\n") == []


def test_the_live_view_is_shown() -> None:
    shown = "".join(block.text for block in blocks(PAGE) if block.language == "text")
    assert all(part in shown for part in LIVE)
    assert pattern("━━━ 44 % of the budget").search("━━━━━━╸━━ 7 % of the budget")
