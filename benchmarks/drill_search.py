"""The search that the drill disturbs: a tiny one on glyphs, in processes of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from hpsearch.interpreter import python_command
from hpsearch.measure import VALIDATION_ERROR, Measure
from hpsearch.paths import StudyFolder
from hpsearch.storage.trial_files import read_curve, read_result
from hpsearch.storage.view import read_study

COMMAND = """\
name: drill
trainer:
  command: [sh, train.sh, "${{args}}"]
  max_steps: 5
space: drill_space.yaml
seed: {seed}
sampler: {{name: random}}
pruner: {{name: none}}
device: cpu
"""
PROGRAM = r"""# train.sh --x X: five steps towards (x - 0.3)^2; goes on from its checkpoint.
c=$HPSEARCH_CHECKPOINT/step; step=$(cat "$c" 2>/dev/null || echo 0)
while [ "$step" -lt "$HPSEARCH_MAX_STEPS" ]; do
  step=$((step + 1)); sleep 0.06
  awk -v x="$2" -v s="$step" 'BEGIN {
    printf "{\"step\": %d, \"value\": %.6f}\n", s, (x - .3)^2 + 1 / s }' >>"$HPSEARCH_REPORT"
  echo "$step" >"$c"
done
"""
COMMAND_SPACE = """\
name: drill
parameters:
  x: {type: float, low: 0, high: 1}
"""
STUDY = """\
name: drill
dataset: glyphs
space: drill_space.yaml
seed: {seed}
trial:
  input_size: 20
  layers:
    conv1: {{filter_size: 5, filter_count: 4}}
    conv2: {{filter_size: 3, filter_count: 6, pool: false}}
    fc: {{width: 12}}
    output: {{}}
  init: he
  batch_pairs: 8
  images_per_epoch: 640
  max_epochs: 5
sampler: {{name: random}}
pruner: {{name: none}}
device: cpu
"""
SPACE = """\
name: drill
parameters:
  conv1.learning_rate: {type: float, low: 1e-3, high: 1e-1, log: true}
  fc.width: {type: int, low: 4, high: 16}
"""
ACKNOWLEDGED = re.compile(
    r"trial (\d+) (complete|pruned)(?:, (?:error|value) (\S+(?: %)?))?(?: |$)"
)
PATIENCE_S = 600.0
"""How long a busy machine may take to get a search going or to its end."""


class DrillFailed(Exception):
    """Something was lost, or a search did not go on."""


def write_study(folder: Path, seed: int, trainer: str = "siamese") -> Path:
    """Write the study file and its space; return the study file."""
    command = trainer == "command"
    (folder / "drill_space.yaml").write_text(COMMAND_SPACE if command else SPACE)
    if command:
        (folder / "train.sh").write_text(PROGRAM)
    path = folder / "drill.yaml"
    path.write_text((COMMAND if command else STUDY).format(seed=seed))
    return path


class DrillSearch:
    """One study and the process that searches it."""

    def __init__(self, folder: Path, file: Path, slots: int, trainer: str = "siamese") -> None:
        """Note where; `start` starts."""
        self.file, self.slots = file, slots
        command = Measure("value", share=False)
        self._shown = command if trainer == "command" else VALIDATION_ERROR
        self.study = StudyFolder(folder / "study")
        self.token = folder / "token"
        self.promised: dict[int, tuple[str, str | None]] = {}
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._said: list[str] = []
        self._children: set[int] = set()

    @property
    def running(self) -> bool:
        """Whether the driver lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The driver's process."""
        return self._process.pid if self._process else 0

    def start(self, trials: int, point: tuple[str, int] | None = None) -> None:
        """Start the driver, armed with a named point or not."""
        program = python_command("hpsearch.cli.main")
        self.token.unlink(missing_ok=True)
        if point is not None:
            self.token.parent.mkdir(parents=True, exist_ok=True)
            self.token.touch()
            name, nth = point
            program = [sys.executable, "-m", "benchmarks.kill_points", name, str(nth)]
            program.append(str(self.token))
        options = ["--trials", str(trials), "--workers", str(self.slots)]
        options += ["--output", str(self.study.root)]
        self._said = []
        self._process = subprocess.Popen(
            [*program, "search", str(self.file), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._reader = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        self._reader.start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        """Note what the driver acknowledges: from that line on it may not be lost."""
        for line in process.stdout or ():
            self._said.append(line.rstrip())
            found = ACKNOWLEDGED.match(line)
            if found:
                number, state, error = found.groups()
                before = self.promised.setdefault(int(number), (state, error))
                if before != (state, error):
                    self._said.append(f"DOUBLED: {line.rstrip()}")

    def workers(self) -> list[int]:
        """Return the pids of the worker processes."""
        found = [pid for pid, line in children(self.pid) if " worker" in line or ".worker" in line]
        self._children |= {pid for pid, _ in children(self.pid)}
        return found

    def programs(self) -> set[int]:
        """Return all processes of the study's programs, whoever is their parent."""
        mark = f"HPSEARCH_REPORT={self.study.root.absolute()}/".encode()
        found = set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in path.read_bytes():
                    found.add(int(path.parent.name))
            except OSError:
                continue
        return found

    def wait_for_worker(self) -> bool:
        """Wait until a worker is there; False when the driver ended first."""
        deadline = time.monotonic() + PATIENCE_S
        while self.running:
            if self.workers():
                return True
            if time.monotonic() > deadline:
                raise DrillFailed(f"no worker within {PATIENCE_S:g} s; said: {self._said[-3:]}")
            time.sleep(0.05)
        self._ended_well(0)
        return False

    def wait_for_epoch(self) -> None:
        """Wait until one more epoch has ended, so that there is something to lose."""
        before = self._epochs()
        while self.running and self._epochs() <= before:
            time.sleep(0.02)

    def _epochs(self) -> int:
        files = self.study.trials.glob("*/epochs.jsonl")
        return sum(path.read_bytes().count(b"\n") for path in files)

    def wait_until_safe(self) -> None:
        """Wait until no trial would fail by the next death of a worker, which is its right."""
        while self.running and any(map(self._on_its_last, self.study.trials.glob("*"))):
            time.sleep(0.05)

    @staticmethod
    def _on_its_last(folder: Path) -> bool:
        try:
            noted = json.loads((folder / "attempts.json").read_bytes())
        except (OSError, ValueError):
            return False
        curve = read_curve(folder / "epochs.jsonl")
        epochs = curve.errors if curve.problem is None else {}
        return int(noted["attempts"]) >= 2 and len(epochs) <= int(noted["epoch"])

    def wait_for_point(self, *, in_worker: bool) -> bool:
        """Wait for the death at the named point; False when the search ended without."""
        deadline = time.monotonic() + PATIENCE_S
        while self.running and self.token.exists():
            self.workers()
            if time.monotonic() > deadline:
                raise DrillFailed(f"stuck before a named point; said: {self._said[-3:]}")
            time.sleep(0.02)
        if self.token.exists():
            self._ended_well(0)
            return False
        if not in_worker:
            self._join()
        return True

    def kill(self, *, everything: bool) -> None:
        """Send SIGKILL to the driver, or to its whole group."""
        self.workers()
        if everything:
            os.killpg(self.pid, signal.SIGKILL)
        else:
            os.kill(self.pid, signal.SIGKILL)
        self._join()

    def end_by(self, number: signal.Signals, code: int) -> None:
        """Ask the driver to stop; it must end with this exit code."""
        os.kill(self.pid, number)
        self._join()
        if self._process is not None and self._process.returncode not in (code, 0):
            raise DrillFailed(f"{number.name} ended with {self._process.returncode}, not {code}")

    def finish(self) -> None:
        """Wait for the search's own end."""
        self._join()
        self._ended_well(0)

    def _join(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise DrillFailed(f"the driver did not end; said: {self._said[-3:]}") from None
        if self._reader is not None:
            self._reader.join(PATIENCE_S)

    def _ended_well(self, code: int) -> None:
        self._join()
        if self._process is not None and self._process.returncode != code:
            raise DrillFailed(f"exit code {self._process.returncode}; said: {self._said[-3:]}")

    def orphans(self) -> list[str]:
        """Return processes that outlive their driver by more than some seconds."""
        deadline = time.monotonic() + PATIENCE_S  # it may be busy importing
        left = self._children
        while left and time.monotonic() < deadline:
            left = {pid for pid in left if alive(pid)}
            time.sleep(0.02 if left else 0)
        self._children = set()
        return [f"process {pid} outlives its driver" for pid in sorted(left)]

    def results(self) -> dict[int, tuple[str, float | None]]:
        """Return state and value of the finished trials, from the database, else the folders."""
        if not self.study.study_file.exists() or not self.study.database.exists():
            return {}
        known: dict[int, tuple[str, float | None]] = {}
        for trial in read_study(self.study).trials:
            held = None if trial.finished else read_result(self.study.trial(trial.number).result)
            ended = held.trial if held else trial
            if ended.finished:
                known[trial.number] = (ended.state, ended.value)
        return known

    def unkept_promises(self, known: dict[int, tuple[str, float | None]]) -> list[str]:
        """Return the acknowledged results that are gone, differ, or came twice."""
        lost = [line for line in self._said if line.startswith("DOUBLED")]
        for number, (state, error) in self.promised.items():
            if number not in known:
                lost.append(f"trial {number} was acknowledged and is gone")
                continue
            now, value = known[number]
            shown = None if value is None else self._shown.text(value)
            if now != state or (error is not None and shown != error):
                lost.append(f"trial {number}: {state} {error} acknowledged, now {now} {shown}")
        return lost

    def close(self) -> None:
        """End whatever runs."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._join()


def children(pid: int) -> list[tuple[int, str]]:
    """Return pid and command line of a process's children."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,command="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    return [(int(row[0]), row[2]) for row in rows if len(row) == 3 and int(row[1]) == pid]


def alive(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be reaped does not."""
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip()[:1] not in ("", "Z")
