"""Formats numbers the same way everywhere: 30.3 %, [25.5, 35.6], 1 trial, 3rd."""

from __future__ import annotations

from collections.abc import Sequence


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


def ordinal(number: int) -> str:
    """Format a rank: 1st, 2nd, 3rd, 4th, 11th, 22nd."""
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def long_time(seconds: float) -> str:
    """Format a rough time: about 20 seconds, about 3 hours, about a month."""
    units = (
        ("second", 1),
        ("minute", 60),
        ("hour", 3600),
        ("day", 86_400),
        ("month", 2_630_000),
        ("year", 31_557_600),
    )
    name, size = next((n, s) for n, s in reversed(units) if seconds >= 0.8 * s or s == 1)
    number = max(1, round(seconds / size))
    one = "an" if name == "hour" else "a"
    return f"about {one} {name}" if number == 1 else f"about {number} {name}s"


def duration(seconds: float) -> str:
    """Format seconds as 12s, 3m05s or 2h07m."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
