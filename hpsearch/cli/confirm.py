"""The command confirm: retrains the best trials and writes a certificate."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import DeviceOption, JsonOption, StudyArgument, TrustOption, open_study
from hpsearch.errors import AGAIN, InputError
from hpsearch.output import say, say_json, say_table, unwaited
from hpsearch.paths import shell_word

if TYPE_CHECKING:
    from hpsearch.measure import Measure


def confirm(
    study: StudyArgument,
    top: Annotated[int, typer.Option(min=2, max=50, help="Best trials to retrain.")] = 5,
    seeds: Annotated[int, typer.Option(min=2, max=100, help="Fresh seeds per trial.")] = 3,
    workers: Annotated[int | None, typer.Option(min=1, help="Parallel trainings.")] = None,
    device: DeviceOption = None,
    json: JsonOption = False,
    trust: TrustOption = False,
) -> int:
    """Retrain the best trials with fresh seeds, on fresh tasks; the same command continues."""
    from hpsearch.app.command import check_trusted, find_program
    from hpsearch.app.executors import find_workplace
    from hpsearch.app.search import held_dataset, interrupts
    from hpsearch.cli.bars import forecast_bar
    from hpsearch.confirm.certificate import as_shown, certify, write_certificate
    from hpsearch.confirm.confirmation import Confirmation, Run, best_trials, read_run
    from hpsearch.confirm.gain import is_start, start_of
    from hpsearch.study.data_check import check_study_data
    from hpsearch.study.lock import study_lock
    from hpsearch.study.plan import plan_study
    from hpsearch.study.trust import note_trust
    from hpsearch.waiting import Caught, Interrupted

    view = open_study(study)
    folder = view.folder
    changes = {k: v for k, v in {"workers": workers, "device": device}.items() if v is not None}
    plan = plan_study(str(folder.root), None, changes)
    candidates = best_trials(view, top)
    start = start_of(view)
    again = [*candidates]
    if start is not None and not is_start(start) and start not in candidates:
        again.append(start)
    scored = [start] if start is not None and is_start(start) else []
    runs = [Run(t.number, 0) for t in scored]
    runs += [Run(t.number, place) for place in range(seeds) for t in again]

    def tell(text: str) -> None:
        say(text, err=json)

    if plan.config.trainer is not None:
        check_trusted(plan, str(folder.root), trust=trust)
        find_program(plan.config.trainer)
    with study_lock(folder, "hpsearch confirm"):
        packed = Path()
        if plan.config.trainer is None:
            dataset = held_dataset(plan)
            check_study_data(plan, dataset)
            packed = dataset.folder.resolve()
        else:
            note_trust(folder, plan.config.trainer)
        best = f"the best {len(candidates)} of {len(view.trials)} trials"  # pruned ones, too
        if view.config.goals.several:
            complete = sum(t.state == "complete" for t in view.trials)
            best = f"{len(candidates)} of {complete} complete trials, those of the front"
        more = ", and the start," if len(again) > len(candidates) else ""
        tell(f"{view.name}: training {best}{more} with {seeds} fresh seeds each")
        caught = Caught()
        trained: str | None = None
        shown = sys.stderr if json else sys.stdout
        try:
            with (
                unwaited(shown, lambda: caught.count),
                interrupts(caught),
                closing(find_workplace(plan, caught).make()) as executor,
                forecast_bar("confirming") as bar,
            ):
                work = Confirmation(view, runs, packed, executor, tell, lambda: caught.count, bar)
                trained = work.run()
        except Interrupted as stop:
            tell(str(stop))
        if not trained:
            tell("the same command continues")
            return caught.exit_code
        results: dict[int, list[Mapping[str, Any]]] = {run.trial: [] for run in runs}
        for run in runs:
            result = read_run(folder.confirmation, run)
            if result is None:
                raise InputError(f"{folder.confirmation / run.name}: unreadable result; {AGAIN}")
            results[run.trial].append(result)
        of_start = results[start.number] if start else []
        certificate = certify(view, candidates, results, of_start)
        write_certificate(folder, certificate)
    if json:
        say_json(as_shown(certificate))
    else:
        print_certificate(certificate, folder.root, own=view.dataset["kind"] == "folder")
    return 0


def print_certificate(certificate: Mapping[str, Any], root: Path, *, own: bool = False) -> None:
    """Print a certificate as text; own images have groups of classes, and pictures."""
    from hpsearch.confirm.certificate import in_words
    from hpsearch.confirm.gain import gain_in_words, is_kept
    from hpsearch.measure import measure_of
    from hpsearch.wording import percent

    shown = measure_of(certificate)
    groups, drawn = ("groups of classes", "pictures") if own else ("alphabets", "drawers")
    say(in_words(certificate))
    if (gain := certificate.get("gain")) and not is_kept(certificate):
        say(f"  {gain_in_words(gain, shown)}")
    one = certificate["interval_one_training"]
    unit = " %" if shown.share else ""
    say(f"  95 % interval of one more training: {shown.interval(one)}{unit}")
    if other := certificate["interval_other_alphabets"]:
        say(f"  on other {groups} like these: {shown.interval(other)}{unit}")
    optimism = certificate["optimism"]
    away, ends = optimism["measured"], optimism["interval"]
    more = f"; other {drawn} and the choice of the best epoch explain the rest"
    rest = more if away > optimism["luck"] and shown.share else ""
    away, luck = (_from_truth(one, shown) for one in (away, optimism["luck"]))
    ends = shown.gained_interval(sorted(_from_truth(one, shown) for one in ends))
    what = "an error" if shown.share else f"the {shown.name}"
    say(
        f"  in the search, trial {optimism['trial']} had {what} of "
        f"{shown.text(optimism['search_error'])}, {shown.gained(away)} {ends} from its true "
        f"{'error' if shown.share else 'one'}; choosing the best of {optimism['trials']} trials "
        f"explains {shown.gained(luck)}{rest}"
    )
    rows = [["trial", "search", "again", "shrunken", "95 %", "P(best)", "behind the first"]]
    for row in certificate["candidates"]:
        error = row["behind_best_se"]
        deviation = f"{100 * error:.1f}" if shown.share else f"{error:.2g}"
        behind = f"{shown.gained(row['behind_best'])} (standard error {deviation})"
        figures = [shown.text(row[key]) for key in ("search_error", "mean", "error")]
        first = row["trial"] == certificate["trial"]
        sure = [shown.interval(row["interval"]), percent(row["probability_best"], 0)]
        rows.append([str(row["trial"]), *figures, *sure, "-" if first else behind])
    say_table(rows, ">" * 7)
    if points_of_front := certificate.get("front"):
        print_front(points_of_front, shown)
    say(f"{root / 'certificate.json'}: written; next: hpsearch export {shell_word(root)}")


LEAST_SHOWN = 0.005
"""Least probability to be dominated by a trial that is shown."""


def print_front(rows: Sequence[Mapping[str, Any]], shown: Measure) -> None:
    """Print the front after training again: who dominates whom, and with what probability."""
    from hpsearch.wording import figure, percent

    names = list(rows[0]["values"])[1:]
    table = [["trial", shown.short, *names, "P(on the front)", "dominated by"]]
    for row in rows:
        error, *others = row["values"].values()
        rivals = [
            f"{one['trial']} ({percent(one['probability'], 0)})"
            for one in row["dominated_by"]
            if one["probability"] >= LEAST_SHOWN
        ]
        figures = [figure(value, 3) for value in others]
        sure = percent(row["probability"], 0)
        value = percent(error) if shown.share else figure(error, 4)
        table.append([str(row["trial"]), value, *figures, sure, ", ".join(rivals) or "-"])
    say_table(table, ">" * (3 + len(names)) + "<")


def _from_truth(too_low: float, shown: Measure) -> float:
    """Return how far the user's figure lies from the truth, from how much too low it is held."""
    return too_low if shown.maximized else -too_low
