"""`hpsearch check` says of a program what of the protocol it keeps."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hpsearch import trainer
from tests.support.command_line import run
from tests.support.programs import STEPS, write_command_study

SLOW = pytest.mark.slow
SLOW_STEPS = STEPS.replace("  step=", '  [ "$step" = 1 ] && sleep 3; step=')
LOOKS = STEPS.replace(
    '  echo "$step" >"$c"\n',
    '  echo "$step" >"$c"\n  sleep 0.3; grep -qE "stop|pause" "$HPSEARCH_VERDICT" && exit 0\n',
)
FORGETS = SLOW_STEPS.replace('echo "$step" >"$c"', "true")
RANDOM = 'sleep 0.5; echo "{\\"result\\": $(od -An -N3 -tu4 </dev/urandom)}" >>"$HPSEARCH_REPORT"'
BROKEN_EDGE = '[ "$2" = 1.0 ] && echo too large && exit 4; ' + SLOW_STEPS


@pytest.mark.parametrize(
    ("script", "lines"),
    [
        (
            SLOW_STEPS,
            [
                "program    /",
                "middle     step 1, value 0.8, after",
                "verdict    it does not look at HPSEARCH_VERDICT; SIGTERM ends it",
                "again      the same seed gives the same value",
                "edge       step 1, value 0.8",
                "killed     it goes on from its checkpoint, after step 1",
                "it can be searched",
            ],
        ),
        pytest.param(LOOKS, ["verdict    it ends by itself when it is told to stop"], marks=SLOW),
        pytest.param(FORGETS, ["killed     it keeps no checkpoint"], marks=SLOW),
        pytest.param(RANDOM, ["again      the same seed gives another value"], marks=SLOW),
        pytest.param(
            BROKEN_EDGE,
            ["edge       FAILS at the highest values: sh: exit code 4; its last words: too"],
            marks=SLOW,
        ),
    ],
)
def test_a_program_is_judged(tmp_path: Path, script: str, lines: list[str]) -> None:
    done = run("check", write_command_study(tmp_path, script))
    assert done.code == 0
    for line in lines:
        assert line in done.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study.yaml"]


WAITS = """\
import sys, time
from hpsearch import trainer
for step in (1, 2, 3):
    trainer.report(step, 1 / step)
    time.sleep(0.3)
"""


@pytest.mark.timeout(120)
def test_a_program_that_starts_again_gets_an_answer_to_what_it_has_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the verdict of a step that the search has decided on before."""
    (tmp_path / "go.py").write_text(WAITS)
    monkeypatch.setenv("PYTHONPATH", str(Path(str(trainer.__file__)).parents[1]))
    command = [sys.executable, "go.py"]
    done = run(
        "check", write_command_study(tmp_path, trainer={"command": command, "max_steps": 3})
    )
    assert done.code == 0, done
    assert "killed     it keeps no checkpoint" in done.out


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 0", "it cannot be searched: sh: ended without a report"),
        ("echo no data; exit 3", "exit code 3; its last words: no data"),
        ("echo hello >>$HPSEARCH_REPORT", "report line 1: hello is no JSON object"),
    ],
)
def test_what_cannot_be_searched_is_refused(tmp_path: Path, script: str, why: str) -> None:
    done = run("check", write_command_study(tmp_path, script))
    assert done.code == 2
    assert why in done.err


def test_the_siamese_trainer_needs_no_check() -> None:
    done = run("check", "quickstart")
    assert (done.code, "--dry-run checks it" in done.err) == (2, True)
