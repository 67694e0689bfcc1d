"""Time in which a process did not run does not count."""

from __future__ import annotations

from hpsearch.awake import AwakeClock


def test_ob3_a_stop_counts_as_one_turn_at_most() -> None:
    now = [100.0]
    clock = AwakeClock(12.0, lambda: now[0])
    assert clock() == 0.0
    for _ in range(10):
        now[0] += 0.1
        clock()
    now[0] += 600.0  # Ctrl-Z, or a machine that slept
    assert round(clock(), 6) == 13.0
    assert round(clock(), 6) == 13.0
