"""Runs `hpsearch search`: plan, lock, find the data, start workers, drive, report the result."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from hpsearch.app.command import check_trusted, find_program, in_words, is_begun_folder
from hpsearch.app.dry_run import describe, too_long
from hpsearch.app.executors import Workplace, find_workplace
from hpsearch.app.starts import with_encoder
from hpsearch.app.watch import Watch
from hpsearch.confirm.certificate import best_of, read_certificate
from hpsearch.confirm.confirmation import candidates
from hpsearch.confirm.gain import gain_of_search
from hpsearch.data import Dataset
from hpsearch.driver.driver import Driver
from hpsearch.driver.requests import waiting
from hpsearch.driver.warm_start import with_prior
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.execution import Executor
from hpsearch.json_files import NO_DATA, read_dataset
from hpsearch.output import notice, say, unwaited
from hpsearch.paths import StudyFolder, cache_folder, network_filesystem, shell_word
from hpsearch.pruners import fewest_trials, make_pruner
from hpsearch.results.best import best_in_words
from hpsearch.sources.find import IMAGES, find_dataset
from hpsearch.sources.omniglot import FEW_ALPHABETS, find_parts
from hpsearch.storage.engine import Database
from hpsearch.storage.view import check_not_edited, read_study
from hpsearch.study.code_trust import check_code, note_code
from hpsearch.study.data_check import check_study_data
from hpsearch.study.lock import lock_holder
from hpsearch.study.plan import DataPlace, StudyPlan, plan_study, save_plan
from hpsearch.study.trust import note_trust
from hpsearch.training.selection import objective_tasks
from hpsearch.waiting import Caught, Interrupted
from hpsearch.wording import count, in_states


def run_search(
    study: str | StudyPlan,
    data: Path | None,
    changes: Mapping[str, Any],
    output: Path | None,
    watch: Watch,
    *,
    dry_run: bool,
    trust: bool = False,
) -> int:
    """Run or continue a search; return the exit code: 0, or 128 and the signal that stopped it.

    Args:
        study: A study file, a shipped name, or a study's folder; or a plan of the caller's own,
            which has its changes and its folder.
        data: Path of the data; None searches the usual places.
        changes: Settings by path that replace the file's.
        output: The study's folder; None means runs/NAME.
        watch: Opens the observer of the running search.
        dry_run: Print what would be done, and do nothing.
        trust: Whether the user agrees to the command of a study's folder.

    Raises:
        InputError: Invalid input, before anything is written.
        EnvironmentFailure: The environment failed; the same command resumes.
    """
    caught = Caught()
    with ExitStack() as stack:
        for stream in (sys.stdout, sys.stderr):
            stack.enter_context(unwaited(stream, lambda: caught.count))
        if isinstance(study, StudyPlan):
            plan = study
        else:
            plan = plan_study(study, output, changes)
            if not dry_run:
                check_trusted(plan, study, trust=trust)
            if not trust and is_begun_folder(study):
                check_code(plan.folder, plan.config)
        return _search(plan, data, watch, caught, dry_run=dry_run)


def _search(
    plan: StudyPlan, data: Path | None, watch: Watch, caught: Caught, *, dry_run: bool
) -> int:
    check_not_edited(plan.folder)
    workplace = find_workplace(plan, caught)
    dataset, plan = prepare(plan, data, fetch=not dry_run)
    notices = [*_data_notices(plan, dataset), *_notices(plan), *workplace.notices]
    if dry_run:
        for line in describe(plan, workplace, notices):
            say(line)
        return 0
    place, found = DataPlace("", ""), NO_DATA
    if dataset is not None:
        notices += too_long(plan, workplace)
        place = DataPlace(str(dataset.folder.resolve()), dataset.fingerprint)
        found = _describe_dataset(plan, dataset, data)
    with Database(plan.folder, plan.config.storage).lock():
        on = dataset.description if dataset is not None else in_words(plan.config)
        say(f"{plan.config.name} in {plan.folder.root}: {on}")
        for text in notices:
            notice(text, err=False)
        if dataset is not None:
            plan = with_encoder(plan, dataset)
        save_plan(plan, found)
        note_code(plan.folder, plan.config)
        if plan.config.trainer is not None:
            note_trust(plan.folder, plan.config.trainer)
        return _drive(plan, place, workplace, watch, caught)


def prepare(
    plan: StudyPlan, data: Path | None, *, fetch: bool
) -> tuple[Dataset | None, StudyPlan]:
    """Check everything that a search needs, before anything is written; find the data.

    Args:
        plan: The study.
        data: Path of the data, as the user named it.
        fetch: Whether missing data are downloaded or drawn.

    Returns:
        The data, or None if they would have to be fetched or the trainer is a command, which has
        its own; the plan with its prior.

    Raises:
        InputError: Invalid input.
        EnvironmentFailure: The storage is unusable, or the folder is not writable.
    """
    _ = plan.enqueued  # refuses what cannot be enqueued
    check_classes(plan)
    check_backbone(plan)
    with_prior(plan, {})  # refuses an unusable source before looking for the data
    Database(plan.folder, plan.config.storage).check_usable(plan.config.name)
    check_free(plan.folder, plan.config.storage)
    if plan.config.trainer is not None:
        find_program(plan.config.trainer)
        if data is not None:
            raise InputError("--data: a command finds its data itself; leave it out")
        return None, with_prior(plan, NO_DATA)
    dataset = held_dataset(plan, data) if fetch or _at_hand(plan, data) else None
    return dataset, with_prior(plan, _describe_dataset(plan, dataset, data) if dataset else {})


def check_classes(plan: StudyPlan) -> None:
    """Load the classes that a study names, so that a wrong one is refused before it begins.

    Raises:
        InputError: One cannot be loaded, or takes other options.
    """
    config = plan.config
    if config.sampler.foreign:
        from hpsearch.samplers.foreign import check_foreign

        check_foreign(config.sampler)
    if config.pruner.foreign:
        make_pruner(config.pruner, plan.resource, plan.problem, config.goals)


def check_backbone(plan: StudyPlan) -> None:
    """Refuse a new study whose backbone does not take pictures of a size that may be tried.

    Raises:
        InputError: See `check_sizes`.
    """
    settings = plan.config.trial and plan.config.trial.backbone
    if not settings or plan.folder.study_file.exists():
        return
    from hpsearch.backbones.models import check_sizes

    searched = plan.space.parameters.get("backbone.size")
    values = searched.values() if searched else None
    check_sizes(settings, {settings.size, *map(int, values or ())})


def check_free(folder: StudyFolder, storage: str) -> None:
    """Refuse a folder that is locked by another process, or that cannot be written.

    Raises:
        InputError: The study is locked, or the path is a file.
        EnvironmentFailure: The folder cannot be written.
    """
    if not Database(folder, storage).is_server and (holder := lock_holder(folder)):
        raise InputError(f"{folder.root}: the study is held by {holder}; wait for it or stop it")
    above = next(p for p in (folder.root, *folder.root.absolute().parents) if p.exists())
    if not above.is_dir():
        raise InputError(f"{above}: is a file; name another --output")
    if not os.access(above, os.W_OK | os.X_OK):
        raise EnvironmentFailure(f"{above}: cannot be written; fix that, or name another --output")


def _at_hand(plan: StudyPlan, data: Path | None) -> bool:
    """Return whether the data are available without a download and without drawing glyphs."""
    if data is not None or os.environ.get("HPSEARCH_DATA") or plan.folder.dataset.exists():
        return True
    kind = plan.config.dataset
    if kind == "folder":
        return True  # find_dataset refuses it: own images have to be named
    packed, fetched = cache_folder() / "packed", cache_folder() / "omniglot"
    if kind in FEW_ALPHABETS and (find_parts(fetched) or {}).keys() >= IMAGES:
        return True
    return kind != "glyphs" and any(packed.glob(f"{'omniglot' if kind == 'auto' else kind}-*"))


def _data_notices(plan: StudyPlan, dataset: Dataset | None) -> list[str]:
    """Return notices about the data; refuse data that the study cannot use."""
    if plan.config.trainer is not None:
        return []
    if dataset is None:
        kind = plan.config.dataset
        other = ", or draws glyphs where it cannot" if kind == "auto" else ""
        return [] if kind == "glyphs" else [f"the search downloads Omniglot first{other}"]
    checked = check_study_data(plan, dataset)
    return [*([dataset.notice] if dataset.notice else []), *dataset.notices, *checked]


def _drive(
    plan: StudyPlan, place: DataPlace, workplace: Workplace, watch: Watch, caught: Caught
) -> int:
    with interrupts(caught):
        try:
            with closing(workplace.make()) as executor:
                _run_driver(plan, place, executor, watch, caught)
        except Interrupted as stop:  # results that could not be written are in the trials' folders
            say(str(stop))
    if caught.count:
        say("the same command continues")
        return caught.exit_code
    view = read_study(plan.folder)
    if left := len(waiting(plan.folder)):
        notice(f"{count(left, 'request')} left: search on with a larger budget", err=False)
    best, certificate = best_of(view)
    if (gained := gain_of_search(view)) and not certificate:
        say(gained)
    say(best_in_words(view))
    if best is not None:
        root = shell_word(plan.folder.root)
        confirm = f"hpsearch confirm {root}, or " if not certificate and candidates(view) else ""
        say(f"next: {confirm}hpsearch export {root}")
    return 0


def _run_driver(
    plan: StudyPlan, place: DataPlace, executor: Executor, watch: Watch, caught: Caught
) -> None:
    with watch(plan.config.name, read_certificate(plan.folder)) as observer:
        driver = Driver(plan, place, executor, observer, lambda: caught.count)
        reason = driver.run()
    progress = driver.progress()
    say(f"{reason}: {in_states(progress.counts, ('complete', 'pruned', 'failed'))}")


@contextmanager
def interrupts(caught: Caught) -> Iterator[None]:
    """Count SIGINT and SIGTERM instead of ending the process."""
    main = threading.current_thread() is threading.main_thread()  # only there can handlers be set
    signals = (signal.SIGINT, signal.SIGTERM) if main else ()
    before = {s: signal.signal(s, caught.note) for s in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def held_dataset(plan: StudyPlan, data: Path | None = None) -> Dataset:
    """Find the data of a study, with its size of tasks; one that has begun keeps its data.

    Raises:
        InputError: The data are missing, or are not the study's.
    """
    return _found(plan, data).asking(plan.config.ways, plan.config.shots)


def _found(plan: StudyPlan, data: Path | None) -> Dataset:
    from hpsearch.data import open_packed
    from hpsearch.data.packed_files import verify_packed

    folder, wanted = plan.folder, plan.config.dataset
    if not folder.dataset.exists():
        reading = plan.config.reading
        return find_dataset(wanted, data, progress=_step_lines(), pictures=reading)
    held = read_dataset(folder.dataset)
    source = data or (Path(held["source"]) if held.get("source") else None)
    packed = Path(held.get("packed") or "nowhere")
    if data is None and (packed / "meta.json").exists():
        dataset = open_packed(packed)
        verify_packed(packed)
    else:
        kind = held["kind"] if data is None else wanted
        fingerprint = held["fingerprint"]
        dataset = find_dataset(kind, source, progress=_step_lines(), fingerprint=fingerprint)
    if dataset.fingerprint != held["fingerprint"]:
        raise InputError(
            f"{folder.dataset}: the study was begun on {held['kind']} with fingerprint "
            f"{held['fingerprint'][:12]}, found {dataset.kind} with {dataset.fingerprint[:12]}; "
            "leave --data (DATA=) out, or name another --output (OUTPUT=)"
        )
    return dataset


def _step_lines() -> Callable[[str, int, int], None]:
    """Return a progress callback that prints each step once, on standard error."""
    steps: set[str] = set()

    def progress(name: str, _done: int, _total: int) -> None:
        if name not in steps:
            steps.add(name)
            say(f"{name} ...", err=True)

    return progress


def _notices(plan: StudyPlan) -> list[str]:
    """Return notices about how this study proposes trials."""
    notices = []
    kind = network_filesystem(plan.folder.root)
    if kind and not Database(plan.folder, plan.config.storage).is_server:
        notices.append(
            f"{plan.folder.root} is on a network file system ({kind}), whose locks are "
            "unreliable; a local disk is safer"
        )
    if prior := plan.prior:
        learnt = count(len(prior.trials), "trial")
        notices.append(
            f"learning from {learnt} of {prior.study}, the same problem: its results count in full"
            if prior.same
            else f"{prior.study} has another data set, input size or setting: its best "
            "configuration is tried first"
        )
    single = [name for name, parameter in plan.space.parameters.items() if parameter.single]
    if fixed := ", ".join(name for name in single if name not in plan.config.freeze):
        only = "only one value, so the search never changes it; `freeze` does the same"
        notices.append(f"{fixed}: {only}")
    if idle := _idle_pruner(plan):
        notices.append(idle)
    if not plan.config.sampler.replayable:
        notices.append(
            "EIps uses measured training times, so another machine or another run of this study "
            "proposes other trials"
        )
    return notices


def _idle_pruner(plan: StudyPlan) -> str | None:
    """Return why a study's pruner can prune no trial, or None."""
    pruner, trials = plan.config.pruner, plan.config.budget.trials
    needed = fewest_trials(pruner, plan.resource)
    if pruner.name == "none":
        return None
    length = "trainer.max_steps" if plan.config.trainer else "trial.max_epochs"
    if needed is None:
        return (
            f"pruner {pruner.name} can prune no trial: pruner.min_resource {pruner.min_resource} "
            f"is not below {length} {plan.resource.whole}"
        )
    if trials is None or trials >= needed:
        return None
    lower = f"; lower pruner.startup_trials {pruner.startup_trials}"
    return (
        f"pruner {pruner.name} can prune no trial before there are {needed}, but budget.trials is "
        f"{trials}{'' if pruner.name == 'expected' else lower}"
    )


def _describe_dataset(plan: StudyPlan, dataset: Dataset, data: Path | None) -> dict[str, Any]:
    asked, config = {}, plan.config
    if dataset.size.many:  # Omniglot's noise was measured
        characters = dataset.labels("validation")
        _, tasks = objective_tasks(characters, dataset.size, config.objective, config.seed)
        asked = {"pictures": tasks.n_pictures}
    return {
        "kind": dataset.kind,
        "fingerprint": dataset.fingerprint,
        "packed": str(dataset.folder.resolve()),
        "source": str(data.resolve()) if data else None,
        "description": dataset.description,
        "ways": dataset.ways,
        "n_tasks": dataset.size.runs * dataset.ways,
        **asked,
    }
