"""Real workers on a tiny training, and every executor there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpsearch.data import find_dataset
from hpsearch.execution import Executor
from hpsearch.execution.local import LocalExecutor

from .tiny import Jobs

MakeExecutor = Callable[[int], Executor]

EXECUTORS: dict[str, Callable[[int, Path], Executor]] = {
    "local": lambda slots, logs: LocalExecutor(slots, threads=1, log_folder=logs),
}
"""Every executor by name, made from its slots and a folder for logs; a new one joins here."""


@pytest.fixture(scope="session")
def glyphs(session_cache: Path) -> Path:
    """Return the packed folder of glyphs, drawn once."""
    return find_dataset("glyphs").folder


@pytest.fixture
def jobs(glyphs: Path, tmp_path: Path) -> Jobs:
    """Return what makes this test's jobs."""
    return Jobs(glyphs, tmp_path)


@pytest.fixture(scope="module", params=EXECUTORS)
def make_executor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeExecutor]:
    """Return a factory of the executor under test; what it made is closed in the end."""
    made: list[Executor] = []

    def make(slots: int) -> Executor:
        made.append(EXECUTORS[request.param](slots, tmp_path_factory.mktemp("logs")))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


@pytest.fixture(scope="module")
def idle(make_executor: MakeExecutor) -> list[Executor]:
    """Keep the one-slot executor that tests take in turn, so that its worker starts once."""
    return []


@pytest.fixture
def executor(
    make_executor: MakeExecutor, idle: list[Executor], request: pytest.FixtureRequest
) -> Iterator[Executor]:
    """Return an idle executor of one slot; a test leaves it idle, a failed one loses it."""
    failures = request.session.testsfailed
    taken = idle.pop() if idle else make_executor(1)
    yield taken
    if request.session.testsfailed > failures:
        taken.close()
    else:
        idle.append(taken)
