"""The command confirm: retrains the best trials and writes a certificate."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from hpsearch.cli.options import DeviceOption, JsonOption, StudyArgument, open_study
from hpsearch.errors import AGAIN, InputError
from hpsearch.output import say, say_json, say_table, unwaited
from hpsearch.paths import shell_word


def confirm(
    study: StudyArgument,
    top: Annotated[int, typer.Option(min=2, max=50, help="Best trials to retrain.")] = 5,
    seeds: Annotated[int, typer.Option(min=2, max=100, help="Fresh seeds per trial.")] = 3,
    workers: Annotated[int | None, typer.Option(min=1, help="Parallel trainings.")] = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> int:
    """Retrain the best trials with fresh seeds, on fresh tasks; the same command continues."""
    from hpsearch.app.executors import find_workplace
    from hpsearch.app.search import held_dataset, interrupts
    from hpsearch.cli.bars import forecast_bar
    from hpsearch.confirm.certificate import certify, write_certificate
    from hpsearch.confirm.confirmation import Confirmation, Run, best_trials, read_run
    from hpsearch.confirm.gain import is_start, start_of
    from hpsearch.study.data_check import check_study_data
    from hpsearch.study.plan import plan_study, study_lock
    from hpsearch.waiting import Caught, Interrupted

    view = open_study(study)
    _ = view.config.siamese  # a command's trials have no fresh tasks
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

    with study_lock(folder, "hpsearch confirm"):
        dataset = held_dataset(plan)
        check_study_data(plan, dataset)
        packed = dataset.folder.resolve()
        best = f"the best {len(candidates)} of {len(view.trials)} trials"
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
        say_json(certificate)
    else:
        print_certificate(certificate, folder.root, own=view.dataset["kind"] == "folder")
    return 0


def print_certificate(certificate: Mapping[str, Any], root: Path, *, own: bool = False) -> None:
    """Print a certificate as text; own images have groups of classes, and pictures."""
    from hpsearch.confirm.certificate import in_words
    from hpsearch.confirm.gain import gain_in_words, is_kept
    from hpsearch.wording import interval, percent, points

    groups, drawn = ("groups of classes", "pictures") if own else ("alphabets", "drawers")
    say(in_words(certificate))
    if (gain := certificate.get("gain")) and not is_kept(certificate):
        say(f"  {gain_in_words(gain)}")
    one = certificate["interval_one_training"]
    say(f"  95 % interval of one more training: {interval(one)} %")
    if other := certificate["interval_other_alphabets"]:
        say(f"  on other {groups} like these: {interval(other)} %")
    optimism = certificate["optimism"]
    away, ends = optimism["measured"], optimism["interval"]
    more = f"; other {drawn} and the choice of the best epoch explain the rest"
    say(
        f"  in the search, trial {optimism['trial']} had an error of "
        f"{percent(optimism['search_error'])}, {points(-away)} {interval([-ends[1], -ends[0]])} "
        f"from its true error; choosing the best of {optimism['trials']} trials explains "
        f"{points(-optimism['luck'])}{more if away > optimism['luck'] else ''}"
    )
    rows = [["trial", "search", "again", "shrunken", "95 %", "P(best)", "behind the first"]]
    for row in certificate["candidates"]:
        error = 100 * row["behind_best_se"]
        behind = f"{points(row['behind_best'])} (standard error {error:.1f})"
        figures = [percent(row[key]) for key in ("search_error", "mean", "error")]
        first = row["trial"] == certificate["trial"]
        sure = [interval(row["interval"]), percent(row["probability_best"], 0)]
        rows.append([str(row["trial"]), *figures, *sure, "-" if first else behind])
    say_table(rows, ">" * 7)
    say(f"{root / 'certificate.json'}: written; next: hpsearch export {shell_word(root)}")
