"""What follows a search of a command: confirm, export, retrain, report, migrate, warm start."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path

import pytest

from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.confirm.confirmation import fresh_seed
from hpsearch.paths import StudyFolder
from hpsearch.storage.view import read_study
from tests.support.command_line import run
from tests.support.programs import write_command_study

SCRIPT = """\
x=$2; c=$HPSEARCH_CHECKPOINT/step; step=$(cat "$c" 2>/dev/null || echo 0)
while [ "$step" -lt "$HPSEARCH_MAX_STEPS" ]; do
  step=$((step + 1))
  awk -v x="$x" -v s="$step" -v seed="$HPSEARCH_SEED" 'BEGIN {
    srand(seed); value = 90 - 40 * (x - .3)^2 - 8 / s + rand()
    printf "{\\"step\\": %d, \\"value\\": %.6f}\\n", s, value
  }' >>"$HPSEARCH_REPORT"
  echo "$step" >"$c"
done
"""
"""Climbs to 90 at x = 0.3, with noise from 0 to 1 by the seed."""
SPACE = {
    "name": "program",
    "parameters": {
        "x": {"type": "float", "low": 0, "high": 1},
        "kind": {"type": "categorical", "choices": ["a", "b"]},
        "depth": {"type": "int", "low": 1, "high": 9, "when": {"kind": ["a"]}},
    },
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an ended study of a command; nobody writes to it."""
    folder = tmp_path_factory.mktemp("searched")
    study = write_command_study(
        folder,
        SCRIPT,
        direction="maximize",
        measure="score",
        space=SPACE,
        enqueue=[{"x": 0.9, "kind": "b"}],
        budget={"trials": 9},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        done = run("search", study, "--output", folder / "s")
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def own(searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the study's folder, of the user who began it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(searched / "config"))
    return Path(shutil.copytree(searched / "s", tmp_path / "s"))


@pytest.fixture
def foreign(own: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return such a folder for a user who did not begin it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(own.parent / "other"))
    return own


def test_the_best_are_trained_again_and_certified_as_the_user_sees_values(own: Path) -> None:
    done = run("confirm", own, "--top", 2, "--seeds", 2, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    view = read_study(StudyFolder(own))
    assert told["measure"] == {"name": "score", "maximized": True}
    low, high = told["interval"]
    assert 80 < low <= told["value"] <= high < 92
    assert told["gain"]["start"] == 0
    assert told["gain"]["gain"] > 5
    assert told["interval_other_alphabets"] is None
    for row in told["candidates"]:
        x = view.trials[row["trial"]].params["x"]
        for value in row["values"]:
            assert 0 <= value - (90 - 40 * (float(x) - 0.3) ** 2 - 8 / 3) <= 1
    held = json.loads((own / "certificate.json").read_text())
    assert held["error"] == -told["value"]
    places = sorted(path.name for path in (own / "confirmation").glob("*"))
    assert len(places) == 6
    assert not (own / "confirmation" / places[0] / "checkpoint").exists()
    status = json.loads(run("status", own, "--json").out)
    assert status["best"]["certificate"]["value"] == told["value"]
    assert "score" in run("status", own).out
    assert run("confirm", own, "--top", 2, "--seeds", 2, "--json").code == 0  # trains nothing
    assert run("doctor", own).code == 0
    assert run("export", own).code == 0
    assert read_yaml(own / "best.yaml")["certificate"]["interval"] == told["interval"]
    done = run("retrain", own / "best.yaml")
    assert done.code == 0, done.err
    assert "certificate: within" in done.out or "certificate: outside" in done.out


def test_a_training_that_diverges_under_a_fresh_seed_counts_as_broken_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    unstable = 'test -e "$UNSTABLE/$HPSEARCH_SEED" && ' + (
        'echo "{\\"step\\": 1, \\"value\\": NaN}" >>"$HPSEARCH_REPORT" && exit\n'
    )
    study = write_command_study(
        tmp_path,
        unstable + SCRIPT,
        direction="maximize",
        trainer__environment={"UNSTABLE": str(tmp_path)},
        budget={"trials": 4},
    )
    folder = StudyFolder(tmp_path / "s")
    assert run("search", study, "--output", folder.root).code == 0
    view = read_study(folder)
    (tmp_path / str(fresh_seed(view.config.seed, 0))).touch()
    done = run("confirm", folder.root, "--top", 2, "--seeds", 2, "--json")
    assert done.code == 0, done.err
    worst = min(-t.value for t in view.trials if t.value is not None)
    told = json.loads(done.out)
    assert [worst in row["values"] for row in told["candidates"]] == [True, True]
    assert all(row["broke_down"] == 1 for row in told["candidates"])


def test_a_confirmation_goes_on_where_it_was_killed(own: Path) -> None:
    run("confirm", own, "--top", 2, "--seeds", 2)
    place = next((own / "confirmation").glob("*-1"))
    before = json.loads((place / "result.json").read_text())
    (place / "result.json").unlink()
    with (place / "epochs.jsonl").open("r+b") as file:  # a kill has torn the last line
        file.truncate((place / "epochs.jsonl").stat().st_size - 20)
    done = run("confirm", own, "--top", 2, "--seeds", 2)
    assert done.code == 0, done.err
    assert "5 of 6 runs are complete already" in done.out
    assert json.loads((place / "result.json").read_text())["error"] == before["error"]


def test_a_command_is_run_again_from_its_file_and_kept(own: Path, tmp_path: Path) -> None:
    assert run("export", own).code == 0
    best = own / "best.yaml"
    model = tmp_path / "model"
    done = run("retrain", best, "--seed", 5, "--output", model)
    assert done.code == 0, done.err
    assert (model / "checkpoint" / "step").read_text() == "3\n"
    metrics = json.loads((model / "metrics.json").read_text())
    assert metrics["value"] == max(row["value"] for row in metrics["curve"])
    assert [row["step"] for row in metrics["curve"]] == [1, 2, 3]
    (model / "report.jsonl").unlink()
    assert run("retrain", best, "--seed", 5, "--output", model).code == 0
    assert not (model / "report.jsonl").exists()  # it had ended: nothing runs again
    done = run("retrain", best, "--seed", 6, "--output", model)
    assert done.code == 2
    assert "seed: holds another model" in done.err
    done = run("retrain", best, "--epochs", 5, "--output", tmp_path / "longer")
    assert "after 5 steps" in done.out
    assert "not applicable" in done.out
    done = run("retrain", best, "--data", tmp_path)
    assert (done.code, "--data: a command finds its data itself" in done.err) == (2, True)


def test_a_run_that_fails_is_tried_again_and_then_told_in_one_line(
    own: Path, tmp_path: Path
) -> None:
    run("export", own)
    values = read_yaml(own / "best.yaml")
    values["config"]["command"] = ["sh", "-c", "echo no such data >&2; exit 3"]
    path = tmp_path / "broken.yaml"
    path.write_text(dump_yaml(values))
    done = run("retrain", path, "--trust")
    assert done.code == 3
    assert "failed 3 times" in done.err
    assert "no such data" in done.err
    assert len(done.err.strip().split("\n")[-1]) < 400


@pytest.mark.parametrize("command", ["confirm", "retrain"])
def test_a_command_of_others_runs_only_after_it_was_agreed_to(foreign: Path, command: str) -> None:
    assert run("export", foreign).code == 0  # runs nothing of it
    named = foreign if command == "confirm" else foreign / "best.yaml"
    options = ["--top", 2, "--seeds", 2] if command == "confirm" else []
    done = run(command, named, *options)
    assert done.code == 2
    assert "was not begun by this user" in done.err
    assert "sh -c" in done.out
    assert not (foreign / "confirmation").exists()
    assert not (foreign / "model").exists()
    assert run(command, named, *options, "--trust").code == 0


def test_a_mark_is_of_command_and_parameters(own: Path) -> None:
    run("export", own)
    best = own / "best.yaml"
    values = read_yaml(best)
    values["config"]["parameters"]["x"] = 0.123
    best.write_text(dump_yaml(values))
    done = run("retrain", best)
    assert (done.code, "add --trust" in done.err) == (2, True)


def test_its_report_has_its_values_and_nothing_of_the_network(own: Path) -> None:
    run("confirm", own, "--top", 2, "--seeds", 2)
    done = run("report", own)
    assert done.code == 0, done.err
    page = (own / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)
    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))
    for word in ("Confirmed score", "highest", "depth", "Learning curves", "sh -c"):
        assert word in text
    for word in ("one-shot", "Sealed", "alphabet", "multiply-adds", "validation error", "epoch"):
        assert word not in text
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.S)
    assert found is not None
    figures = json.loads(found[1])
    assert {"incumbent", "curves", "parallel", "cost-time"} <= figures.keys()
    axis = figures["incumbent"]["layout"]["yaxis"]
    assert axis["title"]["text"] == "score"
    assert axis["range"][1] > 80


@pytest.mark.parametrize("command", ["status", "report", "trials", "verify", "doctor", "export"])
def test_a_command_that_reads_runs_nothing(foreign: Path, command: str) -> None:
    study = foreign / "study.yaml"
    assert str(study)
    before = sorted(p.stat().st_mtime_ns for p in foreign.glob("trials/*/log.txt"))
    assert run(command, foreign).code == 0
    assert sorted(p.stat().st_mtime_ns for p in foreign.glob("trials/*/log.txt")) == before


def space_file(folder: Path, **changes: dict[str, object] | None) -> Path:
    parameters = {**SPACE["parameters"], **changes}  # type: ignore[dict-item]
    kept = {name: one for name, one in parameters.items() if one is not None}
    path = folder / "space.yaml"
    path.write_text(dump_yaml({"name": "program", "parameters": kept}))
    return path


def test_a_changed_space_keeps_every_trial_and_goes_on(own: Path, tmp_path: Path) -> None:
    new: dict[str, object] = {"type": "int", "low": 1, "high": 4}
    done = run("migrate", own, "--space", space_file(tmp_path, width=new))
    assert done.code == 2
    assert "parameters.width: is new" in done.err
    before = read_study(StudyFolder(own)).trials
    narrow = {"type": "float", "low": 0.5, "high": 1}
    space = space_file(tmp_path, width={**new, "default": 2}, x=narrow)
    done = run("migrate", own, "--space", space)
    assert done.code == 0, done.err
    assert "added: width" in done.out
    after = read_study(StudyFolder(own)).trials
    assert [t.value for t in after] == [t.value for t in before]
    assert all(t.params == {**b.params, "width": 2} for t, b in zip(after, before, strict=True))
    outside = sum(float(t.params["x"]) < 0.5 for t in before)
    assert f"{9 - outside} trials are in the new space, {outside} count" in done.out
    assert run("export", own).code == 0
    assert "width" not in read_yaml(own / "best.yaml")["config"]["parameters"]  # as it ran
    done = run("search", own, "--trials", 11)
    assert done.code == 0, done.err
    assert read_study(StudyFolder(own)).trials[-1].params["width"] in range(1, 5)
    (own / "study.db").unlink()
    assert run("doctor", own, "--repair").code == 0
    again = read_study(StudyFolder(own)).trials
    assert [t.params for t in again[:9]] == [t.params for t in after]


def test_a_parameter_that_is_gone_is_kept_and_not_proposed(own: Path, tmp_path: Path) -> None:
    done = run("migrate", own, "--space", space_file(tmp_path, depth=None))
    assert done.code == 0, done.err
    assert run("search", own, "--trials", 10).code == 0
    trials = read_study(StudyFolder(own)).trials
    assert "depth" not in trials[-1].params
    assert run("doctor", own).code == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "the same problem: its results count in full"),
        ({"trainer__max_steps": 4}, "another data set, input size or setting"),
    ],
)
def test_a_search_learns_from_another_of_the_same_command(
    own: Path, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    study = write_command_study(
        tmp_path,
        SCRIPT,
        direction="maximize",
        measure="score",
        space=SPACE,
        sampler={"name": "tpe", "startup_trials": 2},
        trainer__directory=read_yaml(own / "study.yaml")["trainer"]["directory"],
        **changes,
    )
    folder = tmp_path / "second"
    done = run("search", study, "--from", own, "--output", folder)
    assert done.code == 0, done.err
    assert words in done.out
    assert len(read_study(StudyFolder(folder)).trials) == 3
    assert run("verify", folder).code == 0


def test_a_study_of_another_trainer_teaches_nothing(own: Path, tmp_path: Path) -> None:
    done = run("search", "quickstart", "--from", own, "--output", tmp_path / "n", "--dry-run")
    assert done.code == 2
    assert "its trainer is a command, this study's is siamese" in done.err


def test_an_exported_one_may_be_tried_first(own: Path, tmp_path: Path) -> None:
    run("export", own)
    best = read_yaml(own / "best.yaml")["config"]["parameters"]
    study = write_command_study(
        tmp_path, SCRIPT, space=SPACE, enqueue=[str(own / "best.yaml")], budget={"trials": 1}
    )
    done = run("search", study, "--output", tmp_path / "second")
    assert done.code == 0, done.err
    assert read_study(StudyFolder(tmp_path / "second")).trials[0].params == best


def test_what_only_a_network_has_is_refused_in_one_line(own: Path) -> None:
    run("export", own)
    run("retrain", own / "best.yaml")
    done = run("evaluate", own / "model")
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1
