"""Suggestions made in this process: a search in a test waits for no helper process to start."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.samplers.config import SamplerConfig
from hpsearch.samplers.prior import Prior
from hpsearch.samplers.snapshot import summarise
from hpsearch.samplers.suggest import suggest
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import TrialRecord
from hpsearch.waiting import Patience


class AskerHere:
    """Answers as the helper process does, see `hpsearch.samplers.ask_process`."""

    def __init__(
        self,
        problem: SearchProblem,
        sampler: SamplerConfig,
        seed: int,
        prior: Prior | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._problem, self._sampler, self._seed, self._prior = problem, sampler, seed, prior
        self._history: list[TrialRecord] = []
        self.pending: int | None = None
        self.seen: dict[str, Any] | None = None

    def ask(self, history: Sequence[TrialRecord], n: int) -> None:
        self.pending, self.seen, self._history = n, summarise(history), list(history)

    def answer(self, timeout_s: float) -> dict[str, Any] | None:
        if self.pending is None:
            return None
        n, self.pending = self.pending, None
        try:
            params = suggest(
                self._problem, self._sampler, self._history, self._seed, n, self._prior
            )
        except InputError as error:
            raise InputError(str(error)) from error
        except Exception as error:
            raise EnvironmentFailure(f"the sampler failed: {error}") from error
        answer: dict[str, Any] = json.loads(json.dumps(params))
        return answer

    def close(self) -> None: ...
