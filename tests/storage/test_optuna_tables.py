"""Only `storage/optuna_tables.py` uses the tables and the private names of Optuna's storage."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "hpsearch"
OWNER = PACKAGE / "storage" / "optuna_tables.py"
SQL = re.compile(
    r"\b(FROM|JOIN|INTO|UPDATE)\s+(trials|studies|trial_\w+|study_\w+|hpsearch_leases)\b"
)
PRIVATE = re.compile(
    r"\boptuna\.(storages|study|trial)(\.\w+)*\._\w+"
    r"|\._(trial_id|study_id|contains|get_trials|\w+_without_commit)\b"
)


def private_uses(source: str) -> list[str]:
    """Return what a source holds of Optuna's tables and private names."""
    return [found[0] for pattern in (SQL, PRIVATE) for found in pattern.finditer(source)]


def test_one_module_knows_optunas_tables_and_private_names() -> None:
    found = {
        path.relative_to(PACKAGE): uses
        for path in PACKAGE.rglob("*.py")
        if path != OWNER and (uses := private_uses(path.read_text(encoding="utf-8")))
    }
    assert found == {}
    assert private_uses(OWNER.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "line",
    [
        '"SELECT number FROM trials"',
        '"UPDATE studies SET study_name = ?"',
        '"""\nINSERT INTO\n    study_user_attributes"""',
        "from optuna.storages._rdb import models",
        "import optuna.study._frozen",
        "number = trial._trial_id",
        "distribution._contains(value)",
    ],
)
def test_a_planted_use_is_found(line: str) -> None:
    assert private_uses(line)
    assert not private_uses("from optuna.trial import FrozenTrial  # from trials of a study")
