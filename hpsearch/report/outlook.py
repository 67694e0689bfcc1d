"""Whether the search has found more than its start, and what another hour of it would bring."""

from __future__ import annotations

from hpsearch.confirm.gain import gain_in_words, start_of
from hpsearch.driver.forecast import forecast_gain
from hpsearch.measure import Measure
from hpsearch.report.facts import Facts
from hpsearch.wording import count, percent

HOUR_S = 3600.0


def next_hour(facts: Facts) -> str | None:
    """Return what another hour of the search would bring; None while too little is known."""
    trials, hours = facts.view.trials, facts.view.driver_seconds / HOUR_S
    if not hours:
        return None
    more = round(sum(t.settled for t in trials) / hours)
    gain = forecast_gain(trials, more)
    if gain is None:
        return None
    shown = facts.shown
    better, moves = ("higher", "raises") if shown.maximized else ("lower", "lowers")
    return (
        f"Another hour, {count(more, 'trial')} at this pace, finds a {better} {shown.short} with "
        f"probability {percent(gain.chance, 0)}; it {moves} the {shown.lowest} one by "
        f"{_amount(gain.mean, shown)} on average {shown.gained_interval(gain.interval)}."
    )


def _amount(gain: float, shown: Measure) -> str:
    return f"{100 * gain:.1f} points" if shown.share else f"{gain:.4g}"


def found_more(facts: Facts) -> str | None:
    """Return whether the search has found more than the trials it began with, as a sentence."""
    best, start = facts.best, start_of(facts.view)
    if facts.certificate and (gain := facts.certificate.get("gain")):
        words = gain_in_words(gain, facts.shown)
        return f"{words[:1].upper()}{words[1:]}."
    if best is None or start is None or best.value is None or start.value is None:
        return None
    if best.number == start.number:
        return f"No trial is better than the start, trial {start.number}."
    shown = facts.shown
    beyond = "above" if shown.maximized else "below"
    return (
        f"The best trial is {_amount(start.value - best.value, shown)} {beyond} the start, trial "
        f"{start.number} ({shown.text(start.value)}). Part of that is luck, because the best of "
        "many was chosen."
    )
