"""Run trials on a Ray cluster: each slot is an actor with one local worker, placed by Ray.

The cluster may grow and shrink during a search. Imported only when a study chooses Ray.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")
os.environ.setdefault("RAY_worker_niceness", "0")  # training is the machine's purpose

import ray
import ray.autoscaler.sdk
from ray.exceptions import ActorUnavailableError, RayActorError, RayError

from hpsearch import __version__
from hpsearch.cluster.connection import Cluster, RaySettings, connect
from hpsearch.cluster.node import (
    FOLDER,
    NodeView,
    Parcel,
    RayWorker,
    RelayedEvent,
    Study,
    data_mark,
    pack_folder,
    packed_files,
    unpack_folder,
)
from hpsearch.errors import EnvironmentFailure, InputError, one_line, shortened
from hpsearch.execution import Decision, Ended, Ending, Event, Job, Lost
from hpsearch.paths import write_atomically
from hpsearch.training.checkpoint_file import previous, write_keeping_previous
from hpsearch.waiting import Caught, Interrupted

POLL_S = 30.0
"""How long an actor waits for an event before it answers with an empty list."""
LOOK_AROUND_S = 1.0
"""Seconds between two questions about the cluster's resources."""
TURN_S = 0.5
"""The longest wait for an event; the daemon has to answer after it."""
IDLE_S = 60.0
"""How long an idle slot keeps its cores before they go back to the cluster."""


@dataclass(eq=False)
class _Slot:
    """One actor: its job, the last request to it, and its view of the disk."""

    actor: Any
    asked: str = ""
    ref: Any = None
    job: Job | None = None
    heard: bool = False
    """Whether the job has sent an event."""
    used: bool = False
    """Whether an earlier job ran in this slot."""
    view: NodeView | None = None
    data: Path | None = None
    """The data set that `view` describes."""
    idle_since: float = field(default_factory=time.monotonic)


class RayExecutor:
    """The executor of a cluster; see `hpsearch.execution.Executor` for the contract."""

    def __init__(self, settings: RaySettings, folder: Path, caught: Caught | None = None) -> None:
        """Connect to the cluster, or start one on this machine.

        Args:
            settings: The resources of each trial, and the cluster's address.
            folder: The study's folder; nodes that can read it exchange checkpoints through it.
            caught: The interrupts so far; after one no wait for the cluster is long.

        Raises:
            InputError: There is no cluster at the address, or no node of it is large enough.
            EnvironmentFailure: The cluster does not answer.
            Interrupted: Ctrl-C or SIGTERM came first.
        """
        caught, self._workers = caught or Caught(), settings.workers
        token = secrets.token_hex(16)
        self._probe = folder / f".ray-{token[:8]}.tmp"
        self._slots: list[_Slot] = []
        self._found: list[Event] = []
        self._sent_data: dict[Path, dict[str, Any]] = {}
        self._requests_nodes = False
        self._started = connect(settings, caught)
        self._cluster = Cluster(caught)
        try:
            self._prepare(settings, folder, token)
        except BaseException:
            self.close()
            raise

    def _prepare(self, settings: RaySettings, folder: Path, token: str) -> None:
        """Find out what the cluster has."""
        nodes = self._nodes()
        device, self._needs = settings.device_and_needs(nodes)
        threads = max(1, int(self._needs["CPU"]))
        self._study = Study(
            folder.resolve(),
            self._probe.name,
            token,
            device,
            threads,
            settings.silence_s,
            settings.step_timeout_s,
        )
        self._looked, self._room = time.monotonic(), self._look_around()
        if settings.workers is not None and settings.address is not None:
            self._requests_nodes = True
            self._request([self._needs] * settings.workers)
        elif not any(_times(node, self._needs) for node in nodes):
            raise InputError(
                f"resources: no node of the Ray cluster has {_words(self._needs)}; "
                "lower resources.cpu or resources.gpu, or set workers to wait for such nodes"
            )

    @property
    def slots(self) -> int:
        """Trials that can run at once with the cluster's present resources."""
        if time.monotonic() - self._looked >= LOOK_AROUND_S and not self._cluster.dead:
            self._looked = time.monotonic()
            with contextlib.suppress(Interrupted):
                self._room = self._look_around()
        return self._capacity()

    def _capacity(self) -> int:
        room = max(self._busy(), self._room)
        return room if self._workers is None else min(room, self._workers)

    def _busy(self) -> int:
        return sum(slot.job is not None for slot in self._slots)

    def _look_around(self) -> int:
        """Return our slots plus those that fit free resources, at most what all nodes hold."""
        total = sum(_times(node, self._needs) for node in self._nodes())
        free: dict[str, float] = self._cluster.ask(ray.available_resources)
        return min(total, len(self._slots) + _times(free, self._needs))

    def _nodes(self) -> list[dict[str, float]]:
        """Return the total resources of each node."""
        return [node["Resources"] for node in self._cluster.nodes()]

    def submit(self, job: Job) -> None:
        """Start a trial on a free slot; one that Ctrl-C keeps from starting is INTERRUPTED.

        Raises:
            RuntimeError: No slot is free.
        """
        if self._busy() >= self._capacity():
            raise RuntimeError(f"all {self._busy()} slots are busy")
        self._place(job)

    def _place(self, job: Job) -> None:
        try:
            slot = next((s for s in self._slots if s.job is None), None) or self._start_slot()
        except Interrupted:
            self._found.append(Ended(job.trial, Ending.INTERRUPTED))
            return
        slot.job, slot.heard = job, False
        if slot.ref is None:
            self._look_or_submit(slot)

    def _show_folder(self) -> None:
        """Let a node that can read the study's folder see that it can.

        Whoever opens the study's database removes what looks like a write that was cut off.
        """
        self._probe.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._probe, self._study.token)

    def _start_slot(self) -> _Slot:
        self._show_folder()
        actor: Any = ray.remote
        worker = actor(**self._actor_options())(RayWorker)
        slot = _Slot(self._cluster.ask(lambda: worker.remote(self._study)))
        self._slots.append(slot)
        return slot

    def _actor_options(self) -> dict[str, Any]:
        return {
            "num_cpus": self._needs["CPU"],
            "num_gpus": self._needs.get("GPU", 0),
            "max_restarts": 0,
            "concurrency_groups": {"control": 1},
            "max_concurrency": 1,
        }

    def _look_or_submit(self, slot: _Slot) -> None:
        """Ask a slot's node what it sees of the disk, or start the job where this is known."""
        job = slot.job
        if job is None:
            slot.idle_since = time.monotonic()
        elif slot.view is None or slot.data != job.data:
            slot.data, slot.asked = job.data, "view"
            mark = "" if job.run is not None else self._mark(job.data)  # a command finds its data
            slot.ref = slot.actor.look.remote(job.data, mark)
        else:
            slot.asked = "submitted"
            submit = slot.actor.submit.options(concurrency_group="control")
            with contextlib.suppress(Interrupted):
                slot.ref = submit.remote(job, self._parcel(slot.view, job))

    def _parcel(self, view: NodeView, job: Job) -> Parcel:
        checkpoint: dict[str, bytes] = {}
        if not view.folder and job.run is not None:
            if job.checkpoint.parent.is_dir():
                checkpoint[FOLDER] = pack_folder(job.checkpoint)
        elif not view.folder:
            for path in (job.checkpoint, previous(job.checkpoint)):
                with contextlib.suppress(FileNotFoundError):
                    checkpoint[path.name] = path.read_bytes()
        if view.data:
            return Parcel(checkpoint)
        if job.data not in self._sent_data:
            files = packed_files(job.data)
            self._sent_data[job.data] = self._cluster.fetch(
                lambda: {name: ray.put(content) for name, content in files.items()}
            )
        return Parcel(checkpoint, self._sent_data[job.data], self._mark(job.data))

    def _mark(self, data: Path) -> str:
        """Return the mark by which a node recognises the same data set."""
        return data_mark(data)

    def decide(self, trial: int, decision: Decision) -> None:
        """Answer the trial's last `EpochEnded`; ignored when the trial is gone."""
        for slot in self._slots:
            if slot.job is not None and slot.job.trial == trial:
                slot.actor.decide.options(concurrency_group="control").remote(trial, decision)

    def events(self, timeout_s: float) -> list[Event]:
        """Return new events in order; wait up to `timeout_s` for the first."""
        found, self._found = self._found, []
        asked = {slot.ref: slot for slot in self._slots if slot.ref is not None}
        if not asked:
            time.sleep(0 if found else timeout_s)
            return found
        try:
            for ref in self._ready(list(asked), 0 if found else min(timeout_s, TURN_S)):
                found += self._take(asked[ref])
        except Interrupted:  # the workers' answers cannot be had
            found += [self._break_off(slot) for slot in self._slots if slot.job is not None]
        self._let_idle_go()
        return found

    def _ready(self, refs: list[Any], timeout_s: float) -> list[Any]:
        """Return the requests that are answered; wait for the first."""
        ready, waiting = self._cluster.fetch(lambda: ray.wait(refs, timeout=timeout_s))
        if ready and waiting:
            more, _ = self._cluster.fetch(
                lambda: ray.wait(waiting, num_returns=len(waiting), timeout=0)
            )
            ready += more
        return ready

    def _take(self, slot: _Slot) -> list[Event]:
        """Handle a slot's answer, and send its next request."""
        ref, slot.ref = slot.ref, None
        try:
            answer = self._cluster.fetch(lambda: ray.get(ref))
        except RayError as error:
            return self._lose(slot, error)
        if slot.asked == "view":
            slot.view = answer
            if answer.version != __version__:
                self._drop(slot)
                raise InputError(
                    f"node {answer.host} has hpsearch {answer.version}, this one {__version__}; "
                    "install the same version on every node"
                )
            self._look_or_submit(slot)
            return []
        relayed: list[RelayedEvent] = answer or []
        events = [self._hear(slot, one) for one in relayed]
        if slot.job is None:
            self._look_or_submit(slot)
        else:
            slot.asked = "events"
            slot.ref = slot.actor.events.remote(POLL_S)
        return events

    def _hear(self, slot: _Slot, relayed: RelayedEvent) -> Event:
        """Write the checkpoint that came with an event; free the slot at a trial's end."""
        slot.heard = True
        if relayed.checkpoint is not None and slot.job is not None:
            if slot.job.run is not None:
                unpack_folder(relayed.checkpoint, slot.job.checkpoint.parent)
            else:
                write_keeping_previous(slot.job.checkpoint, relayed.checkpoint)
        if isinstance(relayed.event, Ended | Lost):
            slot.job, slot.used = None, True
        return relayed.event

    def _lose(self, slot: _Slot, error: RayError) -> list[Event]:
        """Give up a slot; a job that had not started goes to another slot."""
        job, view = slot.job, slot.view
        self._drop(slot)
        if job is None:
            return []
        if slot.used and not slot.heard:
            self._place(job)
            return []
        if not isinstance(error, RayActorError):
            return [Lost(job.trial, f"its slot failed: {_one_line(error)}")]
        host = f"node {view.host}" if view else "its node"
        # Ray's list of nodes may show this much later.
        gone = isinstance(error, ActorUnavailableError) or "node has died" in str(error)
        alive: set[str] = set()
        with contextlib.suppress(Interrupted):
            alive = {node["NodeID"] for node in self._cluster.nodes()}
        if gone or (view is not None and view.node not in alive):
            return [Lost(job.trial, f"{host} left the cluster", blameless=True)]
        return [Lost(job.trial, f"the slot on {host} died: {_one_line(error)}")]

    def _drop(self, slot: _Slot) -> None:
        if slot in self._slots:
            self._slots.remove(slot)
        with contextlib.suppress(RayError, ValueError, Interrupted):
            self._cluster.ask(lambda: ray.kill(slot.actor))

    def _let_idle_go(self) -> None:
        for slot in [s for s in self._slots if s.job is None and s.ref is None]:
            if time.monotonic() - slot.idle_since > IDLE_S:
                self._drop(slot)

    def interrupt(self) -> None:
        """Ask every running trial to checkpoint and end within its batch (INTERRUPTED)."""
        for slot in self._slots:
            if slot.job is None:
                continue
            if slot.asked == "view" or slot.ref is None:
                self._found.append(self._break_off(slot))
            else:
                slot.actor.interrupt.options(concurrency_group="control").remote()

    def _break_off(self, slot: _Slot) -> Ended:
        """Free a slot whose job goes on from its last checkpoint."""
        job, slot.job = slot.job, None
        assert job is not None
        return Ended(job.trial, Ending.INTERRUPTED)

    def _request(self, bundles: list[dict[str, float]]) -> None:
        """Ask the cluster to have so many nodes; the request holds until another replaces it."""
        self._cluster.ask(lambda: ray.autoscaler.sdk.request_resources(bundles=bundles))

    def close(self) -> None:
        """End all workers at once and free everything; may be called twice."""
        with contextlib.suppress(EnvironmentFailure, Interrupted):  # it died meanwhile
            if ray.is_initialized() and not self._cluster.dead:
                for slot in list(self._slots):
                    self._drop(slot)
                if self._requests_nodes:
                    self._request([])
        self._requests_nodes = False
        self._probe.unlink(missing_ok=True)
        self._looked = math.inf  # ask the cluster nothing more
        if self._started:
            self._started = False
            self._cluster.leave()


def _times(resources: dict[str, float], needs: dict[str, float]) -> int:
    """Return how many times the needs fit into the resources."""
    return min(int(resources.get(name, 0.0) / n + 1e-6) for name, n in needs.items())


def _words(needs: dict[str, float]) -> str:
    return " and ".join(f"{n:g} {name}" for name, n in needs.items())


def _one_line(error: BaseException) -> str:
    return one_line(shortened(f"{type(error).__name__}: {error}", 300))
