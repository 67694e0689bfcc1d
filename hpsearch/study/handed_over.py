"""Which trials a study hands over: export takes the first of them, confirm the first few."""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.paths import StudyFolder
from hpsearch.samplers.config import EXPECTS
from hpsearch.samplers.merit import by_merit, expected_errors
from hpsearch.samplers.prior import read_prior
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.study.config import StudyConfig
from hpsearch.trial import TrialRecord

FEWEST = 10
"""Ended or paused trials below which the lowest error counts: a model of so few says little."""


def handed_over(
    folder: StudyFolder, config: StudyConfig, trials: Sequence[TrialRecord]
) -> list[TrialRecord]:
    """Return the trials that can be handed over, the best first; see `by_merit`.

    Raises:
        InputError: The sampler has a model, and the folder's space or prior cannot be read.
    """
    few = sum(trial.settled for trial in trials) < FEWEST
    if few or config.sampler.name not in EXPECTS:
        return by_merit(trials, {})
    space = SearchSpace.from_yaml(folder.space_file)
    unit = config.pruner.resource
    problem = SearchProblem(space, config.recipe, config.limits, unit=unit)
    prior = read_prior(folder.prior)
    return by_merit(trials, expected_errors(problem, config.sampler, trials, prior))
