"""A new user's way: every block of the page on a script runs as it stands, in its order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages import Shell, blocks, missing

PAGE = "tutorial-script.md"


def changed(text: str, diff: str) -> str:
    """Return a text with the added lines of a diff, each after the line before it."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] != "+")
        assert text.count(before) == 1, before
        text = text.replace(before, "".join(line[1:] for line in lines))
    return text


def test_two_lines_are_added() -> None:
    (diff,) = (block.text for block in blocks(PAGE) if block.language == "diff")
    assert [line[0] for line in diff.splitlines()].count("+") == 2


@pytest.mark.slow
def test_a_script_becomes_a_search(tmp_path: Path) -> None:
    shell, printed = Shell(tmp_path), ""
    script = shell.folder / "fit.py"
    for block in blocks(PAGE):
        if block.language == "python":
            script.write_text(block.text)
        elif block.language == "diff":
            script.write_text(changed(script.read_text(), block.text))
        elif block.language == "yaml":
            assert (shell.folder / "fit-space.yaml").read_text().endswith(block.text)
        elif block.language == "text":
            assert missing(block.text, printed) == []
        else:
            assert block.language == "sh"
            printed = "".join(shell.run(command) for command in block.commands)
    assert (shell.folder / "runs/fit/best.yaml").is_file()
    by_hand = shell.run("python fit.py --epochs 2")
    assert by_hand.splitlines()[-1].startswith("error 0.")
    assert by_hand.count('{"step"') == 2
