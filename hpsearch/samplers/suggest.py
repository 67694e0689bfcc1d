"""Suggest the next trial: a pure function of the problem, the history, the seed and the number.

Identical inputs give an identical suggestion in any process. Must not know drivers and databases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from hpsearch.errors import InputError
from hpsearch.samplers import BLIND, Observation, Sampler, SamplerConfig, make_sampler, observe
from hpsearch.samplers.config import CUBIC, EXPECTS, GP_LIMIT
from hpsearch.samplers.prior import Prior
from hpsearch.seeding import derive_seed
from hpsearch.space.nearest import nearest_feasible
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import TrialRecord, Value

SEQUENCES = ("sobol", "recentred", "around")
REDRAWS = 64
"""Attempts before a proposal is moved to the nearest configuration within the limits."""
LAST_DRAWS = 4096
"""Random draws after which the space counts as exhausted."""
NEIGHBOURHOOD = (0.01, 0.3)
"""Standard deviation of the first and of the last perturbation, as a share of each range."""


class SpaceExhaustedError(InputError):
    """Every configuration within the limits has been tried."""


def suggest(
    problem: SearchProblem,
    sampler: SamplerConfig,
    history: Sequence[TrialRecord],
    seed: int,
    n: int,
    prior: Prior | None = None,
) -> dict[str, Value]:
    """Return the parameters of trial `n`: feasible, and different from every trial in the history.

    Args:
        problem: The space, the base configuration and the limits.
        sampler: The study's sampler, and how many settled trials it needs before it proposes.
        history: All trials so far, running and paused ones too.
        seed: The study's seed.
        n: The new trial's number.
        prior: Trials of another study.

    Raises:
        SpaceExhaustedError: Every configuration within the limits has been tried.
    """
    taken = {problem.key(trial.params) for trial in history}
    if prior is not None:
        taken |= prior.keys(problem)

    def acceptable(params: dict[str, Value]) -> bool:
        return problem.key(params) not in taken and problem.over_limits(params) is None

    def seed_of(attempt: int) -> int:
        return derive_seed(seed, "suggest", n, attempt)

    if prior is not None and prior.first is not None and acceptable(dict(prior.first)):
        return dict(prior.first)
    acting = choose_sampler(problem, sampler, history, prior)
    chosen = informed_sampler(problem, acting, history, n, prior)
    proposal: dict[str, Value] = {}
    for attempt in range(min(chosen.redraws, REDRAWS)):
        sequence = derive_seed(seed, "sobol", attempt)  # one for all trials, so that they spread
        proposal = chosen.draw(sequence if acting.name in SEQUENCES else seed_of(attempt))
        if acceptable(proposal):
            return proposal
    for attempt in range(chosen.redraws, REDRAWS):
        params = _perturb(problem, proposal, attempt / REDRAWS, seed_of(attempt))
        if acceptable(params):
            return params
    return _last_resort(problem, proposal, acceptable, seed_of)


def choose_sampler(
    problem: SearchProblem,
    sampler: SamplerConfig,
    history: Sequence[TrialRecord],
    prior: Prior | None = None,
) -> SamplerConfig:
    """Return the sampler that proposes the next trial: the start, the study's own, or tpe.

    The start proposes until enough trials are settled and two of them differ in value. tpe takes
    over from a Gaussian process when there are too many trials for it.

    Args:
        problem: The space, the base configuration and the limits.
        sampler: The study's sampler.
        history: All trials so far.
        prior: Trials of another study.
    """
    if sampler.name in BLIND:
        return sampler
    start = SamplerConfig(name=sampler.start)
    settled = sum(trial.settled for trial in history)
    known = prior.trials if prior is not None and prior.same else ()
    if settled + len(known) < sampler.startup_trials:
        return start
    trials = [*history, *known]
    told = [t for t in trials if t.trainable and problem.has_all(t.params)]
    values = {t.value for t in told if t.state in ("complete", "pruned", "paused")}
    values = {v for v in values if v is not None and math.isfinite(v)}
    if len(values) < 2 or not problem.free:
        return start  # nothing to learn from yet
    if sampler.name in CUBIC and settled > GP_LIMIT:
        return SamplerConfig(name="tpe", startup_trials=sampler.startup_trials)
    if sampler.name in EXPECTS and not _teaches(problem, history, prior if known else None):
        return start  # of the trained ones no two differ
    return sampler


def _teaches(problem: SearchProblem, history: Sequence[TrialRecord], prior: Prior | None) -> bool:
    """Return whether a belief can learn from trials; it passes over starts that were scored."""
    from hpsearch.belief import Belief
    from hpsearch.belief.evidence import from_history

    if prior is None:  # far cheaper than observations
        return Belief.possible(from_history(problem, history, lambda _: 1))
    from hpsearch.samplers.bayes import evidence

    return Belief.possible(evidence(problem, _observed(problem, history, prior)))


def _observed(
    problem: SearchProblem, history: Sequence[TrialRecord], prior: Prior | None
) -> list[Observation]:
    """Return the observations of a history and of a prior of the same problem."""
    observations = observe(problem, history)
    if prior is None or not prior.same:
        return observations
    return [*observe(problem, prior.trials), *observations]


def informed_sampler(
    problem: SearchProblem,
    acting: SamplerConfig,
    history: Sequence[TrialRecord],
    n: int,
    prior: Prior | None,
) -> Sampler:
    """Return the sampler, fitted to the history and to a prior of the same problem."""
    if acting.name in BLIND:
        first = next((t for t in history if not t.added), None)
        known = (
            first is not None
            and first.trainable
            and first.state != "failed"
            and problem.has_all(first.params)
        )
        return make_sampler(acting, problem, [], n, first.params if first and known else None)
    return make_sampler(acting, problem, _observed(problem, history, prior), n)


def _perturb(
    problem: SearchProblem, params: dict[str, Value], progress: float, seed: int
) -> dict[str, Value]:
    """Move a proposal a little; by more as more attempts have failed (`progress`, 0 to 1)."""
    near, far = NEIGHBOURHOOD
    width = near * (far / near) ** progress
    shares = np.asarray(problem.cube.shares(params))
    moved = shares + np.random.default_rng(seed).normal(0.0, width, len(shares))
    reflected = 1.0 - np.abs(1.0 - np.abs(moved))
    return problem.cube.params(np.clip(reflected, 0.0, 1.0).tolist())


def _last_resort(
    problem: SearchProblem,
    proposal: dict[str, Value],
    acceptable: Callable[[dict[str, Value]], bool],
    seed_of: Callable[[int], int],
) -> dict[str, Value]:
    """Move the proposal to the nearest point within the limits, else draw at random."""
    projected = proposal if problem.space.forbidden else nearest_feasible(problem, proposal)
    if acceptable(projected):
        return projected
    random = make_sampler(SamplerConfig(name="random"), problem, [], 0)
    for attempt in range(REDRAWS, REDRAWS + LAST_DRAWS):
        params = random.draw(seed_of(attempt))
        if acceptable(params):
            return params
    raise SpaceExhaustedError(
        f"search space {problem.space.name}: no configuration left that was not tried; widen a "
        "range"
    )
