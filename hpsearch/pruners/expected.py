"""Ends a trial that is unlikely to become the best, by the belief that `bayes` asks with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpsearch.belief import Belief, from_history
from hpsearch.execution import Decision
from hpsearch.front import ONE, Goals
from hpsearch.pruners.base import Pruner, is_best_so_far, peers, value_at
from hpsearch.pruners.several import no_dearer, stands_out
from hpsearch.space.problem import SearchProblem
from hpsearch.space.resource import Resource
from hpsearch.trial import TrialRecord, best_trial

CHANCE = 0.5
"""A trial ends when it would pass the bar with a lower probability. A short trial says less than a
whole one, but for its cost more: so only what may well be the best goes on."""

AHEAD = 2.0
"""A trial goes on while it is ahead of every complete one at its epoch by so many standard
deviations of one epoch's noise."""

EVERY = 5
"""A trial is judged at each of its first 2 ** EVERY - 1 reports, then ever more seldom: judging
takes milliseconds, a program may report in microseconds."""


@dataclass(frozen=True)
class ExpectedPruner(Pruner):
    """Compares a trial's expected final error with a bar.

    The bar lies halfway between the lowest error of a complete trial, which is lucky, and the
    lowest expected final error, which has yet to be confirmed. Trials are judged from the second
    on, once one is complete: the belief knows how little it knows.

    Where curves stay at chance for a while or fall in steps, first epochs tell little of the end.
    There a trial goes on while its own epochs leave its end next to unknown, and while it would
    pass the bar if it fell as far as some complete trial has from this epoch on.

    A trial that is clearly ahead of every complete one at its epoch goes on, whatever is believed:
    with few complete trials much of what differs between two is believed to be luck, so that not
    even the best of them would pass the bar.

    The more has been reported of a trial, the less one more report says: from the 32nd on every
    second counts, from the 64th every fourth, and so on.

    With several objectives the bar is that of the trials that are nowhere dearer: whoever passes
    it moves the front, so the chance to pass it is the chance to improve the front.

    Args:
        min_resource: Amount before which no trial is judged.
        resource: Lengths of trials.
        problem: Says what is seen of configurations.
        goals: The study's objectives.
    """

    min_resource: int
    resource: Resource
    problem: SearchProblem
    goals: Goals = ONE

    def decide(self, history: Sequence[TrialRecord], trial: TrialRecord, epoch: int) -> Decision:
        """Decide what a trial does after an epoch; see `Pruner.decide`."""
        first = self.resource.epoch_at(trial.params, self.min_resource)
        if epoch < first or epoch >= self.resource.length(trial.params):
            return Decision.GO
        if len(trial.values) % 2 ** max(0, len(trial.values).bit_length() - EVERY):
            return Decision.GO
        others, value = peers(history, trial), value_at(trial, epoch)
        if value is None or self._leads(others, trial, value):
            return Decision.GO
        rivals = no_dearer(self.goals, others, trial) if self.goals.several else others
        best = best_trial(rivals)
        if best is None or best.value is None:
            return Decision.GO
        evidence = from_history(self.problem, [*others, trial], self.resource.length)
        if not Belief.possible(evidence):
            return Decision.GO
        belief = Belief(self.problem, evidence)
        places = {e.number: k for k, e in enumerate(belief.trials)}
        place = places.get(trial.number)
        if place is None or belief.unknown(place):
            return Decision.GO  # it has no finite error yet, or what it has tells nothing
        beside = [places[t.number] for t in rivals if t.number in places]
        if not beside:
            return Decision.GO
        if _clearly_ahead(rivals, belief, epoch, value):
            return Decision.GO
        bar = (best.value + float(belief.means[beside].min())) / 2
        if belief.falls_late and value - _furthest_fall(rivals, epoch) < bar:
            return Decision.GO
        return Decision.GO if belief.chance(place, bar) >= CHANCE else Decision.STOP

    def _leads(self, others: Sequence[TrialRecord], trial: TrialRecord, value: float) -> bool:
        if not self.goals.several:
            return is_best_so_far(others, value)
        return stands_out(self.goals, others, trial, value)


def _furthest_fall(others: Sequence[TrialRecord], epoch: int) -> float:
    """Return how far the lowest error of some complete trial fell from an epoch on."""
    falls = [0.0]
    for other in others:
        then = value_at(other, epoch)
        if other.state == "complete" and other.value is not None and then is not None:
            falls.append(then - other.value)
    return max(falls)


def _clearly_ahead(
    others: Sequence[TrialRecord], belief: Belief, epoch: int, value: float
) -> bool:
    """Return whether a trial is ahead of every complete one at its epoch beyond the noise."""
    then = [value_at(other, epoch) for other in others if other.state == "complete"]
    known = [v for v in then if v is not None]
    return bool(known) and belief.epochs_apart(value, min(known)) >= AHEAD
