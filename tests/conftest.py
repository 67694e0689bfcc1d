"""For every test: a cache that is not the user's, no downloads, and Omniglot where it is named."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def session_cache() -> Iterator[Path]:
    """Point the cache into a temporary folder, and let nothing be downloaded.

    A cache that lies among the temporary files already (.ci/run makes one) is taken; any other
    one is the user's.
    """
    with tempfile.TemporaryDirectory(prefix="hpsearch-tests-") as own:
        given = os.environ.get("HPSEARCH_CACHE")
        temporary = Path(tempfile.gettempdir()).resolve()
        taken = given and Path(given).resolve().is_relative_to(temporary)
        folder = Path(given if given and taken else own)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HPSEARCH_CACHE", str(folder))
            patch.setenv("HPSEARCH_OFFLINE", "1")
            yield folder


@pytest.fixture(scope="session")
def omniglot_path() -> Path:
    """Return the folder of Omniglot's zips; where none is named, the test is skipped.

    Of the session, so that it reads HPSEARCH_DATA before a test's own fixtures forget it.
    """
    named = os.environ.get("HPSEARCH_DATA")
    if not named:
        pytest.skip("HPSEARCH_DATA names no Omniglot")
    return Path(named)
