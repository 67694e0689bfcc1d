"""Every row of the reliability table has a test, or a reason in docs/internals/limits.md."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.reliability_table import ROW

HERE = Path(__file__).parent
ROWS = [
    *(f"L{n}" for n in range(1, 7)),
    *(f"F{n:02}" for n in range(1, 21)),
    *(f"B{n:02}" for n in range(1, 91)),
    *(f"I{n}" for n in range(1, 13)),
    *(f"S{n}" for n in range(1, 15)),
]
POSTGRESQL = {"L2", "F17", "B59", "B60", "B61", "S10", "S11"}
"""Rows about a database server; its storage brings their tests."""
STRUCK = {"B35", "S13"}
"""Rows without a test."""


def rows_with_a_test() -> set[str]:
    """Return the rows that tests are named for, by function, case or break."""
    found: set[str] = set()
    for path in HERE.glob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        names = re.findall(r"def (test_\w+)", text) + re.findall(r'"([FBISL]\d+ [^"]*)"', text)
        for name in names:
            found |= set(ROW.findall(name.replace("_", " ")))
    return found


def test_every_row_has_a_test_or_a_reason() -> None:
    missing = [row for row in ROWS if row not in rows_with_a_test() | POSTGRESQL | STRUCK]
    assert missing == []


def test_struck_rows_are_few_and_have_their_reason() -> None:
    limits = (HERE.parents[1] / "docs" / "internals" / "limits.md").read_text(encoding="utf-8")
    assert len(STRUCK) <= 5
    assert [row for row in STRUCK if row not in limits] == []
    assert not STRUCK & rows_with_a_test()
