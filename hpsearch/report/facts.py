"""The facts of a report, read once from the study's folder. Draws nothing, opens no test set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.confirm.certificate import best_of
from hpsearch.data import Dataset, open_packed
from hpsearch.data.cache import places_beside
from hpsearch.driver.stopping import tasks_behind
from hpsearch.errors import EnvironmentFailure, HpsearchError
from hpsearch.json_files import Opening
from hpsearch.maintenance.at_work import standings
from hpsearch.measure import Measure
from hpsearch.paths import StudyFolder
from hpsearch.records import parse_record, read_regular
from hpsearch.scoring.baselines import read_baselines
from hpsearch.scoring.evaluate import read_evaluation
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.config import StudyConfig
from hpsearch.trial import TrialRecord


@dataclass(frozen=True, eq=False)
class Facts:
    """The facts of one study.

    Args:
        view: Content of its database and study file.
        problem: Its search problem.
        dataset: Its data; None if the packed folder is missing.
        openings: All logged openings of the sealed test set, oldest first.
        baselines: Result of `hpsearch baselines` on its data.
        evaluation: Result of `hpsearch evaluate` for its model.
        others: Evaluations of other models on the same data, by name.
        best: The confirmed trial, else the complete one with the lowest error.
        certificate: Result of `hpsearch confirm`; None while unconfirmed.
        standings: The state of each trial, by number.
    """

    view: StudyView
    problem: SearchProblem
    dataset: Dataset | None
    openings: Sequence[Mapping[str, Any]]
    baselines: Mapping[str, Any] | None
    evaluation: Mapping[str, Any] | None
    others: Mapping[str, Mapping[str, Any]]
    best: TrialRecord | None
    certificate: Mapping[str, Any] | None
    standings: Mapping[int, str]

    @cached_property
    def counts(self) -> Counter[str]:
        """Number of trials by `outcome`."""
        return Counter(self.outcome(t) for t in self.view.trials)

    @cached_property
    def scored(self) -> list[TrialRecord]:
        """Ended, trainable trials with a finite error, by number."""
        return [
            t
            for t in self.view.trials
            if t.state in ("complete", "pruned")
            and t.trainable
            and t.value is not None
            and np.isfinite(t.value)
            and self.problem.has_all(t.params)
        ]

    @cached_property
    def points(self) -> NDArray[np.float64]:
        """The scored trials in the unit cube, [trials, free coordinates]."""
        shares = [self.problem.cube.shares(t.params) for t in self.scored]
        return np.array(shares, np.float64).reshape(len(shares), len(self.problem.cube.names))

    @cached_property
    def errors(self) -> NDArray[np.float64]:
        """The scored trials' values, as the search holds them: lower is better."""
        return np.array([t.value for t in self.scored], np.float64)

    @property
    def shown(self) -> Measure:
        """How values are shown."""
        return self.view.config.shown

    @property
    def n_tasks(self) -> int | None:
        """Number of one-shot tasks behind each error; None under the dense objective."""
        if not self.shown.share or self.view.config.objective != "tasks_320":
            return None
        return tasks_behind(self.view.config, self.view.dataset)

    def outcome(self, trial: TrialRecord) -> str:
        """Return a trial's state as its study shows it, or `not trainable`."""
        return self.standings[trial.number] if trial.trainable else "not trainable"


def read_facts(folder: StudyFolder, beside: Sequence[Path] = ()) -> Facts:
    """Read a study's folder without changing it.

    Args:
        folder: The study's folder.
        beside: Folders of other studies whose evaluated models are compared with this one's.

    Raises:
        InputError: The folder holds no readable study.
    """
    view = read_study(folder)
    problem = SearchProblem(
        SearchSpace.from_yaml(folder.space_file), view.config.recipe, view.config.limits
    )
    best, certificate = best_of(view)
    if view.config.trainer is not None:
        return Facts(
            view, problem, None, (), None, None, {}, best, certificate, standings(view)
        )  # a command has no one-shot tasks
    fingerprint, packed = view.dataset["fingerprint"], Path(view.dataset.get("packed") or "")
    logs = [place / "openings.jsonl" for place in (folder.root, *places_beside(packed))]
    others = {path.resolve().name: read_evaluation(path / "model", fingerprint) for path in beside}
    return Facts(
        view=view,
        problem=problem,
        dataset=_dataset(packed, fingerprint, view.config),
        openings=openings_in(logs, fingerprint),
        baselines=read_baselines(packed, fingerprint),
        evaluation=read_evaluation(folder.model, fingerprint),
        others={name: found for name, found in others.items() if found},
        best=best,
        certificate=certificate,
        standings=standings(view),
    )


def _dataset(packed: Path, fingerprint: str, study: StudyConfig) -> Dataset | None:
    try:
        dataset = open_packed(packed).asking(study.ways, study.shots)
    except HpsearchError:
        return None
    return dataset if dataset.fingerprint == fingerprint else None


def openings_in(logs: Sequence[Path], fingerprint: str) -> list[dict[str, Any]]:
    """Return the logged openings of a data set from several logs, oldest first."""
    found = []
    for log in logs:
        try:
            lines = read_regular(log).splitlines()
        except (FileNotFoundError, ValueError, EnvironmentFailure):
            continue
        for line in lines:
            try:
                entry = parse_record(line, Opening).values
            except ValueError:
                unread = "unreadable line of the log"
                entry = {"time": "", "reason": unread, "fingerprint": fingerprint}
            if (entry.get("fingerprint") or fingerprint) == fingerprint:
                found.append(entry)
    return sorted(found, key=lambda entry: str(entry.get("time", "")))
