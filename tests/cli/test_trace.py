"""The commands that trace a study back, as a person calls them: list, trials, show, verify."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from hpsearch.cli.trace import _print_reason
from hpsearch.execution import Ending
from hpsearch.intervals import wilson
from hpsearch.maintenance.verify import Reason
from hpsearch.measure import VALIDATION_ERROR
from hpsearch.paths import StudyFolder
from hpsearch.storage.view import read_study
from hpsearch.wording import interval, percent
from tests.driver.test_driver import search
from tests.support.command_line import CommandLine
from tests.support.fake_executor import FakeExecutor

FAILED = 4


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study of six trials, the first enqueued, one out of memory, none pruned."""
    executor = FakeExecutor()
    executor.failing[FAILED] = Ending.OUT_OF_MEMORY
    folder = tmp_path_factory.mktemp("runs") / "s"
    changes = {"sampler__name": "random", "pruner__name": "none"}
    search(folder, executor, budget__trials=6, trial__max_epochs=3, **changes)
    return folder


def test_list_names_shipped_studies_and_those_of_a_folder(
    searched: Path, hpsearch: CommandLine, tmp_path: Path
) -> None:
    shutil.copytree(searched, tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "study.yaml").write_text("name: [\n")
    done = hpsearch("list", tmp_path)
    assert (done.code, done.err) == (0, "")
    shipped, first, second = done.out.splitlines()
    assert shipped.startswith("shipped: aligned, koch2015, ")
    best = min(
        (t for t in read_study(StudyFolder(searched)).trials if t.state == "complete"),
        key=lambda t: t.value or 1,
    )
    ends = interval(wilson(best.value or 0, 320))
    assert first == (
        f"{tmp_path / 'a'}: quickstart on glyphs, 6 trials finished; best: trial {best.number}, "
        f"validation error {percent(best.value or 0)} {ends} on 320 tasks, unconfirmed"
    )
    assert second.startswith(f"{tmp_path / 'b'}: ")
    assert "study.yaml" in second
    assert hpsearch("list", tmp_path / "absent").out == f"{shipped}\n"


def test_trials_has_a_line_for_each(searched: Path, hpsearch: CommandLine) -> None:
    done = hpsearch("trials", searched)
    assert done.code == 0
    lines = done.out.splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(6))
    first = read_study(StudyFolder(searched)).trials[0]
    assert lines[0].split() == [
        "0",
        "complete",
        *percent(first.value or 0, 2).split(),
        "3",
        "epochs",
    ]
    assert lines[FAILED].split()[1:5] == ["failed", "-", "0", "epochs"]
    assert "out of memory" in lines[FAILED]


def test_show_prints_the_curve_the_reason_and_where_it_was_trained(
    searched: Path, hpsearch: CommandLine
) -> None:
    trial = read_study(StudyFolder(searched)).trials[5]
    done = hpsearch("show", searched, 5)
    assert (done.code, done.err) == (0, "")
    error = percent(trial.value or 0, 2)
    assert f"trial 5 of quickstart: complete, validation error {error}\n" in done.out
    assert f"{'fc.width':24} {trial.params['fc.width']}\n" in done.out
    curve = [f"{epoch:7} {percent(error, 2)}" for epoch, error in trial.values.items()]
    assert "\n".join([*curve[:-1], f"{curve[-1]}  lowest"]) in done.out  # it falls to the end
    assert "by random" in done.out
    assert "the sampler knew 4 complete, 1 failed trials; lowest error " in done.out
    assert "its model expected" not in done.out
    for name, text in (("host", "fake"), ("device", "cpu"), ("threads", "1")):
        assert f"  {name:24} {text}\n" in done.out
    told = json.loads(hpsearch("show", searched, 5, "--json").out)
    assert told["params"] == dict(trial.params)
    assert told["values"] == {str(k): v for k, v in trial.values.items()}
    assert told["provenance"][0]["host"] == "fake"
    assert told["why"]["seen"] == {"complete": 4, "failed": 1}
    assert told["why"]["predicted"] is None
    assert "by enqueued: reference" in hpsearch("show", searched, 0).out
    refused = hpsearch("show", searched, 6)
    assert (refused.code, refused.out) == (2, "")
    assert "has trials 0 to 5" in refused.err


def test_show_prints_what_a_model_expected(capsys: pytest.CaptureFixture[str]) -> None:
    reason = Reason("gp", {"complete": 1, "pruned": 2}, None, (0.25, 0.0125))
    _print_reason(reason, VALIDATION_ERROR)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  by gp",
        "  the sampler knew 1 complete, 2 pruned trials; no error yet",
        "  its model predicted an error of 25.00 %, standard deviation 1.25 points",
    ]


def test_verify_agrees_with_what_is_stored_and_exits_2_where_it_was_changed(
    searched: Path, hpsearch: CommandLine, tmp_path: Path
) -> None:
    done = hpsearch("verify", searched)
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "quickstart: 6 trials: 5 derived again and equal, 1 enqueued as the study file says, 0 "
        "different, 0 impossible to derive\n"
    )
    copy = shutil.copytree(searched, tmp_path / "copy")
    with sqlite3.connect(copy / "study.db") as connection:
        connection.execute(
            "UPDATE trial_params SET param_value = 0.0123 WHERE param_name = 'fc.learning_rate' "
            "AND trial_id = (SELECT trial_id FROM trials WHERE number = 5)"
        )
    done = hpsearch("verify", copy, "--json")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "1 suggestion derived again, and different from what is stored" in done.err
    told = json.loads(done.out)
    assert told["counts"] == {"enqueued": 1, "same": 4, "different": 1}
    assert [t["verdict"] for t in told["trials"]] == ["enqueued", *["same"] * 4, "different"]
    assert told["trials"][5]["text"].startswith("fc.learning_rate: derived ")
    assert told["trials"][5]["text"].endswith("stored 0.0123")
