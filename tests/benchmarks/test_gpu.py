"""The check of a card: its dry run, and what becomes of a step that hangs, dies or cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import gpu, gpu_page
from benchmarks.gpu import Planned, run_step
from benchmarks.gpu_place import Place, Sheet, Step

DATA = os.environ.get("HPSEARCH_DATA")


def holds(_: Place, sheet: Sheet) -> None:
    sheet.note(figure=3)
    sheet.expect("true", True)


def does_not_hold(_: Place, sheet: Sheet) -> None:
    sheet.expect("false", False)
    sheet.expect("true", True)


def measures(_: Place, sheet: Sheet) -> None:
    sheet.note(figure=3)


def hangs(_: Place, sheet: Sheet) -> None:
    sheet.note(figure=3)
    subprocess.Popen(["sleep", "600"]).wait()


def fails_and_hangs(_: Place, sheet: Sheet) -> None:
    sheet.expect("false", False)
    time.sleep(600)


def dies(_: Place, sheet: Sheet) -> None:
    sheet.note(figure=3)
    os.kill(os.getpid(), signal.SIGKILL)


def raises(_: Place, sheet: Sheet) -> None:
    raise RuntimeError("CUDA error: broken")


def cannot(place: Place, sheet: Sheet) -> None:
    place.need_card()


@pytest.mark.parametrize(
    ("step", "verdict", "why"),
    [
        (holds, "PASS", None),
        (does_not_hold, "FAIL", None),
        (measures, "NUMBER", None),
        (hangs, "UNMEASURED", "not done in 2 s"),
        (fails_and_hangs, "FAIL", None),
        (dies, "FAIL", "its process died"),
        (raises, "FAIL", "RuntimeError: CUDA error: broken"),
        (cannot, "UNMEASURED", "needs a card"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_end_of_a_step_is_a_verdict(
    step: Step, verdict: str, why: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "CPU_FACTOR", 1)
    place = Place("cpu", True, None, tmp_path, tmp_path, 0.0)
    began = time.monotonic()
    row = run_step(4, Planned("a name", 2 if "hangs" in step.__name__ else 60, step), place)
    assert time.monotonic() - began < 20
    assert (row["step"], row["name"], row["verdict"]) == (4, "a name", verdict)
    assert row.get("why") == why
    if step in (holds, measures, hangs, dies):
        assert row["figure"] == 3  # what was written down is kept


def rows(count: int = 14) -> list[dict[str, Any]]:
    verdicts = ["PASS", "FAIL", "NUMBER", "UNMEASURED"]
    return [
        {
            "step": n, "name": f"<step {n}>", "verdict": verdicts[n % 4], "seconds": 1.5 * n,
            "why": "a | b", "table": {"x": ["y"] * 500},
        }
        for n in range(count)
    ]  # fmt: skip


def test_the_page_is_short_and_its_picture_is_an_svg() -> None:
    text = gpu_page.page(rows(), 480.0)
    assert len(text.splitlines()) <= gpu_page.MAX_LINES
    assert "4 PASS, 4 FAIL, 3 NUMBER, 3 UNMEASURED" in text
    assert text.count("\n| ") == 14 + 2  # the head and its rule, and no cell breaks out
    picture = ElementTree.fromstring(gpu_page.picture(rows()))
    bars = [e.get("fill") for e in picture.iter() if e.tag.endswith("rect")]
    assert bars[1:5] == list(gpu_page.COLOURS.values())


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="HPSEARCH_DATA names no Omniglot")
def test_the_dry_run_fails_nowhere(tmp_path: Path) -> None:
    """Fourteen lines, none failed, at least five passed; at most eight files."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--data", str(DATA), "--device", "cpu"]
    done = subprocess.run(
        [*command, "--tiny", "--out", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    verdicts = [json.loads(line)["verdict"] for line in lines]
    assert [json.loads(line)["step"] for line in lines] == list(range(14))
    assert "FAIL" not in verdicts
    assert verdicts.count("PASS") >= 5
    assert len(list(tmp_path.rglob("*"))) <= 8
