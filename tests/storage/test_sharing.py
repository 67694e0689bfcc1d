"""Several drivers on one study, as processes, on PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import quote, urlsplit

import optuna
import pytest

from hpsearch.front.order import front_of
from hpsearch.paths import StudyFolder
from hpsearch.storage.database import StudyRecord
from hpsearch.storage.view import StudyView, read_study
from tests.support.cases import refused, write_study
from tests.support.command_line import run
from tests.support.postgres import PASSWORD, Server

DEADLINE_S = 600.0
LEASE, LONG_LEASE = "lease_s=10", "lease_s=600"
"""So that a driver that waits for a core on a busy machine loses no trial; see `shared_driver`."""
TRIALS = 60
EPOCHS = 6
"""Of each trial, see `tests.support.shared_driver`."""


class Drivers:
    """Starts drivers of one study and reads what they did."""

    def __init__(self, folder: Path, storage: str) -> None:
        self.folder, self.storage = folder, storage
        self.log = folder / "log"
        self.started: list[subprocess.Popen[str]] = []

    def start(self, name: str, *settings: str, own_folder: bool = False) -> subprocess.Popen[str]:
        folder = self.folder / (name if own_folder else "study")
        arguments = [str(folder), self.storage, str(self.log), name, str(TRIALS), *settings]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.shared_driver", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.started.append(process)
        return process

    def lines(self) -> list[list[str]]:
        return (
            [line.split() for line in self.log.read_text().splitlines()]
            if self.log.exists()
            else []
        )

    def wait_for_epochs(self, count: int) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while len(self.lines()) < count:
            assert time.monotonic() < deadline, self.lines()
            time.sleep(0.02)

    def finish(self) -> list[str]:
        said = [process.communicate(timeout=DEADLINE_S)[0] for process in self.started]
        for process, text in zip(self.started, said, strict=True):
            assert process.returncode in (0, -9), text
        return said

    def study(self, folder: str = "study") -> StudyView:
        return read_study(StudyFolder(self.folder / folder))


def check(drivers: Drivers, view: StudyView, killed: str = "") -> None:
    """Exactly the budget, every trial ended, none under two numbers, no epoch trained twice.

    Of a killed driver, the last epoch of each trial that it ran may not have been stored yet.
    """
    assert [t.number for t in view.trials] == list(range(TRIALS))
    assert {t.state for t in view.trials} <= {"complete", "pruned"}
    assert len({tuple(t.params.items()) for t in view.trials}) == TRIALS
    lines = [line[1:] for line in drivers.lines() if line[0] == "epoch"]
    epochs = Counter((trial, epoch) for trial, epoch, _ in lines)
    last = {trial: epoch for trial, epoch, name in lines if name == killed}
    twice = {trial: epoch for (trial, epoch), count in epochs.items() if count == 2}
    assert max(epochs.values()) <= 2
    assert len(twice) == sum(epochs.values()) - len(epochs) <= 2
    assert twice.items() <= last.items()
    assert len(epochs) == sum(len(t.values) for t in view.trials)


@pytest.fixture
def drivers(tmp_path: Path, postgres: str) -> Drivers:
    return Drivers(tmp_path, postgres)


@pytest.mark.slow
def test_two_drivers_spend_one_budget(drivers: Drivers) -> None:
    drivers.start("one", "workers=2", LONG_LEASE, own_folder=True)
    drivers.start("two", "workers=2", LONG_LEASE, own_folder=True)
    said = drivers.finish()
    check(drivers, drivers.study("one"))
    ran = [
        n for name in ("one", "two") for n in StudyFolder(drivers.folder / name).trial_numbers()
    ]
    assert sorted(ran) == list(range(TRIALS))
    kept = [p.read_text(errors="replace") for p in drivers.folder.rglob("*") if p.is_file()]
    assert not any(PASSWORD in text for text in [*kept, *said])
    shares = Counter(name for what, _, _, name in drivers.lines() if what == "submit")
    assert min(shares["one"], shares["two"]) >= 5
    assert all(f"the budget of {TRIALS} trials is spent" in text for text in said)


@pytest.mark.slow
def test_two_drivers_search_for_two_objectives(drivers: Drivers, postgres: str) -> None:
    both = "objectives=[validation_error, multiply_adds]"
    drivers.start("one", both, "sampler.name=bayes", LONG_LEASE)
    drivers.start("two", both, "sampler.name=bayes", LONG_LEASE)
    drivers.finish()
    view = drivers.study()
    check(drivers, view)
    url = postgres.replace("postgresql://", "postgresql+psycopg://")
    (name,) = optuna.get_all_study_names(url)
    best = optuna.load_study(study_name=name, storage=url).best_trials
    front = front_of(view.trials, view.config.goals)
    assert sorted(t.number for t in front) == sorted(t.number for t in best)
    assert front  # one trial may beat all others in both


@pytest.mark.slow
def test_a_driver_killed_in_the_middle_leaves_its_trials_to_the_other(drivers: Drivers) -> None:
    one = drivers.start("one", "pruner.name=none", LEASE)
    drivers.start("two", "pruner.name=none", LEASE)
    drivers.wait_for_epochs(120)
    one.kill()
    drivers.finish()
    view = drivers.study()
    check(drivers, view, killed="one")
    submits = Counter(trial for what, trial, _, _ in drivers.lines() if what == "submit")
    assert len(submits) == TRIALS
    assert 1 <= sum(submits.values()) - TRIALS <= 2  # what the dead one ran went on elsewhere


@pytest.mark.slow
def test_drivers_survive_a_postgres_server_that_crashes_and_restarts(
    drivers: Drivers, postgres_server: Server
) -> None:
    drivers.start("one", "pruner.name=none", LEASE)
    drivers.start("two", "pruner.name=none", LEASE)
    for epochs in (60, 160):
        drivers.wait_for_epochs(epochs)
        postgres_server.stop()
        time.sleep(1.5)
        postgres_server.go()
    said = drivers.finish()
    check(drivers, drivers.study())
    assert any("does not answer; waiting" in text for text in said)
    assert not any("another driver" in text for text in said)  # nobody lost a lease over it


@pytest.mark.slow
def test_a_stopped_driver_that_wakes_up_finds_its_trials_taken(drivers: Drivers) -> None:
    asleep = drivers.start("one", "pruner.name=none")
    drivers.start("two", "pruner.name=none")
    drivers.wait_for_epochs(100)
    deadline = time.monotonic() + DEADLINE_S
    while True:
        asleep.send_signal(signal.SIGSTOP)
        reached = {trial: epoch for _, trial, epoch, name in drivers.lines() if name == "one"}
        held = {trial for trial, epoch in reached.items() if int(epoch) < EPOCHS}
        if held:
            break
        asleep.send_signal(signal.SIGCONT)  # it was between two trials
        time.sleep(0.05)
    while not any(name == "two" and trial in held for _, trial, _, name in drivers.lines()):
        assert time.monotonic() < deadline, (held, drivers.lines()[-9:])
        time.sleep(0.1)
    asleep.send_signal(signal.SIGCONT)
    said = drivers.finish()
    assert "another driver" in said[0]
    view = drivers.study()
    assert [t.number for t in view.trials] == list(range(TRIALS))
    assert {t.state for t in view.trials} == {"complete"}
    assert all(sorted(t.values) == list(range(1, EPOCHS + 1)) for t in view.trials)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"PGPASSWORD": "wr0ng-canary"}, 2, "refused"),
        ({"PGPORT": "1"}, 3, "the server failed"),
        ({"PGDATABASE": "absent"}, 2, "does not exist"),
    ],
)
def test_the_command_says_in_one_line_what_postgres_refuses(
    drivers: Drivers,
    postgres_server: Server,
    change: dict[str, str],
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    port = change.get("PGPORT", postgres_server.port)
    database = change.get("PGDATABASE", urlsplit(drivers.storage).path[1:])
    url = f"postgresql://searcher@127.0.0.1:{port}/{database}"
    done = run(
        "search",
        "quickstart",
        "--storage",
        url,
        "--set",
        "dataset=glyphs",
        "--output",
        drivers.folder / "s",
    )
    assert done.code == code, done.err
    assert done.err.count("\n") == 1
    assert words in done.err
    assert "canary" not in done.out + done.err
    assert PASSWORD not in done.out + done.err
    assert not (drivers.folder / "s").exists()


def test_a_role_that_may_not_make_tables_is_refused_in_one_line(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B61: exit 2, names the storage and what is denied; nothing made"""
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'r'")
    monkeypatch.setenv("PGPASSWORD", "r")
    study = write_study(tmp_path)
    url = postgres.replace("searcher@", "reader@")
    line = refused(tmp_path, "permission denied", "search", study, "--storage", url)
    assert url in line


def test_a_database_whose_name_holds_braces_and_percent_signs(
    tmp_path: Path, postgres_server: Server
) -> None:
    """B58: taken as they are; so is the password, whose are in PGPASSWORD"""
    name = "a{b}%c 40%"
    url = postgres_server.new_database(name).replace(name, quote(name, safe=""))
    folder = StudyFolder(tmp_path / "study")
    for _ in range(2):  # made, then opened again
        database = StudyRecord(folder, "small", url)
        assert database.load() == []
        database.close()


def test_a_driver_with_another_configuration_does_not_join(drivers: Drivers) -> None:
    drivers.start("one", "budget.trials=2", own_folder=True)
    drivers.finish()
    other = drivers.start("two", "budget.trials=2", "seed=5", own_folder=True)
    said, _ = other.communicate(timeout=DEADLINE_S)
    assert other.returncode == 1  # the tests' driver lets the error through
    assert "begun with another configuration, space or data set" in said
    assert [t.number for t in drivers.study("one").trials] == [0, 1]


def test_a_dry_run_of_a_new_study_on_a_server_says_what_a_trial_costs(
    postgres: str, tmp_path: Path
) -> None:
    plan = ("--storage", postgres, "--output", tmp_path / "s", "--dry-run")
    done = run("search", "quickstart", *plan)
    assert done.code == 0, done.err
    assert "a whole trial costs about" in done.out
    assert not (tmp_path / "s").exists()


def test_a_password_in_a_postgres_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    url = "postgresql://me:s3cr{t%40canary@db.example/studies"
    for given in (("search", "quickstart", "--storage", url), ("copy", "quickstart", "--to", url)):
        done = run(*given)
        assert done.code == 2
        assert "canary" not in done.out + done.err
    assert "PGPASSWORD" in run("search", "quickstart", "--storage", url).err
