"""A Ray cluster of one core in this process, any of whose questions may stay unanswered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from hpsearch import __version__
from hpsearch.cluster.node import NodeView, RelayedEvent
from hpsearch.execution import Ended, Ending, Event, Job, Started

QUESTIONS = ("nodes", "available_resources", "remote", "wait", "get", "put", "kill", "shutdown")
"""The calls that wait for the head, or for the daemon on this machine."""


class Ref:
    """An answer to come."""

    def __init__(self, *answer: Any) -> None:
        self.answer = list(answer)


class Actor:
    """A slot whose trial trains until it is interrupted."""

    def __init__(self) -> None:
        self._told: list[Event] = []
        self._asked = Ref([])  # nobody waits
        self._trial = -1

    def __getattr__(self, name: str) -> Any:
        called = SimpleNamespace(remote=getattr(self, f"on_{name}"))
        called.options = lambda **_: called
        return called

    def on_look(self, *_: Any) -> Ref:
        return Ref(NodeView("1", "here", __version__, folder=True, data=False))

    def on_submit(self, job: Job, _: Any) -> Ref:
        self._trial = job.trial
        self._tell(Started(job.trial, 1, "cpu"))
        return Ref(None)

    def on_events(self, _: float) -> Ref:
        self._asked = Ref()
        self._tell()
        return self._asked

    def on_interrupt(self) -> None:
        self._tell(Ended(self._trial, Ending.INTERRUPTED))

    def _tell(self, *events: Event) -> None:
        self._told += events
        if self._told and not self._asked.answer:
            self._asked.answer.append([RelayedEvent(event) for event in self._told])
            self._told = []


class FakeRay:
    """Stands for the module `ray`."""

    def __init__(self) -> None:
        self.silent = ""
        """The question that is not answered from now on."""
        self.asked = threading.Event()
        """Set as soon as it is asked."""
        self.up = False
        self._never = threading.Event()
        self._private = SimpleNamespace(worker=SimpleNamespace(_global_node=None))
        sdk = SimpleNamespace(request_resources=lambda bundles: self._ask("request_resources"))
        self.autoscaler = SimpleNamespace(sdk=sdk)

    def _ask(self, question: str) -> None:
        if question == self.silent:
            self.asked.set()
            self._never.wait()

    def end(self) -> None:
        """Let the abandoned threads end."""
        self._never.set()

    def is_initialized(self) -> bool:
        return self.up

    def init(self, *_: Any, **__: Any) -> None:
        self.up = True

    def shutdown(self) -> None:
        self._ask("shutdown")
        self.up = False

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "1")

    def nodes(self) -> list[dict[str, Any]]:
        self._ask("nodes")
        return [{"NodeID": "1", "Alive": True, "Resources": {"CPU": 1.0}}]

    def available_resources(self) -> dict[str, float]:
        self._ask("available_resources")
        return {"CPU": 1.0}

    def remote(self, **_: Any) -> Callable[[type], Any]:
        def start(*_: Any) -> Actor:
            self._ask("remote")
            return Actor()

        return lambda _: SimpleNamespace(remote=start)

    def wait(
        self, refs: list[Ref], num_returns: int = 1, timeout: float = 0
    ) -> tuple[list[Ref], list[Ref]]:
        self._ask("wait")
        until = time.monotonic() + timeout
        while not (ready := [r for r in refs if r.answer][:num_returns]):
            if time.monotonic() >= until:
                break
            time.sleep(0.01)
        return ready, [r for r in refs if r not in ready]

    def get(self, ref: Ref) -> Any:
        self._ask("get")
        return ref.answer[0]

    def put(self, value: Any) -> Any:
        self._ask("put")
        return value

    def kill(self, _: Actor) -> None:
        self._ask("kill")


@contextmanager
def fake_ray(patch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    """Put the fake in the place of Ray."""
    from hpsearch.cluster import connection, executor

    fake = FakeRay()
    for module in (connection, executor):
        patch.setattr(module, "ray", fake)
    patch.setattr(connection, "_daemon", lambda _: SimpleNamespace(info={"status": "sleeping"}))
    yield fake
    fake.end()
