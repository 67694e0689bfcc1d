"""hpsearch.trainer, the Python side of a command: by hand, in a search, and copied."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch import trainer
from tests.support.command_line import run
from tests.support.programs import write_command_study

SCRIPT = """\
import trainer

with trainer.trial(parameters={"x": 0.5}, max_steps=2) as trial:
    state = trial.checkpoint / "state"
    done = int(state.read_text()) if state.is_file() else 0
    for step in range(done + 1, trial.max_steps + 1):
        verdict = trial.report(step, trial.parameters["x"] / step, {"seed": trial.seed})
        if trial.number or trial.seed:
            state.write_text(str(step))
        if verdict.stop:
            break
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    shutil.copy(str(trainer.__file__), tmp_path / "trainer.py")
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def test_by_hand_it_prints_its_reports(script: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(script.parent)!r}); "
         f"import runpy; runpy.run_path({str(script)!r})"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines == [
        {"step": 1, "value": 0.5, "metrics": {"seed": 0}},
        {"step": 2, "value": 0.25, "metrics": {"seed": 0}},
    ]


def test_in_a_search_it_reports_and_obeys(script: Path) -> None:
    study = write_command_study(
        script.parent,
        trainer={"command": [sys.executable, "train.py"], "max_steps": 4},
        pruner={"name": "asha", "startup_trials": 1, "audit_share": 0},
        enqueue=[{"x": 0.1}, {"x": 0.9}],
        budget={"trials": 2},
    )
    done = run("search", study, "--output", script.parent / "r")
    assert "trial 0 complete, value 0.025" in done.out
    assert "trial 1 pruned, value 0.9 (pruned by asha after epoch 1)" in done.out
    verdict = (script.parent / "r/trials/00001/verdict.json").read_text()
    assert json.loads(verdict) == {"step": 1, "verdict": "stop"}


def test_a_report_waits_for_its_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "REPORT": tmp_path / "report",
        "VERDICT": tmp_path / "verdict",
        "CHECKPOINT": tmp_path,
        "PARAMETERS": '{"x": 1}',
        "SEED": 3,
        "TRIAL": 4,
        "MAX_STEPS": 5,
        "DEVICE": "cpu",
        "PROTOCOL": 1,
    }.items():
        monkeypatch.setenv(f"HPSEARCH_{name}", str(value))
    monkeypatch.setattr(trainer, "WAIT_S", 0.05)
    verdict = tmp_path / "verdict"
    with trainer.trial() as trial:
        assert (trial.parameters, trial.seed, trial.number) == ({"x": 1}, 3, 4)
        assert not trial.report(1, 0.5).stop  # nobody answers: the search is stopped
        verdict.write_text('{"step": 2, "verdict": "go"}')
        assert not trial.report(2, math.nan).stop
        verdict.write_text('{"step": 2, "verdict": "pause"}')
        assert trial.report(3, 0.5).text == "pause"
        trial.result(0.25, {"latency_ms": 4})
    lines = (tmp_path / "report").read_text().splitlines()
    assert [json.loads(line) for line in (lines[0], *lines[2:])] == [
        {"step": 1, "value": 0.5},
        {"step": 3, "value": 0.5},
        {"result": 0.25, "metrics": {"latency_ms": 4}},
    ]
    monkeypatch.setenv("HPSEARCH_PROTOCOL", "2")
    with pytest.raises(SystemExit, match="speaks protocol 1"), trainer.trial():
        pass


def test_a_script_with_its_own_parameters_only_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trainer.report(2, 0.5, {"loss": 1}).text == "go"
    by_hand = {"step": 2, "value": 0.5, "metrics": {"loss": 1}}
    assert json.loads(capsys.readouterr().out) == by_hand
    study = write_command_study(
        tmp_path,
        trainer={"command": [sys.executable, "go.py", "${parameter:x}"], "max_steps": 2},
        enqueue=[{"x": 0.5}],
        budget={"trials": 1},
    )
    (tmp_path / "go.py").write_text(
        "import sys\nfrom hpsearch import trainer\n"
        "for step in (1, 2):\n    trainer.report(step, float(sys.argv[1]) / step)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(Path(str(trainer.__file__)).parents[1]))
    done = run("search", study, "--output", tmp_path / "r")
    assert "trial 0 complete, value 0.25" in done.out, done


def test_it_needs_the_standard_library_only() -> None:
    code = f"import sys, runpy; runpy.run_path({str(trainer.__file__)!r})"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
