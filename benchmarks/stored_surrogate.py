"""Stores a fitted surrogate: `python -m benchmarks.stored_surrogate TABLE --space FILE`.

A fit moves by rounding from one processor to another, so a benchmark that fits anew on every
machine has another goal on each. The stored one is the same everywhere. It holds no table: the
rows of a Gaussian process are read from it.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.metadata
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fitted import fitted_from_json
from benchmarks.surrogate import FIRST, SECOND, Family, Parts, Surrogate, complete_trials
from benchmarks.table import Table, read_space, read_table
from hpsearch.errors import InputError
from hpsearch.paths import write_atomically
from hpsearch.space.space import SearchSpace


def stored_path(table: Path, family: Family = FIRST) -> Path:
    """Return where the surrogate of a table is stored."""
    name = table.name.removesuffix(".gz").removesuffix(".csv")
    return table.with_name(f"{name}{family.suffix}.surrogate.json.gz")


def surrogate_of(
    path: Path, table: Table, space: SearchSpace, family: Family = FIRST
) -> Surrogate:
    """Return the surrogate stored beside a table, or a fit where none is."""
    if stored_path(path, family).exists():
        return load(path, table, space, family)
    return Surrogate.fit(table, space, family)


def save(surrogate: Surrogate, path: Path, family: Family = FIRST) -> Path:
    """Store a table's surrogate and return the file; what is read back answers the same.

    Args:
        surrogate: What was fitted on the table.
        path: The table.
        family: What it is made of.
    """
    parts = surrogate.parts
    text = {
        "table_sha256": _sha256(path),
        "fitted_with": {
            n: importlib.metadata.version(n) for n in ("numpy", "scikit-learn", "scipy")
        },
        "centre": _rows(parts.centre),
        "axes": _rows(parts.axes),
        "noise": _rows(parts.noise),
        "lasted": list(parts.lasted),
        "lowest": parts.lowest.to_json(),
        "scores": [score.to_json() for score in parts.scores],
        "cost": parts.cost.to_json(),
        "divergence": parts.divergence.to_json(),
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in text.items())
    stored = stored_path(path, family)
    write_atomically(stored, gzip.compress(f"{{\n{lines}\n}}\n".encode(), 9, mtime=0))
    return stored


def load(path: Path, table: Table, space: SearchSpace, family: Family = FIRST) -> Surrogate:
    """Read a stored surrogate.

    Args:
        path: The table's file.
        table: The table.
        space: Its space.
        family: What it is made of.

    Raises:
        InputError: The file is damaged, or is of another table.
    """
    stored, features = stored_path(path, family), family.columns(space)
    advice = f"delete it, or run `python -m benchmarks.stored_surrogate {path} --space FILE`"
    try:
        held: dict[str, Any] = json.loads(gzip.decompress(stored.read_bytes()))
        if held["table_sha256"] != _sha256(path):
            raise InputError(
                f"{stored}: table_sha256: was fitted on another {path.name}; {advice}"
            )
        complete = features.matrix([t.params for t in complete_trials(table)])
        everything = features.matrix([t.params for t in table.trials])
        parts = Parts(
            centre=np.array(held["centre"]),
            axes=np.array(held["axes"]),
            noise=np.array(held["noise"]),
            lasted=tuple(held["lasted"]),
            lowest=fitted_from_json(held["lowest"], complete),
            scores=tuple(fitted_from_json(score, complete) for score in held["scores"]),
            cost=fitted_from_json(held["cost"], complete),
            divergence=fitted_from_json(held["divergence"], everything),
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise InputError(f"{stored}: is damaged ({error}); {advice}") from error
    return Surrogate(parts, features)


def _rows(values: np.ndarray[Any, Any]) -> Any:
    return np.round(values, 12).tolist()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Fit a table and store the surrogate beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--space", required=True, help="space of the table")
    parser.add_argument("--second", action="store_true", help="of the second family")
    options = parser.parse_args()
    space, family = read_space(options.space), SECOND if options.second else FIRST
    surrogate = Surrogate.fit(read_table(options.table, space), space, family)
    sys.stdout.write(f"{save(surrogate, options.table, family)}\n")


if __name__ == "__main__":
    main()
