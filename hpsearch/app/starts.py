"""Chooses the encoder that a study on own images starts from, before its first trial."""

from __future__ import annotations

from dataclasses import replace

from hpsearch.data import Dataset
from hpsearch.output import say
from hpsearch.study.plan import StudyPlan
from hpsearch.wording import count, interval, percent


def with_encoder(plan: StudyPlan, dataset: Dataset) -> StudyPlan:
    """Give the enqueued `encoder` of a new study its start; print what needs no training.

    A started study keeps its encoder.
    """
    open_entries = [e for e in plan.config.enqueue if e.config == "encoder" and not e.params]
    if not open_entries:
        return plan
    from hpsearch.results.starts import measure_starts

    found = measure_starts(dataset, plan.config)
    best = max(found.figures, key=lambda f: (f.accuracy, f.start is not None))
    asked = f"{dataset.ways} ways, {count(dataset.shots, 'shot')}"
    pictures = count(best.n_pictures, "picture")
    say(f"without training, on {best.n_tasks} validation tasks of {asked}, {pictures}:")
    for one in found.figures:
        say(f"  {one.name}: {percent(one.accuracy)} {interval(one.interval)}")
    if found.encoder == "backbone":
        return plan  # the entry has no other start to choose
    if best.start is None:
        say(f"  {best.name} does better than both networks before training")
    chosen = {"start": found.encoder}
    entries = tuple(
        entry.model_copy(update={"params": chosen}) if entry in open_entries else entry
        for entry in plan.config.enqueue
    )
    return replace(plan, config=plan.config.model_copy(update={"enqueue": entries}))
