"""Real workers on a tiny training, and every executor there is."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpsearch.execution import Executor
from hpsearch.execution.local import LocalExecutor
from hpsearch.sources.find import find_dataset
from tests.support.jobs import Jobs
from tests.support.programs import CommandJobs, FunctionJobs

MakeExecutor = Callable[[int], Executor]

Make = Callable[[pytest.FixtureRequest, int, Path], Executor]


def make_local(_: pytest.FixtureRequest, slots: int, folder: Path) -> Executor:
    return LocalExecutor(slots, threads=1, log_folder=folder)


def make_ray(request: pytest.FixtureRequest, slots: int, folder: Path) -> Executor:
    request.getfixturevalue("ray_cluster")
    from hpsearch.cluster.executor import RayExecutor, RaySettings

    return RayExecutor(RaySettings(workers=slots), folder)


def make_ray_apart(request: pytest.FixtureRequest, slots: int, folder: Path) -> Executor:
    """A cluster whose nodes see neither the study's folder nor the data."""
    request.getfixturevalue("ray_cluster")
    from hpsearch.cluster.executor import RayExecutor, RaySettings

    class Apart(RayExecutor):
        def _show_folder(self) -> None:
            pass

        def _mark(self, data: Path) -> str:
            return f"apart-{super()._mark(data)}" if data.exists() else ""

    return Apart(RaySettings(workers=slots), folder)


SLOW = pytest.mark.slow
TRAINERS: dict[str, Callable[[pytest.FixtureRequest, Path], Any]] = {
    "siamese": lambda request, folder: Jobs(request.getfixturevalue("glyphs"), folder),
    "command": lambda _, folder: CommandJobs(folder),
    "function": lambda _, folder: FunctionJobs(folder),
}
"""What makes the jobs of every trainer; a new one joins here."""
EXECUTORS: dict[str, Make] = {"local": make_local, "ray": make_ray, "ray-apart": make_ray_apart}
"""Every executor by name, made from its slots and a study's folder; a new one joins here."""


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """Start a Ray cluster: a head without cores, and a node with cores for all idle executors."""
    ray = pytest.importorskip("ray", reason="the extra hpsearch[ray] is not installed")
    importlib.import_module("hpsearch.cluster.executor")  # sets Ray's environment
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "node_ip_address": "127.0.0.2",
            "_system_config": {"health_check_period_ms": 500, "health_check_failure_threshold": 4},
        },
    )
    cluster.add_node(num_cpus=6, node_ip_address="127.0.0.2")
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="session")
def glyphs(session_cache: Path) -> Path:
    """Return the packed folder of glyphs, drawn once."""
    return find_dataset("glyphs").folder


@pytest.fixture
def jobs(request: pytest.FixtureRequest, tmp_path: Path) -> Jobs | CommandJobs:
    """Return what makes the jobs of the trainer that the test is bound to, by default siamese."""
    return TRAINERS[getattr(request, "param", "siamese")](request, tmp_path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Bind the contract to every executor, to that without a shared disk where this matters.

    What is no trainer's own is bound to every trainer.
    """
    if metafunc.definition.get_closest_marker("trainers") is not None:
        metafunc.parametrize("jobs", list(TRAINERS), indirect=True)
    if "make_executor" not in metafunc.fixturenames:
        return
    apart = metafunc.definition.get_closest_marker("shared_disk") is not None
    executors = [
        pytest.param(name, marks=[] if name == "local" else SLOW)
        for name in EXECUTORS
        if name != "ray-apart" or apart
    ]
    metafunc.parametrize("make_executor", executors, indirect=True, scope="module")


@pytest.fixture(scope="module")
def make_executor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeExecutor]:
    """Return a factory of the executor under test; what it made is closed in the end."""
    made: list[Executor] = []

    def make(slots: int) -> Executor:
        made.append(EXECUTORS[request.param](request, slots, tmp_path_factory.mktemp("study")))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


@pytest.fixture(scope="module")
def idle(make_executor: MakeExecutor) -> dict[str, list[Executor]]:
    """Keep each trainer's one-slot executor, so that its worker starts once."""
    return {name: [] for name in TRAINERS}


@pytest.fixture
def executor(
    make_executor: MakeExecutor, idle: dict[str, list[Executor]], request: pytest.FixtureRequest
) -> Iterator[Executor]:
    """Return an idle executor of one slot; a test leaves it idle, a failed one loses it."""
    failures = request.session.testsfailed
    callspec = getattr(request.node, "callspec", None)
    kept = idle[callspec.params.get("jobs", "siamese") if callspec else "siamese"]
    taken = kept.pop() if kept else make_executor(1)
    yield taken
    if request.session.testsfailed > failures:
        taken.close()
    else:
        kept.append(taken)
