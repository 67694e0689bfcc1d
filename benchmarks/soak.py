"""An hour of everything: drills with new seeds, fuzzing, a fault at every write, in turn.

`make soak MINUTES=60`. Ends at the first thing that goes wrong.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator

ROUNDS = (
    ["-m", "benchmarks.drill", "--kills", "40"],
    ["-m", "benchmarks.fuzz", "--seconds", "20"],
    [
        "-m",
        "pytest",
        "-q",
        "--timeout",
        "3600",
        "tests/reliability/test_writes.py",
        "tests/reliability/test_loads.py",
    ],
)


def rounds() -> Iterator[tuple[int, list[str]]]:
    """Yield what is to be run, each round with another seed."""
    seed = int(time.time()) % 100_000
    while True:
        for command in ROUNDS:
            own = [] if "pytest" in command else ["--seed", str(seed)]
            yield seed, [sys.executable, *command, *own]
        seed += 1


def main() -> int:
    """Run rounds until the time is over; the last line sums up."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=60.0)
    chosen = options.parse_args()
    began = time.monotonic()
    done = 0
    for seed, command in rounds():
        if time.monotonic() - began > 60 * chosen.minutes:
            break
        environment = {**os.environ, "HPSEARCH_LONG": "1"}
        ended = subprocess.run(command, env=environment, check=False)
        if ended.returncode:
            sys.stdout.write(f"WRONG: {' '.join(command[1:])} (seed {seed})\n")
            return 1
        done += 1
    minutes = (time.monotonic() - began) / 60
    sys.stdout.write(f"{done} rounds in {minutes:.0f} minutes, none went wrong\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
