"""Questions to a Ray cluster, each with a time limit.

A cluster whose head has died does not answer, and after a minute Ray ends this process with exit
code 1. So each question gives up before. Imported only when a study chooses Ray.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import ray

from hpsearch.errors import EnvironmentFailure

T = TypeVar("T")
ANSWER_S = 20.0
"""How long the cluster may take to answer; after 60 s Ray would end this process."""


class Cluster:
    """The cluster that this process is connected to."""

    def __init__(self) -> None:
        """Store which node of the cluster this process runs on."""
        self.dead = False
        self._own = ray.get_runtime_context().get_node_id()

    def ask(self, question: Callable[[], T]) -> T:
        """Return the answer to a question that needs the cluster's head.

        Raises:
            EnvironmentFailure: No answer came in time.
        """
        answers: list[T] = []
        errors: list[BaseException] = []

        def put() -> None:
            try:
                answers.append(question())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=put, daemon=True)
        thread.start()
        thread.join(ANSWER_S)
        if answers:
            return answers[0]
        if errors and not _unreachable(errors[0]):
            raise errors[0]
        raise self._lost(f"its head has not answered for {ANSWER_S:g} s")

    def nodes(self) -> list[dict[str, Any]]:
        """Return Ray's description of every live node.

        Raises:
            EnvironmentFailure: This process's own node is not among them.
        """
        found: list[dict[str, Any]] = self.ask(ray.nodes)
        alive = [node for node in found if node["Alive"]]
        if all(node["NodeID"] != self._own for node in alive):
            raise self._lost("its daemon on this machine (raylet) has died")
        return alive

    def _lost(self, why: str) -> EnvironmentFailure:
        self.dead = True
        return EnvironmentFailure(
            f"executor: ray: the cluster is lost: {why}; trials keep their checkpoints; start the "
            "cluster again if it is yours, then run the same command again"
        )

    def leave(self) -> None:
        """Disconnect; of a dead cluster only the processes on this machine are ended.

        Ray's own shutdown would wait for the head, and crash if Python ended meanwhile.
        """
        if not self.dead:
            ray.shutdown()
            return
        atexit.unregister(ray.shutdown)
        atexit.register(_end_at_once)
        node = ray._private.worker._global_node
        if node is not None:
            node.kill_all_processes(check_alive=False, allow_graceful=False)


def _end_at_once() -> None:
    """End this process without unloading Ray: its unanswered requests would crash the process."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(EnvironmentFailure.exit_code)


def _unreachable(error: BaseException) -> bool:
    """Return whether an error of Ray means that its head did not answer."""
    return type(error).__name__ in ("RpcError", "ConnectionError", "TimeoutError")
