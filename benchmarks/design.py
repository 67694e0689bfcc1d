"""Which configurations a table holds: by trial number, so that recording goes on where it stopped.

Even places are uniform random, odd ones scrambled Sobol points, both over what fits the study's
limits; every eleventh trial repeats an earlier configuration under another seed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import qmc

from hpsearch.seeding import derive_seed, generator
from hpsearch.space.problem import SearchProblem
from hpsearch.study.config import StudyConfig
from hpsearch.trial import Value

REPEAT_EVERY = 11
"""The last of so many trials repeats one of those before it."""
REPEAT_BACK = 5
"""So many trials before it lies the one that is repeated (an even and an odd place in turn)."""


class Design:
    """The trials of a table; each is a pure function of the study and the trial's number."""

    def __init__(self, problem: SearchProblem, config: StudyConfig) -> None:
        """Prepare both sequences; points beyond the limits are passed over."""
        self._problem, self._seed = problem, config.seed
        self._known: dict[bool, list[dict[str, Value]]] = {False: [], True: []}
        self._draws = {False: self._random(), True: self._sobol()}

    def params(self, trial: int) -> dict[str, Value]:
        """Return a trial's parameters."""
        place = self.place(trial)
        sobol, index = bool(place % 2), place // 2
        known = self._known[sobol]
        while len(known) <= index:
            params = self._search_problem.cube.params(next(self._draws[sobol]))
            if self._search_problem.over_limits(params) is None:
                known.append(params)
        return known[index]

    def trial_seed(self, trial: int) -> int:
        """Return the seed a trial is trained under; a repetition has its own."""
        return derive_seed(self._seed, "table", trial) % 2**32

    @staticmethod
    def place(trial: int) -> int:
        """Return a trial's place among the distinct configurations."""
        rounds, within = divmod(trial, REPEAT_EVERY)
        if within == REPEAT_EVERY - 1:
            return rounds * (REPEAT_EVERY - 1) + within - REPEAT_BACK - rounds % 2
        return rounds * (REPEAT_EVERY - 1) + within

    def _random(self) -> Iterator[list[float]]:
        rng = generator(self._seed, "table", "random")
        while True:
            yield rng.random(len(self._search_problem.cube.names)).tolist()

    def _sobol(self) -> Iterator[list[float]]:
        seed = derive_seed(self._seed, "table", "sobol") % 2**32
        sequence = qmc.Sobol(
            len(self._search_problem.cube.names), scramble=True, rng=np.random.default_rng(seed)
        )
        while True:
            yield from sequence.random(64).tolist()
