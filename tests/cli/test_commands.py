"""The command line as a person meets it: exit codes, one line of error, nothing half-written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Done, run, run_apart


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into an empty folder and return it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_refused(done: Done, named: str) -> None:
    """One line, exit code 2."""
    assert done.code == 2, done
    assert len(done.err.strip().splitlines()) == 1, done.err
    assert named.lower() in done.err.lower()
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["search", "no-such-study"], "no-such-study"),
        (["search", "absent.yaml"], "absent.yaml"),
        (["search", "quickstart", "--trials", "0"], "budget.trials"),
        (["search", "quickstart", "--trials", "ten"], "--trials"),
        (["search", "quickstart", "--workers", "0"], "workers"),
        (["search", "quickstart", "--seed", "-1"], "seed"),
        (["search", "quickstart", "--hours", "nan"], "hours"),
        (["search", "quickstart", "--sampler", "magic"], "sampler.name"),
        (["search", "quickstart", "--pruner", "magic"], "pruner.name"),
        (["search", "quickstart", "--device", "tpu"], "device"),
        (["search", "quickstart", "--set", "trial.layers.conv1.filter_size=99"], "trial"),
        (["search", "quickstart", "--set", "trial.max_epoch=3"], "max_epochs"),
        (["search", "quickstart", "--set", "nonsense"], "KEY=VALUE"),
        (["search", "quickstart", "--data", "/no/such/folder"], "/no/such/folder"),
        (
            ["search", "quickstart", "--from", "nowhere", "--dry-run"],
            "--from nowhere: no such study",
        ),
        (["search", "quickstart", "--no-such-option"], "--no-such-option"),
        (
            ["status", "quickstart"],
            "no such folder; begin the study first: hpsearch search quickstart",
        ),
        (
            ["export", "quickstart"],
            "no such folder; begin the study first: hpsearch search quickstart",
        ),
        (["no-such-command"], "no-such-command"),
        (["retrain", "absent.yaml"], "absent.yaml"),
        (["evaluate", "no-model"], "no-model"),
    ],
)
def test_wrong_input_is_one_line_exit_2_and_writes_nothing(
    here: Path, arguments: list[str], named: str
) -> None:
    assert_refused(run(*arguments), named)
    assert list(here.iterdir()) == []


def test_wrong_input_ends_an_interpreter_of_its_own_in_the_same_way(here: Path) -> None:
    assert_refused(run_apart("search", "quickstart", "--trials", "0"), "budget.trials")
    assert list(here.iterdir()) == []


def test_a_refused_source_is_one_line_exit_2_and_begins_no_study(here: Path) -> None:
    source = ("--set", "dataset=glyphs", "--from", "nowhere", "--output", "s")
    done = run("search", "quickstart", *source)
    assert done.code == 2, done
    assert done.err.strip() == "hpsearch: --from nowhere: no such study; name a study's folder"
    assert list(here.iterdir()) == []


def test_dry_run_writes_nothing(here: Path) -> None:
    done = run("search", "quickstart", "--dry-run")
    assert done.code == 0, done.err
    assert "feasible share" in done.out
    assert list(here.iterdir()) == []


@pytest.mark.slow
def test_search_on_glyphs_status_and_continuing() -> None:
    settings = [
        "trial.max_epochs=2",
        "trial.images_per_epoch=256",
        "dataset=glyphs",
        "sampler.name=random",
    ]
    command = ["search", "quickstart", "--trials", "2", "--workers", "1", "--output", "s"]
    for setting in settings:
        command += ["--set", setting]
    first = run_apart(*command)
    assert first.code == 0, first.err
    assert "glyphs" in first.out
    status = run("status", "s", "--json")
    assert '"complete": 2' in status.out, status
    again = run(*command)
    assert again.code == 0, again.err
    assert run("status", "s", "--json").out == status.out
    other = run(*command, "--seed", "7")
    assert other.code == 2
    assert "seed" in other.err
    assert run("trials", "s", "--csv").out.count("\n") == 3
    assert "validation error by epoch" in run("show", "s", "1").out
