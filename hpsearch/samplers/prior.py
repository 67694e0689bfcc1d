"""The trials of another study that a warm start learns from.

Trials of the same problem keep their values. Of trials with another data set or input size only
the ranking counts, and they are dropped one by one as trials of this study finish. None of them
counts as a trial of this study: budget, pruners and the best trial ignore them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from hpsearch.json_files import EndedTrial
from hpsearch.records import Record, damaged, read_record
from hpsearch.samplers.base import Observation, observe
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import TrialRecord, Value


class PriorFile(Record):
    """prior.json of a study."""

    study: str
    same: bool
    fades_after: Annotated[int, Field(ge=1)]
    trials: list[EndedTrial]


@dataclass(frozen=True)
class Prior:
    """Ended trials of another study, in this study's parameters.

    Args:
        study: The other study's name.
        same: Whether it is the same problem: data, input size and all settings not searched.
        fades_after: Settled trials of this study after which another problem's trials are gone.
        trials: The trials, numbered below zero.
    """

    study: str
    same: bool
    fades_after: int
    trials: tuple[TrialRecord, ...]

    def count(self, settled: int) -> int:
        """Return how many trials still count after `settled` settled trials of this study."""
        if self.same:
            return len(self.trials)
        left = max(0.0, 1 - settled / self.fades_after)
        return math.ceil(left * len(self.trials))

    def keys(self, problem: SearchProblem) -> set[tuple[Value | None, ...]]:
        """Return the configurations that were tried on the same problem."""
        return {problem.key(t.params) for t in self.trials} if self.same else set()

    def observations(
        self, problem: SearchProblem, own: Sequence[Observation], settled: int
    ) -> list[Observation]:
        """Return the observations that still count, by number.

        Args:
            problem: This study's problem.
            own: This study's own observations.
            settled: Number of finished and paused trials of this study.
        """
        observed = observe(problem, self.trials)
        if self.same:
            return observed
        ranked = sorted(observed, key=_rank)
        places = np.linspace(0, len(ranked) - 1, min(self.count(settled), len(ranked)))
        kept = [ranked[k] for k in sorted({round(float(place)) for place in places})]
        measured = [o.value for o in own if o.kind in ("complete", "pruned", "paused")]
        values = [v for v in measured if v is not None]
        if len(set(values)) >= 2:
            kept = _to_scale(kept, values)
        return sorted(kept, key=lambda o: o.number)

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Prior:
        """Read what `to_json` wrote."""
        trials = tuple(TrialRecord.from_json(t) for t in values["trials"])
        return cls(values["study"], values["same"], values["fades_after"], trials)


def read_prior(path: Path) -> Prior | None:
    """Return the prior of a study; None if it has none.

    Raises:
        InputError: The file is damaged.
    """
    try:
        return Prior.from_json(read_record(path, PriorFile).values)
    except FileNotFoundError:
        return None
    except ValueError as error:
        fix = "restore it from a copy, the study's suggestions depend on it"
        raise damaged(path, error, fix) from error


def _rank(observation: Observation) -> tuple[bool, float, int]:
    """Return the sort key: by value, bad observations last."""
    value = math.inf if observation.value is None else observation.value
    return (observation.kind == "bad", value, observation.number)


def _to_scale(ranked: Sequence[Observation], own: Sequence[float]) -> list[Observation]:
    """Replace the values of ranked observations by this study's values of the same ranks.

    So the best trial of another data set is never better than the best one measured here.
    """
    scored = [o for o in ranked if o.kind != "bad"]
    shares = np.linspace(0.0, 1.0, len(scored)) if len(scored) > 1 else np.array([0.5])
    values = iter(np.quantile(own, shares[: len(scored)]).tolist())

    def moved(observation: Observation, value: float) -> Observation:
        return replace(observation, value=value, curve={1: value}, errors={})

    return [o if o.kind == "bad" else moved(o, next(values)) for o in ranked]
