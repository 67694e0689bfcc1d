"""Which trials a study hands over: export takes the first of them, confirm the first few."""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.paths import StudyFolder
from hpsearch.samplers.merit import by_merit
from hpsearch.samplers.prior import read_prior
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.study.config import StudyConfig
from hpsearch.trial import TrialRecord


def handed_over(
    folder: StudyFolder, config: StudyConfig, trials: Sequence[TrialRecord]
) -> list[TrialRecord]:
    """Return the trials that can be handed over, the best first; see `by_merit`.

    Raises:
        InputError: The folder's space or prior cannot be read.
    """
    space = SearchSpace.from_yaml(folder.space_file)
    problem = SearchProblem(space, config.recipe, config.limits)
    return by_merit(problem, config.sampler, trials, read_prior(folder.prior))
