"""Every command in the README exists, and the way from search to recognition is walked by them."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.recognition.made import CommandLine

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = [
    *("--set", "trial.max_epochs=1", "--set", "trial.images_per_epoch=128"),
    *("--set", "dataset=glyphs", "--set", "sampler.name=random"),
]
"""Added to searches, so that they take seconds."""
WALKED = ("search", "report", "export", "retrain", "evaluate")
"""Targets that a test of this file runs; see ELSEWHERE for the others."""
ELSEWHERE = {
    "test": "this run",
    "baselines": "tests/results/test_baselines.py",
    "dashboard": "tests/results/test_in_chromium.py",
    "confirm": "tests/results/test_confirm.py",
    "install-cluster": "this run",
}
"""Targets that other tests run."""
LONG = ("drill", "bench", "bench-search")
"""Targets too long for a test: only what they would run is looked at."""
COMMANDS = {
    "recognise": "walked",
    "retrain": "walked",
    "space": "walked",
    "data": "walked",
    "doctor": "tests/reliability/test_invariants.py",
}


def shown() -> list[list[str]]:
    """Return every command of the README as words, options in brackets left out."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    lines = [line.split("#")[0] for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`((?:make|hpsearch|\.venv/bin/hpsearch) [^`]+)`", README)
    plain = [re.sub(r"\[[^\]]*\]", "", line) for line in lines]
    return [shlex.split(line) for line in plain if line.strip()]


def expanded(*words: str) -> list[str]:
    """Return what a make target runs, as the words after the program's name."""
    done = subprocess.run(
        ["make", "-n", "-o", ".venv/.installed", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "hpsearch " in line]
    assert lines, done.stdout
    program, *arguments = shlex.split(lines[-1])
    assert program == ".venv/bin/hpsearch"
    return arguments


def test_every_command_is_one_that_a_test_runs() -> None:
    commands = shown()
    assert len(commands) >= 12
    for program, first, *rest in commands:
        if program == "make":
            assert first in WALKED or first in ELSEWHERE or first in LONG, first
            done = subprocess.run(
                ["make", "-n", first, *(w for w in rest if "=" in w)],
                cwd=ROOT, capture_output=True, check=False, timeout=30,
            )  # fmt: skip
            assert done.returncode == 0, (first, rest)
        else:
            assert program in ("hpsearch", ".venv/bin/hpsearch")
            assert first in COMMANDS, first
    for place in {*ELSEWHERE.values(), *COMMANDS.values()} - {"this run", "walked"}:
        assert (ROOT / place).is_file(), place


@pytest.mark.timeout(600)
def test_from_search_to_recognition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HPSEARCH_DATA", raising=False)
    hpsearch = CommandLine(monkeypatch, capsys)
    output = tmp_path / "a study"  # a name with a space, as people have
    for target in WALKED:
        arguments = expanded(target, f"OUTPUT={output}", "TRIALS=1", "WORKERS=1")
        done = hpsearch(*arguments, *(SMALL if target == "search" else []))
        assert done.code == 0, (target, done.err)
    for left in ("best.yaml", "report.html", "model/weights.safetensors", "openings.jsonl"):
        assert (output / left).is_file(), left
    chance = np.random.default_rng(0)
    for name in ("one", "two"):
        (tmp_path / "support" / name).mkdir(parents=True)
        picture = Image.fromarray(chance.integers(0, 256, (40, 40), np.uint8))
        picture.save(tmp_path / "support" / name / "a.png")
    query = tmp_path / "support" / "two" / "a.png"
    done = hpsearch("recognise", output / "model", "--support", tmp_path / "support", query)
    assert done.code == 0, done.err
    assert done.out.index("two") < done.out.index("one")
    assert hpsearch("space", "show", "koch2015").code == 0
    assert hpsearch("data", "show").code == 0
