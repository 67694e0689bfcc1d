"""What a belief learns from: the curves of trials. Knows no samplers and no pruners."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from hpsearch.space.problem import SearchProblem
from hpsearch.trial import TrialRecord, Value


@dataclass(frozen=True)
class Evidence:
    """One trial as a belief sees it.

    Args:
        number: The trial's number.
        params: Its parameters.
        curve: Finite validation errors by epoch, from 1, in order. Empty while none is known.
        length: Epochs of the whole trial.
        ended: Whether its curve will not change, unless it is paused and goes on later.
        trainable: False where training is impossible or memory is too small.
    """

    number: int
    params: Mapping[str, Value]
    curve: Mapping[int, float]
    length: int
    ended: bool
    trainable: bool = True


def from_history(
    problem: SearchProblem,
    history: Sequence[TrialRecord],
    length: Callable[[Mapping[str, Value]], int],
) -> list[Evidence]:
    """Return the evidence of a history, by trial number.

    Left out are failed trials, unless memory ran out, and trials that lack a parameter.

    Args:
        problem: The search problem.
        history: All trials.
        length: Returns the epochs of a whole trial, from its parameters.
    """
    found = []
    results = {t.number: t.result for t in history if t.result is not None}
    for trial in sorted(history, key=lambda t: t.number):
        if not problem.has_all(trial.params):
            continue
        trainable = trial.trainable and not trial.out_of_memory
        if trial.state == "failed" and trainable:
            continue
        found.append(
            Evidence(
                number=trial.number,
                params=trial.params,
                curve=finite_curve(trial.values),
                length=whole_length(trial.state == "complete", trial.values, length(trial.params)),
                ended=trial.settled,
                trainable=trainable,
            )
        )
    return to_results(found, results)


def to_results(evidence: Sequence[Evidence], results: Mapping[int, float]) -> list[Evidence]:
    """Return evidence whose curves end at the results that programs gave.

    What a program reports on the way may be another measure than its result. So each curve is
    moved by what lies between its lowest error and its result, and one without a result by the
    median of these.

    Args:
        evidence: All trials.
        results: Results by number, of those that gave one.
    """
    moves = {
        e.number: results[e.number] - min(e.curve.values())
        for e in evidence
        if e.number in results and e.curve
    }
    if not moves:
        return list(evidence)
    usual = median(moves.values())
    return [
        replace(e, curve={k: v + moves.get(e.number, usual) for k, v in e.curve.items()})
        for e in evidence
    ]


def finite_curve(values: Mapping[int, float]) -> dict[int, float]:
    """Return the finite errors by epoch, without a start that was scored as it is."""
    return {e: values[e] for e in sorted(values) if e > 0 and math.isfinite(values[e])}


def whole_length(complete: bool, values: Mapping[int, float], length: int) -> int:
    """Return the epochs of a whole trial: a complete one had as many as it needed."""
    last = max(values, default=0)
    return max(last, 1) if complete else max(length, last)
