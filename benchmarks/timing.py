"""Interleaved timings: what is compared runs in turn, so that a busy moment hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch

from hpsearch.allocation import keep_freed_memory

SIDES = (1024, 2048, 3072)
"""Of the matrices whose product is timed."""


def prepare(threads: int) -> None:
    """Set this process up as trials are: so many threads, freed memory kept."""
    torch.set_num_threads(threads)
    keep_freed_memory()


def interleaved_medians(
    functions: Mapping[str, Callable[[], object]],
    repeats: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return each function's median seconds over rounds in which every one runs once.

    Args:
        functions: By name; each runs once more, first, without being timed.
        repeats: Rounds.
        clock: What reads the time. time.process_time, for one thread only, leaves out the turns
            that other processes take on the core.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            began = clock()
            function()
            times[name].append(clock() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def matrix_product_rate(rounds: int = 5, dtype: torch.dtype = torch.float32) -> float:
    """Return torch's best rate for products of square matrices, FLOP/s."""
    best = 0.0
    for side in SIDES:
        rng = torch.Generator().manual_seed(side)
        a, b = (torch.rand(side, side, generator=rng).to(dtype) for _ in range(2))
        result = torch.empty(side, side, dtype=dtype)
        torch.mm(a, b, out=result)
        for _ in range(rounds):
            began = time.perf_counter()
            torch.mm(a, b, out=result)
            best = max(best, 2 * side**3 / (time.perf_counter() - began))
    return best
