"""A Ray cluster of which one process may stop to answer: head, daemon, or the network between.

Nothing here waits for it without a limit, and Ctrl-C and SIGTERM end each wait. Imported only when
a study chooses Ray.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.job_config import JobConfig

from hpsearch.cluster.loopback import on_the_loopback
from hpsearch.errors import EnvironmentFailure, InputError, shortened
from hpsearch.execution.local import SILENCE_S, STEP_TIMEOUT_S
from hpsearch.waiting import Caught, Interrupted, Patience

T = TypeVar("T")
ANSWER_S = 20.0
"""How long the cluster may take to answer; after 60 s Ray would end this process."""
SHUTDOWN_S = 10.0
"""How long Ray may take to end its processes on this machine."""
CANNOT = (ConnectionError, RuntimeError, ValueError, OSError)
"""What Ray raises where it cannot be started or reached."""


@dataclass(frozen=True)
class RaySettings:
    """The resources that a study asks of the cluster.

    Args:
        workers: Trials at once; None uses the whole cluster.
        device: "cpu", "cuda", or "auto": CUDA where a node of the cluster has a GPU.
        cpu: Cores of each trial, also a fraction; None is 1.
        gpu: GPUs of each trial, also a fraction; None is 1 on CUDA, else 0.
        address: Address of a running cluster ("auto" finds one on this machine); None starts one
            on this machine that ends with the search.
        silence_s: A worker that gives no sign of life for this time is killed; its trial is lost.
        step_timeout_s: So is one that takes no step for this time.
    """

    workers: int | None = None
    device: str = "auto"
    cpu: float | None = None
    gpu: float | None = None
    address: str | None = None
    silence_s: float = SILENCE_S
    step_timeout_s: float = STEP_TIMEOUT_S

    def device_and_needs(self, nodes: list[dict[str, float]]) -> tuple[str, dict[str, float]]:
        """Return the device, and one trial's resources by Ray's names, for a cluster's nodes."""
        device = self.device
        if device == "auto":
            wanted = self.gpu is None or self.gpu > 0
            device = "cuda" if wanted and any(node.get("GPU") for node in nodes) else "cpu"
        gpu = 0.0 if device == "cpu" else 1.0 if self.gpu is None else self.gpu
        needs = {"CPU": 1.0 if self.cpu is None else self.cpu, "GPU": gpu}
        return device, {name: n for name, n in needs.items() if n > 0}


class Cluster:
    """The cluster that this process is connected to."""

    def __init__(self, caught: Caught) -> None:
        """Store which node of the cluster this process runs on.

        Args:
            caught: The interrupts so far; they end every wait.
        """
        self.dead = False
        self._caught = caught
        # The workers answer through the daemon although the head does not.
        self._head, self._daemon = (
            Patience(interrupted=lambda: caught.count, limit_s=ANSWER_S) for _ in range(2)
        )
        self._own = ray.get_runtime_context().get_node_id()

    def ask(self, question: Callable[[], T]) -> T:
        """Return the answer to a question that needs the cluster's head.

        Raises:
            EnvironmentFailure: No answer came in time.
            Interrupted: Ctrl-C came first; the cluster counts as dead.
        """
        return self._answer(self._head, "head", question)

    def fetch(self, question: Callable[[], T]) -> T:
        """Return the answer to a question that needs the daemon on this machine; see `ask`."""
        return self._answer(self._daemon, "daemon on this machine (raylet)", question)

    def _answer(self, patience: Patience, who: str, question: Callable[[], T]) -> T:
        try:
            answer = patience.call(lambda: [question()], f"Ray's {who} does not answer")
        except Interrupted:
            self.dead = True
            raise
        except Exception as error:
            if type(error).__name__ not in ("RpcError", "ConnectionError", "TimeoutError"):
                raise
            answer = None
        if answer is None:
            raise self._lost(f"its {who} has not answered for {patience.limit_s:g} s")
        return answer[0]

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
        """Disconnect; of a dead cluster only the processes on this machine are ended."""
        failure = sys.exc_info()[1]
        if not self._shut_down():
            _abandon(self._caught, getattr(failure, "exit_code", 1 if failure else 0))

    def _shut_down(self) -> bool:
        """Disconnect properly; return whether that succeeded."""
        try:
            if not self.dead:  # Ray's shutdown waits for the head without a limit
                self.nodes()
        except (EnvironmentFailure, Interrupted):
            return False
        daemon = _daemon(ray._private.worker._global_node)
        if self.dead or daemon is None or daemon.info["status"] == "stopped":
            return False
        down = threading.Thread(target=ray.shutdown, daemon=True)
        down.start()
        down.join(SHUTDOWN_S)
        return not down.is_alive()


def connect(settings: RaySettings, caught: Caught) -> bool:
    """Connect to Ray unless this process is connected already; return whether it was not.

    Raises:
        InputError: There is no cluster at the address.
        EnvironmentFailure: Ray cannot be started on this machine.
        Interrupted: Ctrl-C or SIGTERM came first.
    """
    if ray.is_initialized():
        return False
    if settings.address is not None:
        _join(settings.address, caught)
        return True
    cores = settings.workers and max(1, math.ceil(settings.workers * (settings.cpu or 1.0)))
    try:
        with on_the_loopback(), _interruptible(caught):  # nobody else takes part in this cluster
            _init("local", include_dashboard=False, _node_ip_address="127.0.0.1", num_cpus=cores)
    except CANNOT as error:
        raise EnvironmentFailure(
            f"executor: ray: cannot be started here ({shortened(error, 200)})"
        ) from error
    return True


def _init(address: str, **options: Any) -> bool:
    options |= {"log_to_driver": False, "logging_level": logging.ERROR}
    ray.init(address, job_config=_InstalledCode(), **options)
    return True


def _join(address: str, caught: Caught) -> None:
    """Connect to a cluster in a thread: Ray hears no signal while it waits for the head."""
    logging.getLogger("ray").setLevel(logging.ERROR)  # it would say that it hears none
    patience, silent = Patience(interrupted=lambda: caught.count), f"{address} does not answer"
    try:
        if not patience.call(lambda: _init(address), f"the Ray cluster at {silent}"):
            raise ConnectionError(silent)
    except Interrupted as stop:
        _abandon(caught, stop.exit_code)
        raise
    except CANNOT as error:
        if patience.lost:
            _abandon(caught, InputError.exit_code)
        raise InputError(
            f"--address {address}: no Ray cluster can be reached there ({shortened(error, 200)}); "
            "start one with `ray start --head`, or leave the address out"
        ) from error


class _InstalledCode(JobConfig):
    """A Ray job whose processes import installed packages, never the current folder."""

    def _runtime_env_has_working_dir(self) -> bool:
        return True  # otherwise Ray puts the current folder first


@contextlib.contextmanager
def _interruptible(caught: Caught) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the start of Ray; put back the handlers that Ray replaces."""
    main = threading.current_thread() is threading.main_thread()
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM) if main}
    if main:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:  # Ray turns SIGTERM into SystemExit
        interrupt = isinstance(stop, KeyboardInterrupt)
        caught.note(signal.SIGINT if interrupt else signal.SIGTERM)
        _abandon(caught, Interrupted.exit_code)
        raise Interrupted("stopped; Ray was starting") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _daemon(node: Any) -> Any:
    """Return Ray's daemon on this machine (raylet) as a process of psutil; None if it has died."""
    import psutil  # type: ignore[import-untyped]

    process: Any
    for process in psutil.process_iter(["name", "cmdline", "status"]):
        words = process.info["cmdline"] or ()
        if process.info["name"] == "raylet" and any(node.raylet_socket_name in w for w in words):
            return process
    return None


def _abandon(caught: Caught, code: int) -> None:
    """Let this process end without unloading Ray.

    Ray's own shutdown would wait for the head, and unanswered requests would crash the process.

    Args:
        caught: The interrupts so far; the last one decides the exit code.
        code: The exit code where there is none.
    """
    atexit.unregister(ray.shutdown)
    atexit.register(_end_at_once, caught, code)


def _end_at_once(caught: Caught, code: int) -> None:
    """End this process and Ray's own on this machine.

    The head's and the daemon's end come last: Ray ends this process with exit code 1 after them.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    node: Any = ray._private.worker._global_node
    ours: list[int] = []
    with contextlib.suppress(Exception):  # one ends meanwhile, or Ray has not started any
        ours += [one.process.pid for kind in node.all_processes.values() for one in kind]
        if ours and (daemon := _daemon(node)) is not None:
            # Its own processes would tell the head of the end, and wait a minute for the answer.
            ours = [child.pid for child in daemon.children(recursive=True)] + ours
    for pid in ours:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    os._exit(caught.exit_code or code)
