"""Formats numbers the same way everywhere: 30.3 %, [25.5, 35.6], 1 trial, 3rd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def percent(share: float, digits: int = 1) -> str:
    """Format a share as 12.5 %."""
    return f"{100 * share:.{digits}f} %"


def interval(ends: Sequence[float], digits: int = 1) -> str:
    """Format the interval of a share as [11.3, 13.7], in percent."""
    return f"[{100 * ends[0]:.{digits}f}, {100 * ends[1]:.{digits}f}]"


def points(difference: float, digits: int = 1) -> str:
    """Format the difference of two shares as +1.2 points."""
    return f"{100 * difference:+.{digits}f} points"


def count(number: int, thing: str) -> str:
    """Format a count: 1 trial, 2 trials."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def in_states(counts: Mapping[str, int], states: Sequence[str]) -> str:
    """Format the number of trials in each state: 3 complete, 1 pruned."""
    return ", ".join(f"{counts.get(state, 0)} {state}" for state in states)


def figure(value: object, digits: int) -> str:
    """Format a parameter's value, a float with that many significant digits."""
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def ordinal(number: int) -> str:
    """Format a rank: 1st, 2nd, 3rd, 4th, 11th, 22nd."""
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def long_time(seconds: float) -> str:
    """Format a rough time: about 20 seconds, about 3 hours, about a month."""
    units = [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400)]
    units += [("month", 2_630_000), ("year", 31_557_600)]
    name, size = next((n, s) for n, s in reversed(units) if seconds >= 0.8 * s or s == 1)
    number = max(1, round(seconds / size))
    one = "an" if name == "hour" else "a"
    return f"about {one} {name}" if number == 1 else f"about {number} {name}s"


def duration(seconds: float) -> str:
    """Format seconds as 12s, 3m05s or 2h07m."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minute:02d}m"
    return f"{minute}m{second:02d}s" if minute else f"{second}s"
