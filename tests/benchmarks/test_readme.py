"""benchmarks/README.md names every module, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
MODULES = sorted(path.name for path in (ROOT / "benchmarks").glob("[a-z]*.py"))
COMMANDS = re.findall(r"`((?:python -m benchmarks\.|make )[^`]+)`", README)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_described(name: str) -> None:
    assert f"`{name}`" in README
    runs = '__name__ == "__main__"' in (ROOT / "benchmarks" / name).read_text(encoding="utf-8")
    row = next(line for line in README.splitlines() if f"`{name}`" in line)
    assert runs == row.startswith(f"| `{name}` | "), "what runs has a row with its command"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_exists(command: str) -> None:
    words = command.strip("[]").split()
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{words[1]}: ", makefile, re.M)
        assert all(
            re.search(rf"^{w.strip('[]').split('=')[0]} ", makefile, re.M) for w in words[2:]
        )
        return
    source = (ROOT / f"{words[2].replace('.', '/')}.py").read_text(encoding="utf-8")
    assert all(f'"{word.strip("[]")}"' in source for word in words if "--" in word)
