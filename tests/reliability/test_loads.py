"""L1, L3 to L6 and the measured figures: workers, queues, thousands of trials, memory, disk."""

from __future__ import annotations

import gc
import json
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch

from hpsearch.execution import Job
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.paths import StudyFolder
from hpsearch.results.dashboard import make_app
from hpsearch.shipped_files import find_shipped
from hpsearch.storage.view import read_study
from hpsearch.training.checkpoint import Checkpoint, read, save
from hpsearch.training.checkpoint_file import keep_best_weights, previous
from tests.support.cases import ENQUEUED, search, write_study
from tests.support.command_line import run
from tests.support.fake_executor import FakeExecutor, fake_curve
from tests.support.jobs import wait_until
from tests.support.large import large_study

from .driver_memory import STEP
from .faults import LONG
from .test_security import ask

See = Callable[[object], None]


def many(count: int) -> list[dict[str, object]]:
    return [{**ENQUEUED[n % 40], "conv1.learning_rate": 0.001 + n * 1e-5} for n in range(count)]


WINDOW = 20
"""Trials after which an open dashboard is shut or opened again."""


class Polling:
    """Asks the dashboard for the study every 0.2 s, as an open page does, while it is open."""

    def __init__(self, output: Path) -> None:
        self.output, self.statuses = output, Counter[str]()
        self.answered: set[int] = set()
        self.window = 0
        self.open, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._poll)

    def _poll(self) -> None:
        app = None
        while not self.over.is_set():
            if not self.open.wait(0.2):
                continue
            app = app or make_app(StudyFolder(self.output), write=False)
            window = self.window
            for path in ("/api/studies", "/api/studies/1"):
                status, _, _ = ask(app, "GET", path, QUERY_STRING="after=0")
                self.statuses[status] += 1
            self.answered.add(window)
            time.sleep(0.2)


class Watched(FakeExecutor):
    """Eight slots; notes when each trial begins; opens the dashboard for every other window."""

    def __init__(self, polling: Polling) -> None:
        super().__init__(slots=8)
        self.polling, self.begun = polling, list[float]()

    def submit(self, job: Job) -> None:
        self.begun.append(time.monotonic())
        self.polling.window = job.trial // WINDOW
        (self.polling.open.set if self.polling.window % 2 else self.polling.open.clear)()
        super().submit(job)

    def speeds(self, windows: Iterable[int]) -> list[float]:
        """Return trials a second in each window."""
        marks = self.begun[::WINDOW]
        return [WINDOW / (marks[n + 1] - marks[n]) for n in windows if n + 1 < len(marks)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_L1_L5_eight_workers_and_an_open_dashboard(tmp_path: Path, see: See) -> None:
    """160 trials of 5 reports, each final once with its own value; every answer is 200

    How fast the search is with the dashboard open is noted: the best of three stretches of 20
    trials with it against the best of four without, in turns. Only make soak asserts 70 %.
    """
    output = tmp_path / "study"
    polling = Polling(output)
    executor = Watched(polling)
    polling.thread.start()
    began = time.monotonic()
    try:
        settings = {"trial__max_epochs": 5, "trial__patience": 5, "budget__trials": 160}
        view = search(output, executor, enqueue=many(160), **settings)
    finally:
        took = time.monotonic() - began
        polling.over.set()
        polling.thread.join()
    assert [t.number for t in view.trials] == list(range(160))
    assert {t.state for t in view.trials} == {"complete"}
    assert executor.submitted == list(range(160))
    assert {v.standing for v in check_invariants(StudyFolder(output))} == {"holds"}
    assert set(polling.statuses) == {"200 OK"}, polling.statuses
    shut, opened = (
        executor.speeds(range(0, 8, 2)),
        executor.speeds(polling.answered - {0, 2, 4, 6}),
    )
    share = max(opened) / max(shut)
    see(
        f"160 trials in {took:.1f} s, {polling.statuses.total()} answers, all 200; {share:.0%} of "
        "the speed while it was open"
    )
    assert share >= 0.7 or not LONG


class Waited(Watched):
    """Goes on with a window in which the dashboard is open once it has answered there."""

    def submit(self, job: Job) -> None:
        super().submit(job)
        if job.trial % WINDOW == 0 and self.polling.window % 2:
            wait_until(lambda: self.polling.window in self.polling.answered, "an answer")


def test_L5_the_dashboard_answers_while_a_search_writes(tmp_path: Path, see: See) -> None:
    """every answer is 200, and the search ends with all its trials"""
    polling = Polling(tmp_path / "study")
    polling.thread.start()
    try:
        settings = {"trial__max_epochs": 1, "budget__trials": 2 * WINDOW}
        view = search(tmp_path / "study", Waited(polling), enqueue=many(2 * WINDOW), **settings)
    finally:
        polling.over.set()
        polling.thread.join()
    assert [t.state for t in view.trials] == ["complete"] * 2 * WINDOW
    assert set(polling.statuses) == {"200 OK"}, polling.statuses
    see(f"{polling.statuses.total()} answers, all 200")


def test_L1_each_value_is_its_own_parameters(tmp_path: Path) -> None:
    """value == f(params) for every trial"""
    jobs = {}

    class Noting(FakeExecutor):
        def submit(self, job: Job) -> None:
            jobs[job.trial] = job
            super().submit(job)

    view = search(tmp_path / "study", Noting(slots=8), enqueue=many(24), budget__trials=24)
    for trial in view.trials:
        assert trial.value == min(fake_curve(jobs[trial.number], 3))


@pytest.mark.timeout(900)
def test_L3_sixty_queued_trials_run_once_each(tmp_path: Path, see: See) -> None:
    """each exactly once, one round of eight slots (20 under make soak)"""
    rounds = 20 if LONG else 1
    queued = many(60)
    settings = {"trial__max_epochs": 1, "budget__trials": 60}
    for number in range(rounds):
        executor = FakeExecutor(slots=8)
        view = search(tmp_path / f"{number}" / "study", executor, enqueue=queued, **settings)
        assert Counter(executor.submitted) == Counter(range(60))
        rates = [t.params["conv1.learning_rate"] for t in view.trials]
        assert rates == [entry["conv1.learning_rate"] for entry in queued]
    see(f"{rounds} rounds of 60, none twice, none left out")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_L4_thousands_of_trials(tmp_path: Path, packed: Path, see: See) -> None:
    """opens, is continued, exported, reported and checked; seconds and memory recorded"""
    file = write_study(tmp_path / "file")
    count = 10_000 if LONG else 2_000
    budget = {"budget__trials": count + 1, "trial__max_epochs": 12, "trial__patience": 12}
    folder = large_study(tmp_path / "study", file, packed, count, **budget)
    began = time.process_time()
    view = search(folder.root, file=folder.root, dataset=json.loads(folder.dataset.read_text()))
    seconds = {"continue": time.process_time() - began}
    assert len(view.trials) == count + 1
    for command in ("status", "trials", "export", "report", "doctor"):
        began = time.process_time()
        done = run(command, folder.root)
        seconds[command] = time.process_time() - began
        assert done.code == 0, done
        assert command != "status" or f"{count + 1} complete" in done.out
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    shown = {k: round(v, 1) for k, v in seconds.items()}
    see(f"{count} trials: {shown} s of a core, {memory:.0f} MB at most")
    assert max(seconds.values()) < count / 250 * import_s()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_continuing_a_study_of_1000_trials_L4_first_new_trial(
    tmp_path: Path, packed: Path, see: See
) -> None:
    """to the first new trial of 27 parameters at most four times the imports' time of a core"""
    shipped = find_shipped("studies", "quickstart").read_text()
    file = tmp_path / "quickstart.yaml"
    file.write_text("".join(x for x in shipped.splitlines(True) if not x.startswith("enqueue")))
    folder = large_study(tmp_path / "study", file, packed, 1000, budget__trials=1010, workers=1)
    began = time.monotonic()
    driver = subprocess.Popen(
        [sys.executable, "-m", "hpsearch.cli.main", "search", str(folder.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    new = folder.trial(1000).config
    while not new.exists() and driver.poll() is None:
        time.sleep(0.01)
    took, used = time.monotonic() - began, seconds_of_a_core(driver.pid)
    driver.send_signal(signal.SIGINT)
    said, _ = driver.communicate()
    assert new.exists(), said
    assert driver.returncode == 130, said
    view = read_study(folder)
    assert view.attributes[1000]["origin"] == "bayes"
    assert len(view.trials[1000].params) == 27
    see(f"{took:.1f} s, {used:.1f} s of a core")
    assert used <= 4 * import_s()


def import_s() -> float:
    """Return the seconds of a core that a search's imports take: machines differ."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import optuna, torch, sqlalchemy, scipy"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def seconds_of_a_core(pid: int) -> float:
    """Return the time a process has computed so far; other programs do not add to it."""
    listed = subprocess.run(
        ["ps", "-o", "cputimes=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    return float(listed.stdout)


class Holding(FakeExecutor):
    """Notes what this process holds when trials begin: Python's blocks, files and threads."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[tuple[int, int, int]] = []

    def submit(self, job: Job) -> None:
        if job.trial in (20, 39):
            gc.collect()
            files = len(list(Path("/proc/self/fd").iterdir()))
            self.held.append((sys.getallocatedblocks(), files, threading.active_count()))
        super().submit(job)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_L6_what_the_driver_holds_over_forty_trials(tmp_path: Path, see: See) -> None:
    """after trial 20 less than 200 blocks of at most 512 bytes a trial; handles, threads flat"""
    executor = Holding()
    settings = {"trial__max_epochs": 1, "budget__trials": 40}
    search(tmp_path / "study", executor, enqueue=many(40), **settings)
    first, last = executor.held
    grown = (last[0] - first[0]) / 19
    see(f"{grown:.0f} blocks a trial from trial 20 to 39, {last[1]} handles")
    assert grown < 200
    assert last[1:] == first[1:]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_L6_memory_of_the_driver_over_many_trials(tmp_path: Path, see: See) -> None:
    """after trial 100 less than 30 KB a trial, all proposed; handles and threads flat"""
    last = 500 if LONG else 250
    command = [
        sys.executable,
        "-m",
        "tests.reliability.driver_memory",
        tmp_path / "study",
        str(last),
    ]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["origins"] == ["sobol"]
    marks = told["marks"][100 // STEP :]
    assert len(marks) == 1 + (last - 100) // STEP
    grown = (marks[-1][0] - marks[0][0]) / (last - 100)
    see(f"{grown / 1e3:.1f} KB a trial from trial 100 to {last}, {marks[-1][1]} handles")
    assert grown < 30_000
    assert [mark[1:] for mark in marks] == [marks[0][1:]] * len(marks)


def test_disk_L4_a_finished_trial_keeps_its_best_weights_only(tmp_path: Path, see: See) -> None:
    """three times the weights of the paper's largest network: under 3 GB after any number"""
    from hpsearch.training.config import TrialConfig

    path = tmp_path / "checkpoint"
    weights = torch.rand(300_000, generator=torch.Generator().manual_seed(0))
    state = {"epoch": 2, "curve": []}
    tensors = {f"{part}.x": weights.clone() for part in ("weights", "velocity", "best")}
    for _ in range(2):
        save(Checkpoint(tensors, state), path)
    keep_best_weights(path)
    assert not previous(path).exists()
    kept = read(path)
    assert list(kept.tensors) == ["best.x"]
    assert torch.equal(kept.best_weights()["x"], weights)
    assert kept.state == state
    overhead = path.stat().st_size - weights.numel() * 4
    layers = {
        **{f"conv{n}": {"filter_size": 3, "filter_count": 256} for n in (1, 2, 3)},
        "conv4": {"filter_size": 3, "filter_count": 256, "pool": False},
        "fc": {"width": 4096},
    }
    config = TrialConfig.from_values({"input_size": 105, "layers": layers})
    largest = SiameseNetwork(config.shape(), output_bias=False, device="meta")
    total = 3 * (4 * sum(p.numel() for p in largest.parameters()) + overhead)
    see(f"{total / 1e9:.2f} GB for the three kept of the paper's largest network")
    assert total < 3e9


def test_L4_a_study_of_many_trials_can_be_read_in_part(tmp_path: Path, packed: Path) -> None:
    """one trial of many is shown"""
    file = write_study(tmp_path / "file")
    folder = large_study(tmp_path / "study", file, packed, 50)
    assert len(read_study(folder).trials) == 50
    assert "trial 49 of small: complete" in run("show", folder.root, 49).out
