"""Whether the search has found more than its start, and what another hour of it would bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.confirm.certificate import rivals
from hpsearch.driver.forecast import forecast_gain
from hpsearch.report.facts import Facts
from hpsearch.trial import TrialRecord
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
    best, start = facts.best, _start(facts)
    if best is None or start is None or best.value is None or start.value is None:
        return None
    if best.number == start.number:
        return f"No trial is better than the start, trial {start.number}."
    confirmed = _confirmed(facts.certificate, start.number)
    if confirmed is not None:
        return confirmed
    return (
        f"The best trial is {100 * (start.value - best.value):.1f} points below the start, trial "
        f"{start.number} ({percent(start.value)}). Part of that is luck, because the best of many "
        "was chosen."
    )


def _start(facts: Facts) -> TrialRecord | None:
    """Return the best of the trials that the study file enqueues; None before one has ended."""
    begun = facts.view.trials[: len(facts.view.config.enqueue)]
    ended = [t for t in begun if t.state == "complete" and t.value is not None]
    return min(ended, key=lambda t: (t.value, t.number), default=None)


def _confirmed(certificate: Mapping[str, Any] | None, start: int) -> str | None:
    """Return what the certificate says about the start, if it was confirmed."""
    candidates = certificate["candidates"] if certificate else []
    known = {int(one["trial"]): one for one in candidates}
    if certificate is None or start not in known:
        return None
    if start in [one["trial"] for one in rivals(certificate)]:
        return f"The best trial cannot be told apart from the start, trial {start}."
    return (
        f"The best trial is better than the start, trial {start}, whose error on fresh tasks is "
        f"{percent(known[start]['error'])} {interval(known[start]['interval'])}."
    )
