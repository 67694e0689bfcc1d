"""A command's program behind the executor: the same contract as a training, and its own faults."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hpsearch.execution import Decision, Ended, Ending, EpochEnded, Event, Lost, Started
from hpsearch.execution.local import LocalExecutor
from hpsearch.trainers.guardian import descendants
from tests.support.jobs import follow, run
from tests.support.programs import STEPS, VALUES, Programs

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and prctl")
SLEEPS = 'echo \'{"step": 1, "value": 0.5}\' >>$HPSEARCH_REPORT; sleep 4243'


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalExecutor]:
    made = LocalExecutor(1, threads=1, log_folder=tmp_path_factory.mktemp("logs"))
    yield made
    made.close()


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def values(events: list[Event]) -> dict[int, float]:
    results = [event.result for event in events if isinstance(event, EpochEnded)]
    return {one.epoch: one.validation_error for one in results}


def end(events: list[Event]) -> Ended:
    assert isinstance(events[-1], Ended)
    return events[-1]


def known(job_events: list[Event]) -> tuple[dict[str, object], ...]:
    return tuple(e.result.to_json() for e in job_events if isinstance(e, EpochEnded))


def test_a_trial_starts_ends_its_steps_and_finishes_in_this_order(
    executor: LocalExecutor, programs: Programs
) -> None:
    events = run(executor, programs())
    assert isinstance(events[0], Started)
    assert (events[0].trial, events[0].device, events[0].curve) == (0, "cpu", ())
    assert values(events) == {n: VALUES[n] for n in (1, 2, 3)}
    assert replace(end(events), memory=None) == Ended(0, Ending.FINISHED)
    assert (end(events).memory or 0) > 100_000
    seconds = [e.result.seconds for e in events if isinstance(e, EpochEnded)]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize(
    ("decision", "ending", "verdict"),
    [
        (Decision.STOP, Ending.STOPPED, "stop"),
        (Decision.PAUSE, Ending.PAUSED, "pause"),
    ],
)
def test_what_is_reported_behind_a_decision_is_dropped(
    executor: LocalExecutor,
    programs: Programs,
    decision: Decision,
    ending: Ending,
    verdict: str,
) -> None:
    events = run(executor, programs(), {2: decision})
    assert list(values(events)) == [1, 2]
    assert end(events).ending is ending
    told = (programs.folder / "00000" / "verdict.json").read_text()
    assert told == f'{{"step": 2, "verdict": "{verdict}"}}\n'


def test_without_a_checkpoint_it_starts_anew_and_first_values_stay(
    executor: LocalExecutor, programs: Programs
) -> None:
    script = (
        'for s in 1 2 3; do echo "{\\"step\\": $s, \\"value\\": 0.$RANDOM_PART$s}"'
        " >>$HPSEARCH_REPORT; [ $s = 2 ] && [ ! -e again ] && touch again && sleep 4243; done"
    )
    job = programs(script, environment={"RANDOM_PART": "4"})
    executor.submit(job)
    first = follow(executor, 0, hold=lambda e: isinstance(e, EpochEnded))
    executor.interrupt()
    first += follow(executor, 0)
    assert end(first).ending is Ending.INTERRUPTED
    other = programs(script, environment={"RANDOM_PART": "5"})
    second = run(executor, replace(other, decided=1, known=known(first)))
    assert isinstance(second[0], Started)
    assert "starts again" in second[0].note
    assert {**values(first), **values(second)} == {1: 0.41, 2: 0.42, 3: 0.53}


def test_interrupt_ends_the_program(executor: LocalExecutor, programs: Programs) -> None:
    executor.submit(programs("sleep 4243"))
    started = follow(executor, 0, hold=lambda e: isinstance(e, Started))[0]
    assert isinstance(started, Started)
    time.sleep(0.2)
    executor.interrupt()
    assert end(follow(executor, 0)).ending is Ending.INTERRUPTED
    assert _programs(started.pid) == []


@linux
@pytest.mark.parametrize("who", ["worker", "guardian", "program"])
def test_a_kill_loses_the_run_and_leaves_no_process(
    executor: LocalExecutor, programs: Programs, who: str
) -> None:
    executor.submit(programs(SLEEPS + " & sleep 4243"))
    events = follow(executor, 0, hold=lambda e: isinstance(e, EpochEnded))
    executor.decide(0, Decision.GO)
    assert isinstance(events[0], Started)
    worker = events[0].pid
    guardian = next(p for p in descendants(worker) if "guardian" in _command(p))
    family = [*_programs(worker), guardian]
    program = next(p for p in family if os.getsid(p) == p and p != guardian)
    os.kill({"worker": worker, "guardian": guardian, "program": program}[who], signal.SIGKILL)
    last = follow(executor, 0)[-1]
    if who == "worker":
        assert isinstance(last, Lost)
    else:
        assert isinstance(last, Ended)
        assert last.ending is Ending.FAILED
        assert "killed" in (last.cause or "")
    until = time.monotonic() + 30
    while any("4243" in _command(p) for p in family) and time.monotonic() < until:
        time.sleep(0.05)
    assert [p for p in family if "4243" in _command(p)] == []


FAULTS = {
    "prints nothing": ("exit 0", Ending.FAILED, "ended without a report"),
    "exits at once": ("echo no such data >&2; exit 3", Ending.FAILED, "no such data"),
    "half a line": ("printf '{\"step\": 1' >>$HPSEARCH_REPORT", Ending.FAILED, "report line 1"),
    "words": ("echo hello >>$HPSEARCH_REPORT; sleep 4243", Ending.FAILED, "report line 1: hello"),
    "ten million lines": (
        'yes \'{"step": 1, "value": 1}\' >>$HPSEARCH_REPORT',
        Ending.FAILED,
        "report",
    ),
    "steps that go back": (
        'echo \'{"step": 2, "value": 1}\n{"step": 1, "value": 1}\' >>$HPSEARCH_REPORT; sleep 4243',
        Ending.FAILED,
        "report line 2: step 1 after step 2; steps must rise",
    ),
    "a full disk": (
        "echo train: write error: No space left on device >&2; exit 1",
        Ending.ENVIRONMENT,
        "No space left on device",
    ),
    "a number that is none": (
        'echo \'{"step": 1, "value": nan}\' >>$HPSEARCH_REPORT; sleep 4243',
        Ending.DIAGNOSED,
        "diverged: value nan",
    ),
    "a result that is none": (
        'echo \'{"step": 1, "value": 1}\n{"result": -inf}\' >>$HPSEARCH_REPORT',
        Ending.DIAGNOSED,
        "diverged: result -inf",
    ),
    "out of memory": (
        "echo RuntimeError: CUDA out of memory. Tried to allocate 2 GiB; exit 1",
        Ending.OUT_OF_MEMORY,
        "out of memory",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_program_has_its_blame(
    executor: LocalExecutor, programs: Programs, fault: str
) -> None:
    script, ending, cause = FAULTS[fault]
    last = end(run(executor, programs(script)))
    assert last.ending is ending
    assert cause in (last.cause or "")
    assert (last.cause or "").isprintable()


@linux
def test_a_log_that_cannot_be_written_is_the_machines_fault(
    executor: LocalExecutor, programs: Programs
) -> None:
    first = run(executor, programs())[0]
    assert isinstance(first, Started)
    before = resource.prlimit(first.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(first.pid, resource.RLIMIT_FSIZE, (1000, before[1]))  # as a full disk
    words = "for n in 1 2 3; do head -c 2000 /dev/zero; sleep 0.1; done; " + STEPS
    last = end(run(executor, programs(words, trial=1)))
    resource.prlimit(first.pid, resource.RLIMIT_FSIZE, before)
    assert last.ending is Ending.ENVIRONMENT
    assert "too large" in (last.cause or "")
    assert end(run(executor, programs(trial=2))).ending is Ending.FINISHED


@linux
def test_a_child_that_outlives_its_program_is_ended(
    executor: LocalExecutor, programs: Programs
) -> None:
    script = "(setsid sleep 4243 >/dev/null 2>&1 &); sleep 4243 & " + STEPS
    events = run(executor, programs(script))
    assert isinstance(events[0], Started)
    assert end(events).ending is Ending.FINISHED
    assert _programs(events[0].pid) == []


def test_a_memory_limit_is_the_trials_own(executor: LocalExecutor, programs: Programs) -> None:
    takes = "import time; held = bytearray(b'x') * 200_000_000; time.sleep(60)"
    command = [sys.executable, "-c", takes]
    last = end(run(executor, programs(command=command, memory_gb=0.1)))
    assert last.ending is Ending.OUT_OF_MEMORY
    assert "memory_gb" in (last.cause or "")


def test_a_time_limit_counts_all_runs(executor: LocalExecutor, programs: Programs) -> None:
    job = programs("sleep 4243", time_limit_s=1.0)
    earlier = {"epoch": 1, "loss": None, "validation_error": 0.5, "seconds": 0.9}
    earlier |= {"images": 0, "multiply_adds": 0, "diagnosis": None}
    last = end(run(executor, replace(job, decided=1, known=(earlier,))))
    assert last.ending is Ending.LIMIT
    assert "time_limit_s" in (last.cause or "")


@pytest.mark.parametrize(
    ("command", "why"),
    [(["nonesuch"], "No such file"), (["sh", "-c", "exit 0"], "No such file")],
)
def test_a_program_that_cannot_start_is_the_machines_fault(
    executor: LocalExecutor, programs: Programs, command: list[str], why: str
) -> None:
    directory = "/nonesuch" if command[0] == "sh" else str(programs.folder)
    last = end(run(executor, programs(command=command, directory=directory)))
    assert last.ending is Ending.ENVIRONMENT
    assert why in (last.cause or "")


@pytest.mark.parametrize(
    ("script", "value"),
    [
        ("echo '{\"result\": 0.3}' >>$HPSEARCH_REPORT", None),
        (STEPS + 'echo \'{"result": 0.3}\n{"step": 9, "value": 0}\' >>$HPSEARCH_REPORT', 0.3),
        (STEPS.replace("$HPSEARCH_MAX_STEPS", "5"), None),
    ],
)
def test_a_result_is_the_last_word_and_steps_have_an_end(
    executor: LocalExecutor, programs: Programs, script: str, value: float | None
) -> None:
    events = run(executor, programs(script))
    assert end(events).ending is Ending.FINISHED
    if value is None:
        assert values(events)[1] in (0.3, 0.8)
        assert max(values(events)) <= 3
    else:
        assert end(events).result == value


def test_a_program_without_steps_tells_its_other_figures_with_its_result(
    executor: LocalExecutor, programs: Programs
) -> None:
    line = '{"result": 0.3, "metrics": {"latency_ms": 4}}'
    events = run(executor, programs(f"echo '{line}' >>$HPSEARCH_REPORT"))
    (epoch,) = (event.result for event in events if isinstance(event, EpochEnded))
    assert epoch.metrics == {"latency_ms": 4.0}


def test_inside_the_search_lower_is_better(executor: LocalExecutor, programs: Programs) -> None:
    script = STEPS + "echo '{\"result\": 0.9}' >>$HPSEARCH_REPORT"
    events = run(executor, programs(script, maximize=True))
    assert values(events)[1] == -0.8
    assert end(events).result == -0.9


def test_the_program_finds_what_the_page_says(executor: LocalExecutor, programs: Programs) -> None:
    script = 'env | grep -E "^(HPSEARCH_|OMP_|MINE)" | sort; printf "%s\n" "$@"; exit 1'
    command = ["sh", "-c", script, "sh", "${args}", "${parameter:kind}"]
    job = programs(
        command=command,
        environment={"MINE": "x${trial}"},
        parameters={"lr": 0.1, "kind": "a b"},
    )
    run(executor, job)
    told = (programs.folder / "00000" / "log.txt").read_text()
    for line in (
        "HPSEARCH_DEVICE=cpu",
        "HPSEARCH_MAX_STEPS=3",
        'HPSEARCH_PARAMETERS={"lr": 0.1, "kind": "a b"}',
        "HPSEARCH_PROTOCOL=1",
        "HPSEARCH_SEED=7",
        "HPSEARCH_TRIAL=0",
        f"HPSEARCH_CHECKPOINT={programs.folder}/00000/checkpoint",
        "MINE=x0",
        "OMP_NUM_THREADS=1",
        "--lr\n0.1\n--kind\na b\na b",
    ):
        assert f"{line}\n" in told


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _programs(worker: int) -> list[int]:
    return [p for p in descendants(worker) if "guardian" not in _command(p)]
