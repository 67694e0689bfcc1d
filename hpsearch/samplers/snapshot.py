"""A summary of the history that an ask has seen, small enough to store with every trial.

A finished trial never changes, so its number suffices. Of an open trial the state and the last
epoch are kept. The summary and the study's record together restore the history.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpsearch.errors import InputError
from hpsearch.front import ONE, Goals
from hpsearch.training.epoch import EpochResult
from hpsearch.trial import State, TrialRecord

OPEN: dict[str, State] = {"running": "running", "paused": "paused"}


def summarise(history: Sequence[TrialRecord]) -> dict[str, Any]:
    """Return the ranges of finished trials, and state and last epoch of each open trial."""
    return {
        "finished": _ranges([t.number for t in history if t.finished]),
        "open": {
            str(t.number): [t.state, max(t.values, default=0)] for t in history if not t.finished
        },
    }


def recall(
    seen: Mapping[str, Any],
    trials: Sequence[TrialRecord],
    curves: Mapping[int, Sequence[EpochResult]],
    goals: Goals = ONE,
) -> list[TrialRecord]:
    """Return the history that an ask has seen, by trial number.

    Args:
        seen: The result of `summarise`.
        trials: The study's present trials, by number.
        curves: The epochs of the trials that were open then.
        goals: The study's objectives.

    Raises:
        InputError: The summary names trials that the study lacks or that are not finished.
    """
    try:
        finished = _numbers(seen["finished"])
        opened = {int(n): (OPEN[s], int(e)) for n, (s, e) in seen["open"].items()}
        history = [trials[number] for number in finished]
        history += [
            _as_it_was(trials[n], *then, curves.get(n, ()), goals) for n, then in opened.items()
        ]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(f"what the ask had seen cannot be read back ({error!r})") from error
    unfinished = [number for number in finished if not trials[number].finished]
    if unfinished:
        raise InputError(f"trial {unfinished[0]} was finished when asked, and is not now")
    return sorted(history, key=lambda t: t.number)


def _as_it_was(
    trial: TrialRecord, state: State, epoch: int, curve: Sequence[EpochResult], goals: Goals
) -> TrialRecord:
    """Return a trial as it was after an epoch."""
    values = {e: v for e, v in trial.values.items() if e <= epoch}
    finite = [v for v in values.values() if math.isfinite(v)]
    seconds = [round(r.seconds, 2) for r in curve if r.epoch <= epoch]
    exact = {name: trial.figures[name] for name in goals.exact if name in trial.figures}
    reported = [(r.validation_error, r.metrics) for r in curve if r.epoch <= epoch]
    audit = trial.audit if trial.audit is not None and trial.audit <= epoch else None
    return replace(
        trial,
        state=state,
        values=values,
        value=min(finite, default=None),
        result=None,
        trainable=True,
        cause=None,
        audit=audit,
        seconds=seconds[-1] if seconds else None,
        figures=goals.over_curve(exact, reported),
    )


def _ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers as text: 0-11,13."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def _numbers(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(",") if text else []:
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
