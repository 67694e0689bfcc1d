"""Steps of `benchmarks.gpu` that start workers: killed, stopped, without memory, several."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_place import Place, Sheet, small_config
from benchmarks.step import study_config
from hpsearch.errors import InputError
from hpsearch.execution import (
    Decision,
    Ended,
    Ending,
    EpochEnded,
    Event,
    Job,
    Lost,
    Started,
    devices,
)
from hpsearch.execution.blame import Fault, ending_of, fault_of
from hpsearch.execution.local import LocalExecutor
from hpsearch.training.loop import train

SILENCE_S = 5.0
"""Silence after which a worker counts as lost here; workers give a sign every two seconds."""
NOTICED_S = 10.0
"""How much longer it may take to notice."""
SMI_S = 10.0
MANY = 4096
"""Filters, width and characters of a network that fits no card."""
HELD = 0.95
"""Share of the card's free memory that a neighbour holds."""


def nvidia_smi(query: str) -> str:
    """Return what nvidia-smi answers to a query, a line for each card; empty where it fails."""
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SMI_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@contextlib.contextmanager
def executor(place: Place, slots: int = 1, **more: Any) -> Iterator[LocalExecutor]:
    """Make an executor on the place's device, and close it in the end."""
    logs = place.scratch / "logs"
    made = LocalExecutor(slots, place.device, threads=1, log_folder=logs, **more)
    try:
        yield made
    finally:
        made.close()


def follow(
    made: LocalExecutor, place: Place, until: Callable[[Event], bool], running: int = 1
) -> list[Event]:
    """Let every epoch go on until an event is the one, or so many trials have ended."""
    seen: list[Event] = []
    while place.left_s > 0:
        for event in made.events(0.2):
            seen.append(event)
            if until(event):
                return seen
            if isinstance(event, EpochEnded):
                made.decide(event.trial, Decision.GO)
            running -= isinstance(event, Ended | Lost)
        if not running:
            return seen
    return seen


def never(_: Event) -> bool:
    """Wait for the end."""
    return False


def workers(place: Place, sheet: Sheet) -> None:
    """Time a worker, kill it within an epoch, stop it, and see that nothing is lost."""
    config = small_config(images_per_epoch=1600)
    free = _free_bytes(place)
    with executor(place, silence_s=SILENCE_S) as made:
        began = time.monotonic()
        made.submit(place.job(0, config))
        (started,) = follow(made, place, lambda event: isinstance(event, Started))[-1:]
        sheet.note(start_s=_since(began))
        follow(made, place, lambda event: isinstance(event, EpochEnded))
        sheet.note(first_epoch_s=_since(began))
        made.decide(0, Decision.GO)
        assert isinstance(started, Started)
        os.kill(started.pid, signal.SIGKILL)
        lost = follow(made, place, never)
        sheet.expect("a killed worker's trial is lost", isinstance(lost[-1], Lost))
        _check_memory(place, sheet, free)
        made.submit(place.job(0, config))
        again = follow(made, place, never)
        curve = [*again[0].curve] if isinstance(again[0], Started) else []
        curve += [event.result for event in again if isinstance(event, EpochEnded)]
        straight = [e.result for e in train(config, place.load(config), 7)]
        sheet.expect("it goes on from its checkpoint", len(curve) == len(straight))
        apart = [abs(a.loss - b.loss) / b.loss for a, b in zip(curve, straight, strict=False)]
        sheet.note(deviation=float(f"{max(apart, default=1.0):.2g}"))
        sheet.expect("to the same curve", max(apart, default=1.0) <= 1e-2)
        endless = small_config(images_per_epoch=10**9)
        made.submit(place.job(1, endless))
        (started,) = follow(made, place, lambda event: isinstance(event, Started))[-1:]
        assert isinstance(started, Started)
        began = time.monotonic()
        os.kill(started.pid, signal.SIGSTOP)
        stopped = follow(made, place, never)
        sheet.note(stopped_s=_since(began))
        sheet.expect("a stopped worker is lost", isinstance(stopped[-1], Lost))
        sheet.expect("in time", time.monotonic() - began <= SILENCE_S + NOTICED_S)


def _since(began: float) -> float:
    return round(time.monotonic() - began, 2)


def _free_bytes(place: Place) -> int:
    return torch.cuda.mem_get_info()[0] if place.cuda else 0


def _check_memory(place: Place, sheet: Sheet, before: int) -> None:
    """Expect a killed worker's memory back within two seconds."""
    if not place.cuda:
        return
    until = time.monotonic() + 2
    while (held := before - _free_bytes(place)) > 1 << 26 and time.monotonic() < until:
        time.sleep(0.1)
    sheet.note(held_mb=round(held / 1e6))
    sheet.expect("its memory is free within 2 s", held <= 1 << 26)


def out_of_memory(place: Place, sheet: Sheet) -> None:
    """Run out of memory by a configuration's fault, then by a neighbour's."""
    place.need_card()
    each = {"filter_count": MANY}
    layers = {**small_config().plain()["layers"]}
    for name in ("conv1", "conv2"):
        layers[name] = {**layers[name], **each}
    layers["fc"] = {**layers["fc"], "width": MANY}
    large = small_config(layers=layers, pairs="independent", batch_pairs=MANY)
    small = small_config(max_epochs=1)
    with executor(place) as made:
        made.submit(place.job(0, large))
        ended = follow(made, place, never)[-1]
        sheet.note(large=_in_words(ended))
        what = "a network that fits no card is out of memory"
        sheet.expect(what, isinstance(ended, Ended) and ended.ending is Ending.OUT_OF_MEMORY)
        made.submit(place.job(1, small))
        sheet.expect("the next trial trains", _finished(follow(made, place, never)[-1]))
        held = torch.empty(int(HELD * _free_bytes(place)), dtype=torch.uint8, device="cuda")
        more = torch.empty(
            max(0, _free_bytes(place) - (1 << 26)), dtype=torch.uint8, device="cuda"
        )
        made.submit(place.job(2, small, smallest=small.plain()))
        beside = follow(made, place, never)[-1]
        sheet.note(beside_a_neighbour=_in_words(beside), held_gb=round(len(held) / 1e9, 1))
        blamed = not isinstance(beside, Started | EpochEnded) and (
            fault_of(beside, trained=False) is Fault.CONFIGURATION
        )
        sheet.expect("a neighbour's memory is not the trial's fault", not blamed)
        del held, more


def _in_words(event: Event) -> str:
    if isinstance(event, Ended):
        return f"{event.ending.value}: {event.cause}"
    return f"lost: {event.cause}" if isinstance(event, Lost) else type(event).__name__


def _finished(event: Event) -> bool:
    return isinstance(event, Ended) and event.ending is Ending.FINISHED


MESSAGES = {
    "CUDA error: uncorrectable ECC error encountered": False,
    "CUDA error: an illegal memory access was encountered": False,
    "CUDA error: all CUDA-capable devices are busy or unavailable": False,
    "CUDA error: unspecified launch failure": False,
    "No CUDA GPUs are available": False,
    "CUDA driver version is insufficient for CUDA runtime version": False,
    "CUDA out of memory. Tried to allocate 2.00 GiB": True,
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`": False,
}
"""What torch says, and whether the configuration is to blame, once it was tried alone."""
BLIND = "from hpsearch.execution.devices import choose_device as c; print(c('auto')); c('cuda')"
STUBS = {"that fails": "exit 9", "that is slow": "exec sleep 60"}


def faults(place: Place, sheet: Sheet) -> None:
    """Raise what a broken card raises; hide cards; put a broken nvidia-smi in the way."""
    for message, blamed in MESSAGES.items():
        fault = fault_of(Ended(0, ending_of(torch.AcceleratorError(message))), trained=False)
        sheet.expect(message[:60], (fault is Fault.CONFIGURATION) is blamed)
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "99"}
    command = [sys.executable, "-c", BLIND]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    sheet.expect("a device that is not there is not chosen", done.stdout.strip() == "cpu")
    sheet.expect("nor when it is asked for", InputError.__name__ in done.stderr)
    for name, body in STUBS.items():
        folder = place.scratch / name
        folder.mkdir()
        stub = folder / "nvidia-smi"
        stub.write_text(f"#!/bin/sh\n{body}\n")
        stub.chmod(0o755)
        began = time.monotonic()
        with _path(folder), _limit(1.0):
            devices.look_again()
            count = devices.count_cuda_devices()
        wanted = torch.cuda.device_count() if place.cuda else 0
        sheet.expect(f"an nvidia-smi {name} hides no card", count == wanted)
        sheet.expect(f"an nvidia-smi {name} costs little", time.monotonic() - began < SMI_S)
    devices.look_again()
    if place.cuda:
        _assert_on_device(sheet)


@contextlib.contextmanager
def _path(folder: Path) -> Iterator[None]:
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}:{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


@contextlib.contextmanager
def _limit(seconds: float) -> Iterator[None]:
    before, devices.SMI_S = devices.SMI_S, seconds
    try:
        yield
    finally:
        devices.SMI_S = before


def _assert_on_device(sheet: Sheet) -> None:
    """Trip a real assertion on the device; nothing runs on it in this process afterwards."""
    try:
        torch.zeros(3, device="cuda")[torch.tensor([5], device="cuda")].cpu()
    except Exception as error:
        fault = fault_of(Ended(0, ending_of(error)), trained=False)
        sheet.note(asserted=" ".join(str(error).split())[:120], fault=str(fault))
        sheet.expect("a real assertion is not blamed on memory", fault is Fault.UNKNOWN)


def several(place: Place, sheet: Sheet) -> None:
    """Train on 1, 2, 4 and 8 workers of one device; report trials a minute."""
    config = small_config(max_epochs=2)
    if not place.tiny:
        config = study_config("quickstart").with_parameters({"max_epochs": 2})
    rates: dict[str, float] = {}
    for slots in (2,) if place.tiny else (1, 2, 4, 8):
        trials = slots if place.tiny else 2 * slots
        if rates and place.left_s < 20 and not place.tiny:
            sheet.note(left_out=f"{slots} workers: no time")
            break
        jobs = [place.job(100 * slots + number, config) for number in range(trials)]
        with Busy(place) as busy, executor(place, slots) as made:
            began = time.monotonic()
            events = _run_all(made, place, jobs)
            rates[str(slots)] = round(60 * trials / (time.monotonic() - began), 1)
        sheet.note(trials_per_minute=rates, **{f"busy_percent_{slots}": busy.percent})
        sheet.expect(f"{slots} workers: all end well", sum(map(_finished, events)) == trials)


def _run_all(made: LocalExecutor, place: Place, jobs: list[Job]) -> list[Event]:
    waiting, running, ended = list(jobs), 0, list[Event]()
    while (waiting or running) and place.left_s > 0:
        while waiting and running < made.slots:
            made.submit(waiting.pop(0))
            running += 1
        for event in made.events(0.2):
            if isinstance(event, EpochEnded):
                made.decide(event.trial, Decision.GO)
            elif isinstance(event, Ended | Lost):
                running -= 1
                ended.append(event)
    return ended


class Busy:
    """Asks nvidia-smi every second how busy the card is."""

    percent: float | None = None

    def __init__(self, place: Place) -> None:
        self._over, self._seen = threading.Event(), list[float]()
        self._cuda = place.cuda

    def __enter__(self) -> Busy:
        """Start to ask."""
        if self._cuda:
            threading.Thread(target=self._ask, daemon=True).start()
        return self

    def _ask(self) -> None:
        while not self._over.wait(1.0):
            with contextlib.suppress(ValueError):
                self._seen.append(float(nvidia_smi("utilization.gpu").splitlines()[0]))

    def __exit__(self, *_: object) -> None:
        """Stop, and average."""
        self._over.set()
        self.percent = round(statistics.fmean(self._seen), 1) if self._seen else None
