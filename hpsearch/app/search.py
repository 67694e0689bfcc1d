"""What `hpsearch search` does: plan, lock, find the data, start workers, drive, say the end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hpsearch.app.dry_run import describe, too_long
from hpsearch.app.executors import Workplace, find_workplace
from hpsearch.app.watch import Watcher
from hpsearch.data import Dataset
from hpsearch.driver.driver import Driver
from hpsearch.driver.warm_start import with_prior
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.execution import Executor
from hpsearch.json_files import read_dataset
from hpsearch.paths import StudyFolder, cache_folder, network_filesystem, shell_word
from hpsearch.pruners import fewest_trials
from hpsearch.pruners.resource import Resource
from hpsearch.results.best import best_in_words
from hpsearch.results.certificate import best_of, read_certificate
from hpsearch.sources.find import find_dataset
from hpsearch.space.problem import SearchProblem
from hpsearch.storage.database import check_not_edited, read_study
from hpsearch.storage.engine import check_usable, is_server
from hpsearch.study.config import StudyConfig
from hpsearch.study.data_check import check_study_data
from hpsearch.study.enqueue import enqueued_points
from hpsearch.study.plan import (
    DataPlace,
    StudyPlan,
    lock_holder,
    plan_study,
    save_plan,
    study_lock,
)
from hpsearch.waiting import Interrupted
from hpsearch.wording import count


def run_search(
    study: str,
    data: Path | None,
    changes: Mapping[str, Any],
    output: Path | None,
    watcher: Watcher,
    *,
    dry_run: bool,
) -> int:
    """Run or continue a search; return the exit code: 0, or 128 and the signal that stopped it.

    Args:
        study: A study file, a shipped name, or a study's folder.
        data: Where the data lie; None looks where they may be.
        changes: Settings by path that replace the file's.
        output: The study's folder; None means runs/NAME.
        watcher: Who is shown what happens.
        dry_run: Whether to say what would be done, and do nothing.

    Raises:
        InputError: Something to mend before anything is written.
        EnvironmentFailure: Something failed on the way; the same command resumes.
    """
    caught = Caught()
    with watcher.unwaited(lambda: caught.count):
        plan = plan_study(study, output, changes)
        return _search(plan, data, watcher, caught, dry_run=dry_run)


def _search(
    plan: StudyPlan, data: Path | None, watcher: Watcher, caught: Caught, *, dry_run: bool
) -> int:
    check_not_edited(plan.folder)
    workplace = find_workplace(plan)
    dataset, plan = prepare(plan, data, watcher.step, fetch=not dry_run)
    notices = [*_data_notices(plan, dataset), *_notices(plan)]
    if dry_run:
        for line in describe(plan, workplace, notices):
            watcher.say(line)
        return 0
    assert dataset is not None  # it was fetched
    notices += too_long(plan, workplace)
    # On a server the study's leases keep drivers apart; its folder may be shared by them.
    alone = nullcontext() if is_server(plan.config.storage) else study_lock(plan.folder)
    with alone:
        watcher.say(f"{plan.config.name} in {plan.folder.root}: {dataset.description}")
        for text in notices:
            watcher.say(f"NOTE: {text}")
        save_plan(plan, _describe_dataset(dataset, data))
        return _drive(plan, dataset, workplace, watcher, caught)


def prepare(
    plan: StudyPlan, data: Path | None, step: Callable[[str], None], *, fetch: bool
) -> tuple[Dataset | None, StudyPlan]:
    """Check everything a search rests on, before anything is written; find the data.

    Args:
        plan: The study.
        data: Where the data lie, as a person named it.
        step: Told of each step of preparing them.
        fetch: Whether data that are not here are downloaded or drawn.

    Returns:
        The data, None where they would have to be fetched; the plan with its prior.

    Raises:
        InputError: Something to mend.
        EnvironmentFailure: The storage cannot be used, or the folder not written.
    """
    enqueued_points(plan.config, SearchProblem(plan.space, plan.config.trial, plan.config.limits))
    with_prior(
        plan, {}
    )  # a source that cannot be learnt from is refused before data are looked for
    check_usable(plan.folder, plan.config.storage, plan.config.name)
    check_free(plan.folder, plan.config.storage)
    dataset = held_dataset(plan, step, data) if fetch or _at_hand(plan, data) else None
    return dataset, with_prior(plan, _describe_dataset(dataset, data) if dataset else {})


def check_free(folder: StudyFolder, storage: str) -> None:
    """Refuse a folder that another process holds, or that cannot be written.

    Raises:
        InputError: The study is held, or the folder's name is a file's.
        EnvironmentFailure: The folder cannot be written.
    """
    if not is_server(storage) and (holder := lock_holder(folder)):
        raise InputError(f"{folder.root}: the study is held by {holder}; wait for it or stop it")
    above = next(p for p in (folder.root, *folder.root.absolute().parents) if p.exists())
    if not above.is_dir():
        raise InputError(f"{above}: is a file; name another --output")
    if not os.access(above, os.W_OK | os.X_OK):
        raise EnvironmentFailure(
            f"{above}: cannot be written; mend that, or name another --output"
        )


def _at_hand(plan: StudyPlan, data: Path | None) -> bool:
    """Say whether the data can be had without a download, and without drawing glyphs."""
    if data is not None or os.environ.get("HPSEARCH_DATA") or plan.folder.dataset.exists():
        return True
    if plan.config.dataset == "folder":
        return True  # to be refused: they have to be named
    packed = cache_folder() / "packed"
    return plan.config.dataset != "glyphs" and any(packed.glob("omniglot-*"))


def _data_notices(plan: StudyPlan, dataset: Dataset | None) -> list[str]:
    """Return what a person should know of the data; refuse those that the study cannot use."""
    if dataset is None:
        kind = plan.config.dataset
        other = ", or draws glyphs where it cannot" if kind == "auto" else ""
        return [] if kind == "glyphs" else [f"the search downloads Omniglot first{other}"]
    checked = check_study_data(plan, dataset)
    return [*([dataset.notice] if dataset.notice else []), *dataset.notices, *checked]


def _drive(
    plan: StudyPlan, dataset: Dataset, workplace: Workplace, watcher: Watcher, caught: Caught
) -> int:
    executor = workplace.make()
    # After the executor: Ray sets signal handlers of its own when it starts.
    with interrupts(caught):
        try:
            _run_driver(plan, dataset, executor, watcher, caught)
        except Interrupted as stop:  # what could not be written is in the trials' folders
            watcher.say(str(stop))
        finally:
            executor.close()
    if caught.count:
        watcher.say("the same command continues")
        return 128 + caught.signal
    _say_best(plan, watcher)
    return 0


def _run_driver(
    plan: StudyPlan, dataset: Dataset, executor: Executor, watcher: Watcher, caught: Caught
) -> None:
    place = DataPlace(str(dataset.folder.resolve()), dataset.fingerprint)
    with watcher.observe(plan.config.name, read_certificate(plan.folder)) as observer:
        driver = Driver(plan, place, executor, observer, lambda: caught.count)
        reason = driver.run()
    progress = driver.progress()
    counts = ", ".join(
        f"{progress.counts.get(s, 0)} {s}" for s in ("complete", "pruned", "failed")
    )
    watcher.say(f"{reason}: {counts}")


def _say_best(plan: StudyPlan, watcher: Watcher) -> None:
    view = read_study(plan.folder)
    best, certificate = best_of(view)
    watcher.say(best_in_words(view, best, certificate))
    if best is not None:
        root = shell_word(plan.folder.root)
        confirm = "" if certificate else f"hpsearch confirm {root}, or "
        watcher.say(f"next: {confirm}hpsearch export {root}")


@dataclass
class Caught:
    """Interrupts so far, and the last signal."""

    count: int = 0
    signal: int = 0


@contextmanager
def interrupts(caught: Caught | None = None) -> Iterator[Caught]:
    """Count SIGINT and SIGTERM instead of dying of them."""
    caught = caught or Caught()

    def note(number: int, _: FrameType | None) -> None:
        caught.count += 1
        caught.signal = number

    main = threading.current_thread() is threading.main_thread()  # only there handlers can be set
    signals = (signal.SIGINT, signal.SIGTERM) if main else ()
    before = {s: signal.signal(s, note) for s in signals}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def held_dataset(
    plan: StudyPlan, step: Callable[[str], None], data: Path | None = None
) -> Dataset:
    """Find the data; a study's folder goes on with what it holds.

    Raises:
        InputError: They are not there, or are not the study's.
    """
    from hpsearch.data import open_packed
    from hpsearch.data.packed_files import verify_packed

    folder, wanted = plan.folder, plan.config.dataset
    if not folder.dataset.exists():
        return find_dataset(wanted, data, progress=_once(step))
    held = read_dataset(folder.dataset)
    source = data or (Path(held["source"]) if held.get("source") else None)
    packed = Path(held.get("packed") or "nowhere")
    if data is None and (packed / "meta.json").exists():
        dataset = open_packed(packed)
        verify_packed(packed)
    else:
        kind = held["kind"] if data is None else wanted
        fingerprint = held["fingerprint"]
        dataset = find_dataset(kind, source, progress=_once(step), fingerprint=fingerprint)
    if dataset.fingerprint != held["fingerprint"]:
        raise InputError(
            f"{folder.dataset}: the study was begun on {held['kind']} with fingerprint "
            f"{held['fingerprint'][:12]}, found is {dataset.kind} with {dataset.fingerprint[:12]}; "
            "leave --data (DATA=) out, or name another --output (OUTPUT=)"
        )
    return dataset


def _once(step: Callable[[str], None]) -> Callable[[str, int, int], None]:
    """Return a progress callback that names each step once."""
    told: set[str] = set()

    def tell(name: str, _done: int, _total: int) -> None:
        if name not in told:
            told.add(name)
            step(f"{name} ...")

    return tell


def _notices(plan: StudyPlan) -> list[str]:
    """Return what a person should know of how this study proposes trials."""
    notices = []
    kind = network_filesystem(plan.folder.root)
    if kind and not is_server(plan.config.storage):
        notices.append(
            f"{plan.folder.root} lies on a network file system ({kind}), whose locks are not to be "
            "trusted; a local disk is safer"
        )
    prior = plan.prior
    if prior is not None:
        other = (
            f"another data set, input size or setting: a prior, gone after {prior.fades_after} "
            "finished trials"
        )
        what = "the same problem: what it measured counts" if prior.same else other
        notices.append(
            f"learning from {count(len(prior.trials), 'trial')} of {prior.study}, {what}"
        )
    single = [
        name for name, parameter in plan.space.parameters.items()
        if parameter.single and name not in plan.config.freeze
    ]  # fmt: skip
    if single:
        notices.append(
            f"{', '.join(single)}: one value only, so the search never changes it; `freeze` says so too"
        )
    if idle := _idle_pruner(plan.config):
        notices.append(idle)
    if not plan.config.sampler.replayable:
        notices.append(
            "EIps weighs measured training times, so another machine or another run of this study "
            "proposes other trials"
        )
    return notices


def _idle_pruner(config: StudyConfig) -> str | None:
    """Say why a study's pruner will end no trial, None where it may."""
    pruner, whole = config.pruner, config.trial.max_epochs
    needed = fewest_trials(pruner, Resource(pruner.resource, config.trial))
    if pruner.name == "none":
        return None
    if needed is None:
        return (
            f"pruner {pruner.name} ends no trial: pruner.min_resource {pruner.min_resource} is not "
            f"below trial.max_epochs {whole}"
        )
    if config.budget.trials is not None and config.budget.trials < needed:
        return (
            f"pruner {pruner.name} ends no trial until there are {needed}, and budget.trials is "
            f"{config.budget.trials}; pruner.startup_trials {pruner.startup_trials} may be lower"
        )
    return None


def _describe_dataset(dataset: Dataset, data: Path | None) -> dict[str, Any]:
    return {
        "kind": dataset.kind,
        "fingerprint": dataset.fingerprint,
        "packed": str(dataset.folder.resolve()),
        "source": str(data.resolve()) if data else None,
        "description": dataset.description,
        "ways": dataset.ways,
        "n_tasks": 16 * dataset.ways,
    }
