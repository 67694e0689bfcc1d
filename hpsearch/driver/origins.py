"""Names the sampler that proposes a trial, as the database keeps it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hpsearch.samplers.config import GP_LIMIT
from hpsearch.samplers.suggest import choose_sampler
from hpsearch.study.plan import StudyPlan
from hpsearch.trial import TrialRecord


class Origins:
    """The origins of one driver's trials."""

    def __init__(self, plan: StudyPlan, tell: Callable[[str], None]) -> None:
        """Start with the study's own sampler.

        Args:
            plan: The study.
            tell: Shows a one-line message.
        """
        self._plan, self._tell = plan, tell
        self._handed_over = False

    def name(self, history: Sequence[TrialRecord]) -> str:
        """Return the name of the sampler that decides now; say once that another takes over."""
        own, plan = self._plan.config.sampler, self._plan
        name = choose_sampler(plan.problem, own, history, plan.prior).name
        if name not in (own.name, own.start) and not self._handed_over:
            self._handed_over = True
            self._tell(
                f"{own.name} hands over to {name}: above {GP_LIMIT} finished trials a Gaussian "
                "process takes longer than it is worth"
            )
        return name
