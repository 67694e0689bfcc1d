"""For every test: folders, a cache that is not the user's, no downloads, suggestions made here."""

from __future__ import annotations

import gc
import hashlib
import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hpsearch.samplers.ask_process import Asker

from .support.asking import AskerHere

if TYPE_CHECKING:
    from tests.support.postgres import Server

    from .support.command_line import CommandLine

ASKING = ("hpsearch.driver.environment", "hpsearch.maintenance.verify")
"""The modules that ask for suggestions."""
MEMORY, ROOM = Path("/dev/shm"), 4 * 2**30
"""Linux's file system in memory, and how much of it must be free, bytes."""

pytest_plugins = ["tests.support.reliability_table", "tests.support.glyph_studies"]


def pytest_configure(config: pytest.Config) -> None:
    """Choose the tests' folders and one cache of data for all of their processes."""
    if hasattr(config, "workerinput"):
        return  # a process of pytest-xdist, which inherits the choice
    _keep_in_memory()
    # One that lies among the temporary files already (.ci/run makes one) is taken; any other one
    # is the user's.
    given = os.environ.get("HPSEARCH_CACHE", "/")
    if not Path(given).resolve().is_relative_to(Path(tempfile.gettempdir()).resolve()):
        own = tempfile.TemporaryDirectory(prefix="hpsearch-tests-")
        os.environ["HPSEARCH_CACHE"] = own.name
        config.add_cleanup(own.cleanup)


def _keep_in_memory() -> None:
    """Keep the tests' folders in memory where there is room: a disk syncs for minutes."""
    if not os.access(MEMORY, os.W_OK) or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return  # some tests run programs that they have written
    if shutil.disk_usage(MEMORY).free > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_finish() -> None:
    """Keep modules and collected tests, which stay, out of every later collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def session_cache() -> Iterator[Path]:
    """Let nothing be downloaded, and return the cache of all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPSEARCH_OFFLINE", "1")
        yield Path(os.environ["HPSEARCH_CACHE"])


@pytest.fixture(scope="session", autouse=True)
def asks_here() -> Iterator[None]:
    """Let searches in this process ask for suggestions here, which saves the helper's start."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ASKING:
            patch.setattr(f"{module}.Asker", AskerHere)
        yield


@pytest.fixture(scope="session", autouse=True)
def migrations_read_once() -> Iterator[None]:
    """Let Alembic read the scripts of Optuna's migrations once, and not with every database."""
    directories = importlib.import_module("alembic.script").ScriptDirectory  # Optuna's own need
    read, known = directories._load_revisions, dict[str, list[object]]()

    def load(directory: Any) -> list[object]:
        if directory.dir not in known:
            known[directory.dir] = list(read(directory))
        return known[directory.dir]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directories, "_load_revisions", load)
        yield


@pytest.fixture
def asks_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this test's searches ask in a helper process, as a person's do."""
    for module in ASKING:
        monkeypatch.setattr(f"{module}.Asker", Asker)


@pytest.fixture(scope="session")
def omniglot_path() -> Path:
    """Return the folder of Omniglot's zips; where none is named, the test is skipped.

    Of the session, so that it reads HPSEARCH_DATA before a test's own fixtures forget it.
    """
    named = os.environ.get("HPSEARCH_DATA")
    if not named:
        pytest.skip("HPSEARCH_DATA names no Omniglot")
    return Path(named)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """Start a PostgreSQL server; where it or its driver is missing, the test is skipped."""
    pytest.importorskip("psycopg", reason="the extra hpsearch[postgres] is not installed")
    from tests.support.postgres import PASSWORD, Server, find_programs

    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    server = Server.start(programs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", PASSWORD)
        yield server
    server.remove()


@pytest.fixture
def postgres(postgres_server: Server, request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty database of this test's own."""
    digest = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    return postgres_server.new_database(f"test_{digest}")


@pytest.fixture
def hpsearch() -> CommandLine:
    """Return the command line, in this process."""
    from .support.command_line import run

    return run
