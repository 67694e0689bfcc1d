"""Ranks a study's trials as they would be handed over: by what is expected of them, not by luck.

The lowest of many noisy errors is lucky. Where the sampler has a model of final errors, it is
asked as the search asks it; else the observed error counts. Must not know storage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hpsearch.samplers.base import Expects
from hpsearch.samplers.config import EXPECTS, SamplerConfig
from hpsearch.samplers.prior import Prior
from hpsearch.samplers.suggest import choose_sampler, informed_sampler
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import TrialRecord


def by_merit(history: Sequence[TrialRecord], expected: Mapping[int, float]) -> list[TrialRecord]:
    """Return the trials that can be handed over, the best first.

    With a model these are all that are not running, whole or not, by their expected final error;
    a complete trial that it does not model, such as a start that is only scored, stands by its
    own. Without a model, and before it proposes, they are the complete trials, by their error.

    Args:
        history: All trials.
        expected: What `expected_errors` returned.
    """
    merits = {t.number: t.value for t in history if t.state == "complete" and t.value is not None}
    settled = {t.number for t in history if t.settled and t.trainable}
    merits |= {number: error for number, error in expected.items() if number in settled}
    by_number = {t.number: t for t in history}
    return [by_number[n] for n in sorted(merits, key=lambda n: (merits[n], n))]


def expected_errors(
    problem: SearchProblem,
    sampler: SamplerConfig,
    history: Sequence[TrialRecord],
    prior: Prior | None = None,
) -> dict[int, float]:
    """Return the final error expected of each trial, by number; empty without a model.

    A configuration may fail under another seed, although this trial did not: that counts too.
    """
    if sampler.name not in EXPECTS:
        return {}
    acting = choose_sampler(problem, sampler, history, prior)
    model = informed_sampler(problem, acting, history, len(history), prior)
    return model.expected() if isinstance(model, Expects) else {}
