"""The trial that a study hands over, and one sentence about its best, shared by all commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.confirm.certificate import best_of, in_words
from hpsearch.confirm.front import front_in_words
from hpsearch.driver.stopping import tasks_behind
from hpsearch.intervals import wilson
from hpsearch.measure import VALIDATION_ERROR, Measure
from hpsearch.storage.view import StudyView
from hpsearch.study.handed_over import handed_over
from hpsearch.trial import TrialRecord
from hpsearch.wording import count, interval


def to_export(view: StudyView) -> tuple[TrialRecord | None, dict[str, Any] | None]:
    """Return the trial that export takes, and its certificate if it is confirmed.

    Unconfirmed it is the one of the lowest expected error where the sampler models errors, else
    the one of the lowest error; None before a trial is complete.
    """
    best, certificate = best_of(view)
    if best is None or certificate is not None:
        return best, certificate
    return handed_over(view.folder, view.config, view.trials)[0], None


def pick_in_words(view: StudyView, chosen: TrialRecord | None) -> str | None:
    """Return that a trial is handed over instead of the lowest one, None where they are one."""
    best, certificate = best_of(view)
    if best is None or chosen is None or certificate is not None or chosen.number == best.number:
        return None
    shown = view.config.shown
    lucky = f"trial {best.number} was luckier"
    if best.value is not None and chosen.value is not None:
        lucky += f" ({shown.text(best.value)} against {shown.text(chosen.value)})"
    return f"trial {chosen.number}, the best by the model; {lucky}"


def best_in_words(view: StudyView) -> str:
    """Return a study's best trial and its certainty."""
    best, certificate = best_of(view)
    shown = view.config.shown
    if view.config.goals.several:
        return f"{front_in_words(view)}; {shown.lowest} {shown.short}: {_lowest(best)}"
    tried = [t for t in view.trials if t.trainable and t.value is not None]
    lowest = min(tried, key=lambda t: t.value or 0, default=None)
    if not shown.share:
        return describe_best(best, lowest, certificate, "", shown)
    tasks = tasks_behind(view.config, view.dataset)
    on = "all tasks (dense)" if view.config.objective == "dense" else f"{tasks} tasks"
    ends = wilson(best.value, tasks) if best is not None and best.value is not None else (0, 1)
    return describe_best(best, lowest, certificate, f" {interval(ends)} on {on}")


def _lowest(best: TrialRecord | None) -> str:
    return "none yet" if best is None else f"trial {best.number}"


def describe_best(
    best: TrialRecord | None,
    lowest: TrialRecord | None,
    certificate: Mapping[str, Any] | None,
    certainty: str,
    shown: Measure = VALIDATION_ERROR,
) -> str:
    """Return the best trial as confirmed, as searched, or as trained so far.

    Args:
        best: The best complete trial.
        lowest: The trial with the lowest error in any state.
        certificate: The certificate of `best`.
        certainty: Text after the error of an unconfirmed best trial.
        shown: How values are shown.
    """
    if best is None or best.value is None:
        if lowest is None or lowest.value is None:
            return f"no {shown.step} has ended yet"
        which = "highest" if shown.maximized else "lowest"
        return (
            f"no complete trial yet; {which}: trial {lowest.number} ({lowest.state}), "
            f"{shown.name} {shown.text(lowest.value)} after {count(lowest.last_epoch, shown.step)}"
        )
    if certificate is not None:
        return in_words(certificate)
    text = shown.text(best.value)
    return f"best: trial {best.number}, {shown.name} {text}{certainty}, unconfirmed"
