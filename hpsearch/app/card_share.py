"""How many trials share a card, by their estimated memory and work. Imports no torch."""

from __future__ import annotations

from hpsearch.execution.devices import count_cores, find_devices
from hpsearch.space.cost_range import CostRange
from hpsearch.space.resource import TRAINING_PASSES
from hpsearch.study.plan import StudyPlan
from hpsearch.wording import count

CONTEXT_GB = 0.7
"""What CUDA and its libraries hold in each process."""
USABLE = 0.9
"""Share of a card's memory that trials may fill by estimate; workspaces take some of the rest."""
MOST = 4
"""Trials on a card; more are expected to gain little without NVIDIA's MPS."""
FILLING = 1e11
"""Multiply-adds of a step that keep a card busy, so that a second trial gains nothing."""


def largest_trial_gb(plan: StudyPlan) -> float:
    """Return the estimated memory of a study's largest trial with its process, 1e9 bytes."""
    costs = CostRange(plan.problem)
    largest = costs.of(costs.dearest("memory_bytes"), "memory_bytes") / 1e9
    limit = plan.config.limits.memory_gb
    return CONTEXT_GB + (largest if limit is None else min(largest, limit))


def card_gb() -> float | None:
    """Return the memory of the smallest card, 1e9 bytes; None where torch did not say."""
    held = find_devices().torch.get("memory")
    return min(held) / 1e9 if held else None


def trials_a_card(plan: StudyPlan, cards: int) -> int:
    """Return how many trials to start on each card: as many as fit, if a step leaves it idle."""
    trial, card = plan.config.trial, card_gb()
    if trial is None:
        return 1  # what a program takes is not known
    work = TRAINING_PASSES * trial.shape().multiply_adds * trial.images_per_step
    if card is None or work > FILLING:
        return 1
    fit = int(USABLE * card / largest_trial_gb(plan))
    return max(1, min(fit, MOST, count_cores() // cards))


def too_full(plan: StudyPlan, cards: int, slots: int) -> list[str]:
    """Return a notice if the largest trials of a card's slots may not fit beside each other."""
    card, together = card_gb(), -(-slots // cards)
    if card is None or plan.config.trial is None or together * largest_trial_gb(plan) <= card:
        return []
    return [
        f"{count(together, 'trial')} on a card of {card:.0f} GB, the largest of about "
        f"{largest_trial_gb(plan):.1f} GB: they may not fit; lower workers, or set "
        f"limits.memory_gb to {max(USABLE * card / together - CONTEXT_GB, 0.1):.1f} or less"
    ]
