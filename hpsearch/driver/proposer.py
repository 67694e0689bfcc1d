"""Names the sampler that proposed a trial, and tells a person when another takes over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hpsearch.samplers.config import GP_LIMIT
from hpsearch.samplers.suggest import decider
from hpsearch.space.problem import SearchProblem
from hpsearch.study.plan import StudyPlan
from hpsearch.trial import TrialRecord


class Proposer:
    """Who decides on the next trial of a study."""

    def __init__(
        self, plan: StudyPlan, problem: SearchProblem, tell: Callable[[str], None]
    ) -> None:
        """Note the study and how to tell a person."""
        self._sampler, self._prior = plan.config.sampler, plan.prior
        self._problem, self._tell = problem, tell
        self._told = False

    def name(self, history: Sequence[TrialRecord]) -> str:
        """Return the name of the sampler that decides after a history; tell of a handover once."""
        own = self._sampler
        name = decider(self._problem, own, history, self._prior).name
        if name not in (own.name, own.start) and not self._told:
            self._told = True
            self._tell(
                f"{own.name} hands over to {name}: above {GP_LIMIT} finished trials a Gaussian "
                "process takes longer than it is worth"
            )
        return name
