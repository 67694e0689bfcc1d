"""Seconds of one ask by sampler and number of finished trials, on one thread.

Processor time, which with one thread is the time it takes where nothing else runs.
"""

from __future__ import annotations

import statistics
import time
from functools import cache

from benchmarks.cells import Source, feasible_points, load_problem
from hpsearch.samplers.suggest import suggest
from hpsearch.study.config import SamplerConfig
from hpsearch.trial import TrialRecord

SIZES = (200, 1000)
REPEATS = 3


def ask_seconds(source: Source, sampler: str, size: int) -> float:
    """Return the median seconds of asking after `size` finished trials."""
    space = load_problem(source)[0].search_problem
    history = finished(source, size)
    config = SamplerConfig(name=sampler)  # type: ignore[arg-type]
    times = []
    for repeat in range(REPEATS + 1):
        began = time.process_time()
        suggest(space, config, history, repeat, size)
        times.append(time.process_time() - began)
    return statistics.median(times[1:])  # the first also imports


@cache
def finished(source: Source, size: int) -> tuple[TrialRecord, ...]:
    """Return the history of trials at random points, all trained to their end."""
    problem, _ = load_problem(source)
    answers = (
        (number, params, problem.model.answer(params, number))
        for number, params in enumerate(feasible_points(problem, size))
    )
    return tuple(
        TrialRecord(
            number=number,
            state="complete",
            params=params,
            values=dict(enumerate(answer.errors, start=1)),
            value=min(answer.errors),
        )
        for number, params, answer in answers
    )
