"""Confirming a study: paired runs through any executor, continued after a stop; what it says."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.cli.confirm import print_certificate
from hpsearch.configfile import read_yaml
from hpsearch.confirm.certificate import best_of, certify, read_certificate, write_certificate
from hpsearch.confirm.confirmation import Confirmation, Run, best_trials, fresh_seed, read_run
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.execution import Ended, Ending
from hpsearch.paths import StudyFolder
from hpsearch.results.export import export_best
from hpsearch.storage.view import StudyView, read_study
from hpsearch.training.checkpoint_file import wrap
from hpsearch.trial import best_trial
from hpsearch.wording import interval, percent, points
from tests.driver.test_driver import search
from tests.support.command_line import CommandLine
from tests.support.fake_executor import FakeExecutor, fake_scores

TOP, SEEDS = 4, 3


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study of ten complete trials."""
    folder = tmp_path_factory.mktemp("runs") / "s"
    changes = {"sampler__name": "random", "pruner__name": "none", "budget__trials": 10}
    search(folder, FakeExecutor(2), **{**changes, "trial__max_epochs": 3})
    return folder


@pytest.fixture
def study(searched: Path, tmp_path: Path) -> StudyView:
    """Return a copy of it."""
    import shutil

    return read_study(StudyFolder(Path(shutil.copytree(searched, tmp_path / "s"))))


def runs_of(view: StudyView, top: int = TOP, seeds: int = SEEDS) -> list[Run]:
    return [Run(t.number, place) for place in range(seeds) for t in best_trials(view, top)]


def train(view: StudyView, executor: FakeExecutor, runs: list[Run], interrupts: int = 0) -> bool:
    said: list[str] = []
    work = Confirmation(view, runs, Path("/nowhere"), executor, said.append, lambda: interrupts)
    return work.run() is not None


def certificate_of(view: StudyView, runs: list[Run]) -> dict[str, Any]:
    found: dict[int, list[Any]] = {}
    for run in runs:
        found.setdefault(run.trial, []).append(read_run(view.folder.confirmation, run))
    return certify(view, [view.trials[n] for n in found], found)


def test_the_best_are_trained_with_seeds_that_no_trial_had_and_that_they_share(
    study: StudyView,
) -> None:
    runs, executor = runs_of(study), FakeExecutor(2)
    assert train(study, executor, runs)
    assert sorted(executor.submitted) == sorted(run.number for run in runs)
    lowest = sorted(study.trials, key=lambda t: t.value or 1)[:TOP]
    assert [t.number for t in best_trials(study, TOP)] == [t.number for t in lowest]
    results = {run: read_run(study.folder.confirmation, run) for run in runs}
    used = {a["seed"] for a in study.attributes.values()}
    for run, result in results.items():
        assert result is not None
        assert result["seed"] == fresh_seed(study.config.seed, run.place)
        assert result["seed"] not in used
        assert result["error"] == pytest.approx(np.mean(list(result["per_alphabet"].values())))
        assert not (study.folder.confirmation / run.name / "checkpoint").exists()
    assert len({r["seed"] for r in results.values() if r}) == SEEDS


def test_it_continues_where_it_was_stopped_and_more_seeds_keep_the_old_runs(
    study: StudyView,
) -> None:
    runs = runs_of(study)
    with pytest.raises(KeyboardInterrupt):
        train(study, FakeExecutor(2, die_after_epochs=16), runs)
    done = [run for run in runs if read_run(study.folder.confirmation, run)]
    assert 0 < len(done) < len(runs)
    assert not train(study, FakeExecutor(2), runs, interrupts=1)
    executor = FakeExecutor(2)
    assert train(study, executor, runs)
    assert sorted(executor.submitted) == sorted(r.number for r in runs if r not in done)
    straight = certificate_of(study, runs)
    more = runs_of(study, seeds=SEEDS + 1)
    executor = FakeExecutor(1)
    assert train(study, executor, more)
    assert len(executor.submitted) == TOP
    again = certificate_of(study, more)
    assert again["seeds"] == SEEDS + 1
    assert straight["seeds"] == SEEDS


def test_a_run_that_fails_or_loses_its_worker_stops_it_with_the_cause(study: StudyView) -> None:
    runs = runs_of(study)
    executor = FakeExecutor(1)
    executor.failing[runs[0].number] = Ending.FAILED
    with pytest.raises(EnvironmentFailure, match=r"training trial \d+ again failed"):
        train(study, executor, runs)
    executor = FakeExecutor(1)
    executor.losing.add(runs[0].number)
    with pytest.raises(EnvironmentFailure, match="again failed 3 times"):
        train(study, executor, runs)
    assert train(study, FakeExecutor(1), runs)


@pytest.mark.parametrize("ending", [Ending.FINISHED, Ending.FAILED])
def test_a_run_that_ends_while_it_stops_is_kept_if_it_finished(
    study: StudyView, ending: Ending
) -> None:
    class Stopping(FakeExecutor):
        def interrupt(self) -> None:
            for trial, (job, _) in self._running.items():
                self._events.append(Ended(trial, ending, None, fake_scores(job)))
            self._running.clear()

    runs, executor, said = runs_of(study), Stopping(1), list[str]()
    work = Confirmation(
        study, runs, Path("/nowhere"), executor, said.append, lambda: executor.epochs // 2
    )
    assert work.run() is None
    assert said[0] == "stopping: running trainings write their checkpoints"
    assert (read_run(study.folder.confirmation, runs[0]) is None) is (ending is Ending.FAILED)


def test_a_run_whose_worker_had_trained_to_the_end_keeps_its_seconds(study: StudyView) -> None:
    run = runs_of(study)[0]
    checkpoint = study.folder.confirmation / run.name / "checkpoint"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(wrap(b"3"))  # killed before it told its result
    assert train(study, FakeExecutor(1), [run])
    result = read_run(study.folder.confirmation, run)
    assert result is not None
    assert (result["epochs"], result["seconds"]) == (3, 3.0)


def test_the_certificate_holds_what_the_runs_say(study: StudyView) -> None:
    runs = runs_of(study)
    train(study, FakeExecutor(2), runs)
    certificate = certificate_of(study, runs)
    errors = {
        t.number: [
            float((read_run(study.folder.confirmation, Run(t.number, p)) or {})["error"])
            for p in range(SEEDS)
        ]
        for t in best_trials(study, TOP)
    }
    rows = {row["trial"]: row for row in certificate["candidates"]}
    best = certificate["trial"]
    for number, row in rows.items():
        assert row["errors"] == errors[number]
        assert row["mean"] == pytest.approx(np.mean(errors[number]))
        paired = np.subtract(errors[number], errors[best])
        assert row["behind_best"] == pytest.approx(paired.mean())
        if number != best:
            error = certificate["sd_of_trainings"] * math.sqrt(2 / SEEDS)
            assert row["behind_best_se"] == pytest.approx(error)
    assert sum(row["probability_best"] for row in rows.values()) == pytest.approx(1)
    low, high = certificate["interval"]
    wide_low, wide_high = certificate["interval_one_training"]
    assert wide_low < low < certificate["error"] < high < wide_high
    assert certificate["interval_other_alphabets"][0] < low
    naive = best_trial(study.trials)
    assert naive is not None
    assert certificate["optimism"]["trial"] == naive.number
    measured = rows[naive.number]["error"] - (naive.value or 0)
    assert certificate["optimism"]["measured"] == pytest.approx(measured)
    assert certificate == {**certificate_of(study, runs), "created": certificate["created"]}


def test_a_rest_beside_luck_is_named_only_where_there_is_one(
    study: StudyView, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = runs_of(study)
    train(study, FakeExecutor(2), runs)
    certificate = certificate_of(study, runs)
    for measured, rest in ((0.05, True), (0.01, False), (-0.01, False)):
        optimism = {**certificate["optimism"], "measured": measured, "luck": 0.02}
        capsys.readouterr()
        print_certificate({**certificate, "optimism": optimism}, study.folder.root)
        said = capsys.readouterr().out
        assert f", {points(-measured)} [" in said
        assert "choosing the best of 10 trials explains -2.0 points" in said
        assert ("the rest" in said) is rest


def test_a_confirmed_best_is_called_so_until_the_search_finds_a_rival(
    study: StudyView, hpsearch: CommandLine
) -> None:
    folder = study.folder
    before = json.loads(hpsearch("status", folder.root, "--json").out)
    assert before["best"]["confirmed"] is False
    assert "unconfirmed" in hpsearch("export", folder.root).out
    assert read_yaml(folder.best)["certificate"] is None
    runs = runs_of(study)
    train(study, FakeExecutor(2), runs)
    certificate = certificate_of(study, runs)
    write_certificate(folder, certificate)
    after = json.loads(hpsearch("status", folder.root, "--json").out)
    assert after["best"]["confirmed"] is True
    assert after["best"]["trial"] == certificate["trial"]
    figure = f"trial {certificate['trial']}, error {percent(certificate['error'])} ["
    for command in (("status",), ("list",), ("export",)):
        where = folder.root.parent if command == ("list",) else folder.root
        done = hpsearch(command[0], where, *command[1:])
        assert figure in done.out, (command, done)
        assert "unconfirmed" not in done.out
    row = next(r for r in certificate["candidates"] if r["trial"] == certificate["trial"])
    confirmed = f"{percent(row['error'])} {interval(row['interval'])}"
    assert f"confirmed: {confirmed} on fresh" in hpsearch("show", folder.root, row["trial"]).out
    assert (
        f"confirmed {confirmed}" in hpsearch("trials", folder.root).out.splitlines()[row["trial"]]
    )
    exported = read_yaml(folder.best)
    assert exported["confirmed"] is True
    assert exported["certificate"] == certificate
    other = next(t.number for t in study.trials if t.number != certificate["trial"])
    assert export_best(folder, other, folder.root / "other.yaml").certificate is None
    lowest = best_trial(study.trials)
    assert lowest is not None
    known = [n for n in certificate["compared"] if n != lowest.number]
    write_certificate(folder, {**certificate, "compared": known})
    best, held = best_of(read_study(folder))
    assert (best and best.number, held) == (lowest.number, None)


def test_one_complete_trial_cannot_be_compared_and_a_damaged_certificate_is_named(
    study: StudyView, hpsearch: CommandLine
) -> None:
    from dataclasses import replace

    with pytest.raises(InputError, match="1 trained complete trial"):
        best_trials(replace(study, trials=study.trials[:1]), 5)
    study.folder.certificate.write_text("{")
    with pytest.raises(InputError, match=r"certificate\.json"):
        read_certificate(study.folder)
    done = hpsearch("status", study.folder.root)
    assert done.code == 2
    assert "hpsearch confirm" in done.err
    assert hpsearch("confirm", study.folder.root, "--seeds", 1).code == 2
