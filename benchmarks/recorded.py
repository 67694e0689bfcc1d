"""Recorded replays: `python -m benchmarks.recorded SETUP... [--tables NAME...] [--seeds N]`.

`make bench-search` replays the default and random search; what it compares them with is recorded
once and committed, one file a table in `benchmarks/replays/`. The command goes on where it
stopped: what a file holds is not replayed again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cells import Source, run_cell
from benchmarks.setups import OWN, known
from benchmarks.yardstick import JUDGING, Judged
from hpsearch.errors import InputError
from hpsearch.paths import write_atomically
from hpsearch.provenance import software

FOLDER = Path("benchmarks/replays")


class Recorded:
    """The recorded replays of one table."""

    def __init__(self, source: Source, folder: Path | None = None) -> None:
        """Read them; there are none where no file is.

        Raises:
            InputError: They are of another surrogate, table, space or study.
        """
        self.path = (folder or FOLDER) / f"{source.name}.json"
        problem = source.digest()
        self._held: dict[str, Any] = {"problem_sha256": problem, "setups": {}}
        if self.path.exists():
            self._held = json.loads(self.path.read_bytes())
        if self._held["problem_sha256"] != problem:
            raise InputError(
                f"{self.path}: problem_sha256: the replays are of another {source.name}; delete "
                "the file and record them anew"
            )

    def searches(self, seeds: Sequence[int]) -> dict[str, Judged]:
        """Return what was judged under the given seeds, by set-up and seed."""
        every = {name: self.seeds(name) for name in self._held["setups"]}
        found = {n: {s: runs[s] for s in seeds if s in runs} for n, runs in every.items()}
        return {name: runs for name, runs in found.items() if runs}

    def origin(self, name: str) -> dict[str, Any]:
        """Return the command and the commit that a set-up was recorded by."""
        return {key: self._held["setups"][name][key] for key in ("command", "commit")}

    def seeds(self, name: str) -> dict[int, dict[str, Any]]:
        """Return what was judged of a set-up, by seed."""
        held = self._held["setups"].get(name, {"seeds": {}})["seeds"]
        return {int(seed): judged for seed, judged in held.items()}

    def add(
        self, name: str, seed: int, judged: Mapping[str, Any], origin: Mapping[str, Any]
    ) -> None:
        """Keep one replay, and where the set-up's replays come from."""
        held = self._held["setups"].setdefault(name, {**origin, "seeds": {}})
        held["seeds"][str(seed)] = judged
        self._held["setups"] = dict(sorted(self._held["setups"].items()))
        self.path.parent.mkdir(exist_ok=True)
        write_atomically(self.path, _text(self._held))


def _text(held: Mapping[str, Any]) -> str:
    """Return JSON with a line for each replay, so that a change shows which."""
    parts = []
    for name, setup in held["setups"].items():
        about = {key: value for key, value in setup.items() if key != "seeds"}
        lines = ",\n".join(f'"{s}": {json.dumps(row)}' for s, row in setup["seeds"].items())
        parts.append(f'{json.dumps(name)}: {json.dumps(about)[:-1]}, "seeds": {{\n{lines}\n}}}}')
    setups = ",\n".join(parts)
    digest = json.dumps(held["problem_sha256"])
    return f'{{"problem_sha256": {digest},\n"setups": {{\n{setups}\n}}}}\n'


def main() -> None:
    """Record the set-ups, table by table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("setups", nargs="+", choices=list(known()), metavar="SETUP")
    parser.add_argument("--tables", nargs="+", choices=list(OWN), default=list(OWN))
    parser.add_argument(
        "--seeds", type=int, default=len(JUDGING), help="the first of the judging seeds"
    )
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in options.setups:
        for table in options.tables:
            record(name, table, JUDGING[: options.seeds])


def record(name: str, table: str, seeds: Sequence[int]) -> None:
    """Replay a set-up on a table under the seeds that are not recorded yet."""
    way, source = known()[name], OWN[table]
    origin = {
        "setup": way.to_json(),
        "command": f"python -m benchmarks.recorded {name} --tables {table} --seeds {len(seeds)}",
        "commit": software()["commit"],
    }
    for seed in seeds:
        if seed not in Recorded(source).seeds(name):
            judged = run_cell(source, way, seed)["handed_over"]
            # Read anew: another process may have added to it.
            Recorded(source).add(name, seed, judged, origin)
            sys.stdout.write(f"{table}: {name}: seed {seed}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
