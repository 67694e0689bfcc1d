"""What `hpsearch search` does: plan, lock, find the data, start workers, drive, say the end."""

from __future__ import annotations

import os
import signal
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from hpsearch.cli.executors import Workplace, find_workplace
from hpsearch.cli.live import forecast_line, make_observer
from hpsearch.configfile import read_json
from hpsearch.data import Dataset
from hpsearch.data.find import find_dataset
from hpsearch.errors import InputError
from hpsearch.paths import network_filesystem, shell_word
from hpsearch.results.certificate import best_of
from hpsearch.search.config import Budget, StudyConfig
from hpsearch.search.coordinates import Coordinates
from hpsearch.search.data_check import check_study_data
from hpsearch.search.driver import Driver
from hpsearch.search.enqueue import enqueued_points
from hpsearch.search.forecast import standard_error
from hpsearch.search.pruners import fewest_trials
from hpsearch.search.record import read_study
from hpsearch.search.resource import Resource
from hpsearch.search.samplers.config import SamplerConfig
from hpsearch.search.stopping import forecast_study, tasks_behind
from hpsearch.search.storage import check_usable, is_server
from hpsearch.search.study_folder import StudyPlan, plan_study, save_plan, study_lock
from hpsearch.search.suggest import suggest
from hpsearch.search.surroundings import DataPlace
from hpsearch.search.warm_start import with_prior

TYPICAL = 64
"""Random configurations whose cost stands for a study's."""


def run_search(
    study: str,
    data: Path | None,
    changes: Mapping[str, Any],
    output: Path | None,
    *,
    dry_run: bool,
) -> int:
    """Run or continue a search; return the exit code.

    Raises:
        InputError: Something to mend before anything is written.
        EnvironmentFailure: Something failed on the way; the same command resumes.
    """
    plan = plan_study(study, output, changes)
    enqueued_points(plan.config, Coordinates(plan.space, plan.config.trial, plan.config.limits))
    workplace = find_workplace(plan)
    if dry_run:
        named = _named_dataset(plan, data)
        _describe(plan, workplace)
        for text in _data_notices(plan, named) if named else ():
            typer.echo(f"NOTE: {text}")
        return 0
    with_prior(plan, {})  # a source that cannot be learnt from is refused before anything is written
    check_usable(plan.folder, plan.config.storage, plan.config.name)
    dataset = held_dataset(plan, data)
    of_data = _data_notices(plan, dataset)  # refused, if at all, before anything is written
    # On a server the study's leases keep drivers apart; its folder may be shared by them.
    alone = nullcontext() if is_server(plan.config.storage) else study_lock(plan.folder)
    with alone:
        typer.echo(f"{plan.config.name} in {plan.folder.root}: {dataset.description}")
        for text in of_data:
            typer.echo(f"NOTE: {text}")
        kind = network_filesystem(plan.folder.root)
        if kind and not is_server(plan.config.storage):
            typer.echo(
                f"NOTE: {plan.folder.root} lies on a network file system ({kind}), whose locks are "
                "not to be trusted; a local disk is safer"
            )
        described = _describe_dataset(dataset, data)
        plan = with_prior(plan, described)
        for text in _notices(plan):
            typer.echo(f"NOTE: {text}")
        save_plan(plan, described)
        return _drive(plan, dataset, workplace)


def _drive(plan: StudyPlan, dataset: Dataset, workplace: Workplace) -> int:
    place = DataPlace(str(dataset.folder.resolve()), dataset.fingerprint)
    executor = workplace.make()
    # After the executor: Ray sets signal handlers of its own when it starts.
    with interrupts() as caught:
        try:
            with make_observer(plan.config.name) as observer:
                driver = Driver(plan, place, executor, observer, lambda: caught.count)
                reason = driver.run()
        finally:
            executor.close()
    progress = driver.progress()
    counts = ", ".join(
        f"{progress.counts.get(s, 0)} {s}" for s in ("complete", "pruned", "failed")
    )
    typer.echo(f"{reason}: {counts}")
    if caught.count:
        typer.echo("the same command continues")
        return 128 + caught.signal
    view = read_study(plan.folder)
    best, certificate = best_of(view)
    if best is not None and best.value is not None:
        error = standard_error(best.value, tasks_behind(view.config, view.dataset))
        figure = f"best: trial {best.number}, validation error {best.value:.3f} ± {error:.3f}"
        root = shell_word(plan.folder.root)
        if certificate is None:
            advice = f"(unconfirmed); next: hpsearch confirm {root}, or hpsearch export {root}"
        else:
            advice = f"(confirmed: {certificate['error']:.3f}); next: hpsearch export {root}"
        typer.echo(f"{figure} {advice}")
    return 0


@dataclass
class Caught:
    """Interrupts so far, and the last signal."""

    count: int = 0
    signal: int = 0


@contextmanager
def interrupts() -> Iterator[Caught]:
    """Count SIGINT and SIGTERM instead of dying of them."""
    caught = Caught()

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


def held_dataset(plan: StudyPlan, data: Path | None = None) -> Dataset:
    """Find the data; a study's folder goes on with what it holds.

    Raises:
        InputError: They are not there, or are not the study's.
    """
    from hpsearch.data import open_packed

    folder, wanted = plan.folder, plan.config.dataset
    if not folder.dataset.exists():
        return find_dataset(wanted, data, progress=_tell_once())
    held = read_json(folder.dataset)
    source = data or (Path(held["source"]) if held.get("source") else None)
    packed = Path(held["packed"])
    if data is None and (packed / "meta.json").exists():
        dataset = open_packed(packed)
    else:
        kind = held["kind"] if data is None else wanted
        fingerprint = held["fingerprint"]
        dataset = find_dataset(kind, source, progress=_tell_once(), fingerprint=fingerprint)
    if dataset.fingerprint != held["fingerprint"]:
        raise InputError(
            f"{folder.dataset}: the study was begun on {held['kind']} with fingerprint "
            f"{held['fingerprint'][:12]}, found is {dataset.kind} with {dataset.fingerprint[:12]}; "
            "leave --data (DATA=) out, or name another --output (OUTPUT=)"
        )
    return dataset


def _named_dataset(plan: StudyPlan, data: Path | None) -> Dataset | None:
    """Return the data that are at hand; None where a search would look for them, or draw them."""
    if data is None and not plan.folder.dataset.exists() and not os.environ.get("HPSEARCH_DATA"):
        return None
    return held_dataset(plan, data)


def _data_notices(plan: StudyPlan, dataset: Dataset) -> list[str]:
    """Return what a person should know of the data; refuse those that the study cannot use."""
    checked = check_study_data(plan, dataset)
    return [*([dataset.notice] if dataset.notice else []), *dataset.notices, *checked]


def _tell_once() -> Callable[[str, int, int], None]:
    """Return a progress callback that names each step once."""
    told: set[str] = set()

    def tell(step: str, _done: int, _total: int) -> None:
        if step not in told:
            told.add(step)
            typer.echo(f"{step} ...", err=True)

    return tell


def _notices(plan: StudyPlan) -> list[str]:
    """Return what a person should know of how this study proposes trials."""
    notices = []
    prior = plan.prior
    if prior is not None:
        other = (
            f"another data set, input size or setting: a prior, gone after {prior.fades_after} "
            "finished trials"
        )
        what = "the same problem: what it measured counts" if prior.same else other
        notices.append(f"learning from {len(prior.trials)} trial(s) of {prior.study}, {what}")
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


def _describe(plan: StudyPlan, workplace: Workplace) -> None:
    config = plan.config
    coordinates = Coordinates(plan.space, config.trial, config.limits)
    prior = with_prior(plan, {}).prior  # as of other data: which they are is not known yet
    typer.echo(f"{config.name} in {plan.folder.root}: {config.description}")
    held = len(plan.space.parameters) - len(coordinates.free)
    typer.echo(
        f"{len(plan.space.parameters)} parameters{f', {held} of them held' if held else ''}, "
        f"sampler {config.sampler.name}, "
        f"pruner {config.pruner.name}, {workplace.words}, seed {config.seed}"
    )
    for text in _notices(plan):
        typer.echo(f"NOTE: {text}")
    typer.echo(f"feasible share of the filter sizes: {coordinates.feasible_share():.1%}")
    if config.warm_start is not None:
        count = 0 if prior is None else len(prior.trials)
        typer.echo(
            f"learns from {count} ended trial(s) of {config.warm_start.study}: as measured where "
            "data and settings are the same, else as a prior that fades"
        )
    typer.echo(
        f"{config.trial.max_epochs} epochs of {config.trial.images_per_epoch} images at most; "
        f"budget: {_budget(config.budget)}"
    )
    typer.echo(_expectation(plan))


def _budget(budget: Budget) -> str:
    parts = [
        f"{limit:g} {name}"
        for name, limit in (
            ("trials", budget.trials), ("hours", budget.hours), ("multiply-adds", budget.compute)
        )
        if limit is not None
    ]
    return ", ".join([*parts, *([f"or {budget.stop_when}"] if budget.stop_when else [])])


def _expectation(plan: StudyPlan) -> str:
    """Say what is left of a study that has begun, or what a trial of a new one costs."""
    begun = plan.folder.study_file if is_server(plan.config.storage) else plan.folder.database
    if begun.exists():
        view = replace(read_study(plan.folder), config=plan.config)
        known = forecast_line(forecast_study(view))
        return f"{len(view.trials)} trials so far, {known or 'too few to tell what is left'}"
    coordinates = Coordinates(plan.space, plan.config.trial, plan.config.limits)
    resource = Resource(plan.config.pruner.resource, plan.config.trial)
    costs = []
    for number in range(TYPICAL):
        params = suggest(coordinates, SamplerConfig(name="random"), [], plan.config.seed, number)
        costs.append(resource.cost(params) * resource.length(params))
    low, middle, high = statistics.quantiles(costs, n=4)
    return (
        f"a whole trial costs about {middle:.2g} multiply-adds ({low:.2g} to {high:.2g} for half "
        "of them); how long that takes shows after the first trials"
    )
