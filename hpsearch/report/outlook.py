"""Whether the search has found more than its start, and what another hour of it would bring."""

from __future__ import annotations

from hpsearch.confirm.gain import gain_in_words, start_of
from hpsearch.driver.forecast import forecast_gain
from hpsearch.report.facts import Facts
from hpsearch.wording import count, interval, percent

HOUR_S = 3600.0


def next_hour(facts: Facts) -> str | None:
    """Return what another hour of the search would bring; None while too little is known."""
    trials, hours = facts.view.trials, facts.view.driver_seconds / HOUR_S
    if not hours:
        return None
    more = round(sum(t.finished for t in trials) / hours)
    gain = forecast_gain(trials, more)
    if gain is None:
        return None
    return (
        f"Another hour, {count(more, 'trial')} at this pace, finds a lower error with probability "
        f"{percent(gain.chance, 0)}; it lowers the lowest one by {100 * gain.mean:.1f} points on "
        f"average {interval(gain.interval)}."
    )


def found_more(facts: Facts) -> str | None:
    """Return whether the search has found more than the trials it began with, as a sentence."""
    best, start = facts.best, start_of(facts.view)
    if facts.certificate and (gain := facts.certificate.get("gain")):
        words = gain_in_words(gain)
        return f"{words[:1].upper()}{words[1:]}."
    if best is None or start is None or best.value is None or start.value is None:
        return None
    if best.number == start.number:
        return f"No trial is better than the start, trial {start.number}."
    return (
        f"The best trial is {100 * (start.value - best.value):.1f} points below the start, trial "
        f"{start.number} ({percent(start.value)}). Part of that is luck, because the best of many "
        "was chosen."
    )
