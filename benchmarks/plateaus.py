"""Searches where curves stay at chance first: `python -m benchmarks.plateaus [SETUP...]`.

The recorded tables hold curves that fall from the first epoch on. Networks that start badly, as
the paper's does, stay at chance for a while. Here that is planted: five parameters, a final error
that depends on them, and an error of 0.9 until an epoch that depends on a parameter, on luck, or
is the same for all. What the search would hand over is judged by its error without noise.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.cells import FOREIGN
from benchmarks.pick import SHARES, judge
from benchmarks.replay import Problem, Setup
from benchmarks.setups import RANDOM, default_name, setups
from benchmarks.surrogate import Answer
from benchmarks.yardstick import DEVELOPING, JUDGING, mean_interval
from hpsearch.seeding import derive_seed, generator
from hpsearch.space.limits import Limits
from hpsearch.space.space import SearchSpace
from hpsearch.study.config import Budget
from hpsearch.trial import Value

NAMES = ("a", "b", "c", "d", "e")
SPACE = SearchSpace.model_validate(
    {"name": "plateaus", "parameters": {n: {"type": "float", "low": 0, "high": 1} for n in NAMES}}
)
EPOCHS, CHANCE = 20, 0.9
LOWEST, RISE = 0.1, 2.0
"""The best final error, and how fast others rise with the squared distance from the best place."""
FALL = 3.0
"""Epochs in which a curve falls by a factor of e, once it falls."""
EPOCH_NOISE, SEED_NOISE = 0.02, 0.01
TRAININGS = 20.0
"""The budget: the time of as many whole trials."""
NEVER = 0.4
"""Share of the configurations that never fall, where some do not."""

Starts = Callable[[Mapping[str, Value], np.random.Generator], float]
KINDS: dict[str, Starts] = {
    "at once": lambda params, rng: 0.0,  # noqa: ARG005
    "all alike": lambda params, rng: 8.0,  # noqa: ARG005
    "by a parameter": lambda params, rng: 4 + 8 * float(params["a"]),  # noqa: ARG005
    "by luck": lambda params, rng: rng.uniform(4, 12),  # noqa: ARG005
    "some never": lambda params, rng: math.inf if float(params["b"]) < NEVER else 4.0,  # noqa: ARG005
}
"""The epoch after which curves fall."""


@dataclass(frozen=True)
class Planted:
    """A planted problem; another best place under each seed.

    Args:
        kind: Of `KINDS`.
        seed: Of the problem.
    """

    kind: str
    seed: int
    epochs: int = EPOCHS

    @cached_property
    def best(self) -> dict[str, float]:
        """Where the final error is lowest."""
        places = generator(self.seed, "best").uniform(0.2, 0.8, len(NAMES)).tolist()
        return dict(zip(NAMES, places, strict=True))

    def curve(self, params: Mapping[str, Value], begins: float) -> list[float]:
        """Return the error after each epoch, without noise."""
        far = sum((float(params[n]) - place) ** 2 for n, place in self.best.items())
        final = LOWEST + (CHANCE - LOWEST) * (1 - math.exp(-RISE * far))
        fallen = [math.exp(-max(e - begins, 0.0) / FALL) for e in range(1, EPOCHS + 1)]
        return [final + (CHANCE - final) * share for share in fallen]

    def answer(self, params: Mapping[str, Value], seed: int) -> Answer:
        """Return what a trial says."""
        rng = generator(seed, "trial")
        curve = self.curve(params, KINDS[self.kind](params, rng))
        shift = rng.normal(0, SEED_NOISE)
        errors = [e + shift + rng.normal(0, EPOCH_NOISE) for e in curve]
        seconds = tuple(float(e) for e in range(1, EPOCHS + 1))
        return Answer(tuple(errors), seconds, diverged=False, truth=tuple(curve))


def picks(kind: str, setup: Setup, seed: int, trainings: float = TRAININGS) -> list[float]:
    """Return the pick's error without noise at each of `SHARES` of the budget."""
    problem = Problem(SPACE, FOREIGN, Limits(), Planted(kind, seed))
    seconds = EPOCHS * trainings
    study_seed = derive_seed(seed, "replay") % 2**32
    trace = setup.run(problem, study_seed, Budget(hours=seconds / 3600))
    judged = judge(trace.looks, trace.truths, setup.pick(problem), {}, seconds)
    return [judged["pick_error"][share] for share in SHARES]


def main(arguments: Sequence[str] | None = None) -> None:
    """Replay, and print a row for each kind and set-up."""
    known = setups()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("setups", nargs="*", default=[default_name(), RANDOM], metavar="SETUP")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--developing", action="store_true", help="seeds to choose settings with")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.setups if name not in known]:
        parser.error(f"{', '.join(unknown)}: no such set-up; known: {', '.join(known)}")
    os.environ["OMP_NUM_THREADS"] = "1"
    seeds = (DEVELOPING if given.developing else JUDGING)[: given.seeds]
    shares = " | ".join(f"pick after {float(s):g} of it" for s in SHARES)
    sys.stdout.write(f"| curves fall | set-up | {shares} |\n{'| --- ' * (2 + len(SHARES))}|\n")
    for kind in given.kinds:
        for name in given.setups:
            found = np.array([picks(kind, known[name], seed) for seed in seeds])
            told = [mean_interval(column, 3) for column in found.T]
            cells = [f"{t['mean']:.3f} [{t['low']:.3f}, {t['high']:.3f}]" for t in told]
            sys.stdout.write(f"| {' | '.join([kind, name, *cells])} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
