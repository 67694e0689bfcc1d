"""Commands that trace a trial: show it with its provenance, verify every suggestion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import JsonOption, StudyArgument, open_study
from hpsearch.errors import InputError, one_line
from hpsearch.output import say, say_json
from hpsearch.wording import count, figure, in_states, percent

if TYPE_CHECKING:
    from hpsearch.maintenance.verify import Reason
    from hpsearch.measure import Measure
    from hpsearch.storage.view import StudyView
    from hpsearch.trial import TrialRecord

BARS = "▁▂▃▄▅▆▇█"


def show(
    study: StudyArgument,
    trial: Annotated[int, typer.Argument(min=0, help="The trial's number.")],
    json: JsonOption = False,
) -> None:
    """Show one trial: parameters, curve, provenance, and why it was proposed."""
    from dataclasses import asdict

    from hpsearch.maintenance.verify import explain
    from hpsearch.storage.trial_files import read_provenance
    from hpsearch.study.plan import plan_study

    view = open_study(study)
    folder = view.folder
    if trial >= len(view.trials):
        known = f"has trials 0 to {len(view.trials) - 1}" if view.trials else "has no trials yet"
        raise InputError(f"trial {trial}: {view.name} {known}")
    record = view.trials[trial]
    held = read_provenance(folder.trial(trial))
    reason: Reason | str
    try:
        reason = explain(plan_study(str(folder.root), None, {}), view, trial)
    except InputError as error:
        reason = str(error)
    if json:
        why = {"unknown": reason} if isinstance(reason, str) else asdict(reason)
        say_json({**record.to_json(), "provenance": held, "why": why})
        return
    _print_trial(view, record)
    _print_reason(reason, view.config.shown)
    _print_provenance(held)


def _print_trial(view: StudyView, record: TrialRecord) -> None:
    from hpsearch.confirm.certificate import confirmed_errors, read_certificate
    from hpsearch.maintenance.at_work import standings

    shown = view.config.shown
    value = "none yet" if record.value is None else shown.text(record.value, 2)
    standing = standings(view)[record.number]
    say(f"trial {record.number} of {view.name}: {standing}, {shown.name} {value}")
    again = confirmed_errors(read_certificate(view.folder))
    if record.number in again:
        on = "on fresh tasks" if shown.share else "with fresh seeds"
        say(f"  confirmed: {again[record.number]} {on}")
    if record.cause:
        say(f"  {one_line(record.cause)}")
    say("parameters")
    for name, parameter in record.params.items():
        say(one_line(f"  {name:24} {figure(parameter, 4)}"))
    if record.values:
        say(f"{shown.name} by {shown.step}  {_bars(list(record.values.values()))}")
        best = min(record.values, key=lambda epoch: (record.values[epoch], epoch))
        for epoch, error in record.values.items():
            mark = f"  {'highest' if shown.maximized else 'lowest'}" if epoch == best else ""
            say(f"  {epoch:5} {shown.text(error, 2)}{mark}")


def _bars(values: list[float]) -> str:
    """Return a curve as one line of text, with at most 60 values."""
    kept = values[:: -(-len(values) // 60)]
    low, span = min(kept), (max(kept) - min(kept)) or 1.0
    return "".join(BARS[round((v - low) / span * (len(BARS) - 1))] for v in kept)


def _print_reason(reason: Reason | str, shown: Measure) -> None:
    say("why it was proposed")
    if isinstance(reason, str):
        say(f"  unknown: {reason}")
        return
    say(f"  by {reason.proposer}")
    if reason.seen:
        seen = in_states(reason.seen, list(reason.seen))
        lowest = f"no {shown.short} yet"
        if reason.lowest is not None:
            best = "highest" if shown.maximized else "lowest"
            lowest = f"{best} {shown.short} {shown.text(reason.lowest, 2)}"
        say(f"  the sampler knew {seen} trials; {lowest}")
    if reason.predicted is not None:
        expected, deviation = reason.predicted
        if not shown.share:
            say(
                f"  its model predicted {shown.text(expected)}, standard deviation {deviation:.4g}"
            )
            return
        say(
            f"  its model predicted an error of {percent(min(1, max(0, expected)), 2)}, standard "
            f"deviation {100 * deviation:.2f} points"
        )


def _print_provenance(held: list[dict[str, Any]]) -> None:
    say("provenance")
    if not held:
        say("  not stored: an older version trained it, or it has not begun")
    keys = ("host", "device", "threads", "seed", "study_seed", "fingerprint", "objective")
    for one in held:
        changed = ", changed since" if one.get("dirty") else ""
        commit = f"{one.get('commit') or 'none: installed from a package'}{changed}"
        figures = {"commit": commit, **{key: one[key] for key in keys if key in one}}
        for group in ("versions", "split"):
            if isinstance(one.get(group), dict):
                figures |= one[group]
        for name, value in figures.items():
            text = " ".join(map(str, value)) if isinstance(value, list) else value
            say(f"  {name:24} {one_line(str(text))}")


def verify(study: StudyArgument, json: JsonOption = False) -> int:
    """Compute every suggestion again from the trials that were known then, and compare."""
    from collections import Counter

    from hpsearch.maintenance.verify import verify as verdicts
    from hpsearch.study.plan import plan_study

    view = open_study(study)
    plan = plan_study(str(view.folder.root), None, {})
    found = []
    for one in verdicts(plan, view):
        found.append({"trial": one.trial, "verdict": one.kind, "text": one.text})
        if not json and one.kind in ("different", "unknown"):
            say(f"trial {one.trial}: {one.kind}: {one.text}")
    counts = Counter(str(one["verdict"]) for one in found)
    if json:
        say_json({"study": view.name, "counts": dict(counts), "trials": found})
    else:
        say(
            f"{view.name}: {count(len(found), 'trial')}: {counts['same']} derived again and equal"
            f", {counts['enqueued']} enqueued as the study file says, {counts['different']} "
            f"different, {counts['unknown']} impossible to derive"
        )
    if counts["different"]:
        raise InputError(
            f"{view.folder.root}: {count(counts['different'], 'suggestion')} derived again, and "
            "different from what is stored; the study was changed, or made by other versions "
            "or on a processor that rounds otherwise (hpsearch show STUDY TRIAL names them)"
        )
    return 0
