"""Make as a person calls it, with programs that write down what they are given."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

MAKEFILE = Path(__file__).parents[2] / "Makefile"
PROGRAMS = (".venv/bin/hpsearch", ".venv/bin/python")
RECORD = '#!/bin/sh\nfor word in "$0" "$@"; do printf "%s\\0" "$word"; done >> words\n'


class Make:
    """A folder with the Makefile, and nothing but records behind it."""

    def __init__(self, folder: Path) -> None:
        """Write the folder."""
        self.folder = folder
        shutil.copy(MAKEFILE, folder)
        (folder / ".venv" / "bin").mkdir(parents=True)
        for name in ("pyproject.toml", "constraints.txt", ".installed", ".installed-cluster"):
            (folder / (f".venv/{name}" if name.startswith(".") else name)).touch()
        for name in PROGRAMS:
            program = folder / name
            program.write_text(RECORD)
            program.chmod(0o755)

    def __call__(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run make with an environment that holds nothing else."""
        known = {name: os.environ[name] for name in ("PATH", "HOME")}
        return subprocess.run(
            ["make", *words], cwd=self.folder, env={**known, **environment}, capture_output=True,
            text=True, check=False, timeout=30,
        )  # fmt: skip

    def given(self) -> list[str]:
        """Return the words that the programs were given since the last time, without the names."""
        record = self.folder / "words"
        words = record.read_text().split("\0")[:-1]
        record.unlink()
        return [word for word in words if word not in PROGRAMS]
