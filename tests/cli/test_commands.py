"""The command line as a person meets it: exit codes, one line of error, nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hpsearch.cli.main", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


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
        (["search"], "STUDY"),
        (["status", "quickstart"], "study.yaml"),
        (["export", "quickstart"], "study.yaml"),
        (["no-such-command"], "no-such-command"),
        (["retrain", "absent.yaml"], "absent.yaml"),
        (["evaluate", "no-model"], "no-model"),
    ],
)
def test_wrong_input_is_one_line_exit_2_and_writes_nothing(
    tmp_path: Path, arguments: list[str], named: str
) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert named.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_refused_source_is_one_line_exit_2_and_begins_no_study(tmp_path: Path) -> None:
    done = run(
        "search", "quickstart", "--set", "dataset=glyphs", "--from", "nowhere", "--output", "s",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2, done
    assert done.stderr.strip() == (
        "hpsearch: --from nowhere: no such study; name a study's folder"
    )
    assert list(tmp_path.iterdir()) == []


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    done = run("search", "quickstart", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "feasible share" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_search_on_glyphs_status_and_continuing(tmp_path: Path) -> None:
    settings = [
        "trial.max_epochs=2",
        "trial.images_per_epoch=256",
        "dataset=glyphs",
        "sampler.name=random",
    ]
    command = ["search", "quickstart", "--trials", "2", "--workers", "1", "--output", "s"]
    for setting in settings:
        command += ["--set", setting]
    first = run(*command, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "glyphs" in first.stdout
    status = run("status", "s", "--json", cwd=tmp_path)
    assert '"complete": 2' in status.stdout, status
    again = run(*command, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert run("status", "s", "--json", cwd=tmp_path).stdout == status.stdout
    other = run(*command, "--seed", "7", cwd=tmp_path)
    assert other.returncode == 2
    assert "seed" in other.stderr
    assert run("trials", "s", "--csv", cwd=tmp_path).stdout.count("\n") == 3
    assert "validation error by epoch" in run("show", "s", "1", cwd=tmp_path).stdout
