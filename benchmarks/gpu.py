"""Fourteen steps that say whether training is right and fast on a card: `make gpu-check`.

`python -m benchmarks.gpu --data DIR --out DIR`. Each step runs in a process of its own with a time
limit, and writes one line into OUT/results.jsonl. OUT/summary.md and OUT/steps.svg show them.
`--device cpu --tiny` is a dry run without a card.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import gpu_page, gpu_processes, gpu_right, gpu_search, gpu_speed
from benchmarks.gpu_place import Place, Sheet, Step, Unmeasured, verdict_of
from hpsearch.errors import InputError
from hpsearch.execution.devices import choose_device
from hpsearch.paths import write_atomically
from hpsearch.sources.find import find_dataset

CPU_FACTOR = 4
"""Factor of all time limits without a card: a CPU has other work, too."""
ENDING_S = 5.0
"""Longest wait for the process of a step that was killed."""


class Planned(NamedTuple):
    """A step, its name and its time limit on a card, seconds."""

    name: str
    limit_s: float
    run: Step


STEPS = (
    Planned("facts", 15, gpu_right.facts),
    Planned("one step against float64", 25, gpu_right.one_step),
    Planned("one epoch on CPU and device", 25, gpu_right.one_epoch),
    Planned("the same seed again", 20, gpu_right.same_seed),
    Planned("checkpoints change device", 15, gpu_right.change_device),
    Planned("workers", 30, gpu_processes.workers),
    Planned("out of memory", 20, gpu_processes.out_of_memory),
    Planned("faults", 10, gpu_processes.faults),
    Planned("speed of a step", 110, gpu_speed.steps),
    Planned("compiled and captured", 60, gpu_speed.compiled),
    Planned("several workers on a device", 75, gpu_processes.several),
    Planned("where an epoch goes", 20, gpu_speed.epoch),
    Planned("a search", 50, gpu_search.search),
)
"""All steps but the last, which is the summary."""


def main() -> None:
    """Run the steps; exit 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="as for hpsearch search")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="networks as small as can be")
    parser.add_argument("--steps", default="", help="numbers of the only steps to run: 1,2")
    options = parser.parse_args()
    try:
        rows = run_all(options)
    except InputError as error:
        sys.exit(str(error))
    sys.exit(any(row["verdict"] == "FAIL" for row in rows))


def run_all(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the steps one after the other; return their lines."""
    device = choose_device(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    only = {int(number) for number in options.steps.split(",") if number}
    rows: list[dict[str, Any]] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hpsearch-gpu-") as scratch:
        os.environ["HPSEARCH_CACHE"] = str(Path(scratch) / "cache")
        data = options.data.resolve() if options.data else None
        packed = find_dataset("omniglot", data).folder
        place = Place(device, options.tiny, data, packed, Path(scratch), 0.0)
        say(f"data packed in {time.monotonic() - began:.1f} s")
        for number, step in enumerate(STEPS):
            if only and number not in only:
                continue
            rows.append(run_step(number, step, place))
            write(options.out, rows)
            say_row(rows[-1])
    rows.append(summary(rows, options.out, time.monotonic() - began, whole=not only))
    write(options.out, rows)
    say_row(rows[-1])
    return rows


def run_step(number: int, step: Planned, place: Place) -> dict[str, Any]:
    """Run one step in a process of its own; return its line."""
    scratch = place.scratch / f"step-{number}"
    scratch.mkdir()
    limit_s = step.limit_s * (1 if place.cuda else CPU_FACTOR)
    until = time.monotonic() + limit_s
    mine, theirs = multiprocessing.Pipe(duplex=False)
    # fork: the libraries are loaded once. This process never touches the device itself.
    process = multiprocessing.get_context("fork").Process(
        target=act, args=(step.run, replace(place, scratch=scratch, until=until), theirs)
    )
    began = time.monotonic()
    process.start()
    theirs.close()
    try:
        lines = receive(mine, until)
    finally:
        end(process)
    seconds = round(time.monotonic() - began, 1)
    over = lines.pop("over", False)
    verdict = lines.pop("verdict", None) or verdict_of(lines)
    if not over and verdict != "FAIL":
        late = time.monotonic() >= until
        why = f"not done in {limit_s:g} s" if late else "its process died"
        verdict, lines = "UNMEASURED" if late else "FAIL", {**lines, "why": why}
    return {"step": number, "name": step.name, "verdict": verdict, "seconds": seconds, **lines}


def receive(pipe: Connection, until: float) -> dict[str, Any]:
    """Return the last lines that a step has sent before its end or its limit."""
    lines: dict[str, Any] = {}
    with contextlib.suppress(EOFError):
        while not lines.get("over") and pipe.poll(max(0.0, until - time.monotonic())):
            lines = pipe.recv()
    return lines


def end(process: BaseProcess) -> None:
    """End a step's process and all that it has started; leave one that hangs in the kernel."""
    process.join(1.0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.join(ENDING_S)


def act(run: Step, place: Place, pipe: Connection) -> None:
    """Run a step in this process, whose whole group the parent can kill."""
    os.setpgid(0, 0)
    sheet = Sheet(pipe.send)
    try:
        import torch

        torch.set_num_threads(1 if place.tiny else max(1, (os.cpu_count() or 1) // 2))
        run(place, sheet)
        last: dict[str, Any] = {}
    except Unmeasured as reason:
        last = {"verdict": "UNMEASURED", "why": str(reason)}
    except ModuleNotFoundError as error:
        last = {"verdict": "UNMEASURED", "why": f"{error.name} is not installed"}
    except Exception as error:
        traceback.print_exc()
        last = {"verdict": "FAIL", "why": " ".join(f"{type(error).__name__}: {error}".split())}
    pipe.send({**sheet.lines, **last, "over": True})
    pipe.close()


def summary(
    rows: list[dict[str, Any]], out: Path, seconds: float, *, whole: bool
) -> dict[str, Any]:
    """Write the page and its picture; return the last step's line."""
    page = gpu_page.page(rows, seconds)
    write_atomically(out / "summary.md", page)
    write_atomically(out / "steps.svg", gpu_page.picture(rows))
    lines = len(page.splitlines())
    checks = {"a page of at most 60 lines": lines <= gpu_page.MAX_LINES}
    if whole:
        checks["a line for each step"] = len(rows) == len(STEPS)
    verdict = verdict_of({"checks": checks})
    facts: Mapping[str, Any] = rows[0] if rows else {}
    return {
        "step": len(STEPS),
        "name": "summary",
        "verdict": verdict,
        "seconds": round(seconds, 1),
        "card": facts.get("card"),
        "torch": facts.get("torch"),
        "checks": checks,
    }


def write(out: Path, rows: list[dict[str, Any]]) -> None:
    """Write the lines so far."""
    write_atomically(out / "results.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def say_row(row: Mapping[str, Any]) -> None:
    """Print one step's verdict."""
    failed = [what for what, holds in row.get("checks", {}).items() if not holds]
    why = row.get("why") or "; ".join(failed)
    say(f"{row['step']:2} {row['verdict']:10} {row['seconds']:6.1f} s  {row['name']}  {why}")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text.rstrip()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
