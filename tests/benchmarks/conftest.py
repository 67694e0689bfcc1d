"""The surrogate that several files ask, fitted once."""

from __future__ import annotations

import pytest

from benchmarks.surrogate import Surrogate
from tests.benchmarks.made import SPACE, made_table


@pytest.fixture(scope="session")
def surrogate() -> Surrogate:
    return Surrogate.fit(made_table(), SPACE)
