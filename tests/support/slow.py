"""Which cases of a parametrised test are slow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def rest_slow(cases: Iterable[Any], quick: int = 1) -> list[Any]:
    """Return the cases for `parametrize`; all but the first are run by `make test-slow` only.

    Args:
        cases: The cases.
        quick: How many are quick; below 0, how many are not.
    """
    cases = list(cases)
    quick = quick if quick >= 0 else len(cases) + quick
    return [
        case if number < quick else pytest.param(case, marks=pytest.mark.slow)
        for number, case in enumerate(cases)
    ]
