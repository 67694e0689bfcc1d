"""What a warm start learns from another study.

Trials of the same problem count as measured. Of a study with another data set, input size or
setting only the configuration that it hands over is taken: it is the first one that is asked for.
None of them is a trial of this study: budget, pruners and the best trial ignore them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpsearch.errors import InputError
from hpsearch.json_files import EndedTrial
from hpsearch.records import Record, damaged, read_record
from hpsearch.space.problem import SearchProblem
from hpsearch.trial import TrialRecord, Value


class PriorFile(Record):
    """prior.json of a study."""

    study: str
    same: bool
    fades_after: int | None = None
    """Written by earlier versions."""
    trials: list[EndedTrial]


@dataclass(frozen=True)
class Prior:
    """Ended trials of another study, in this study's parameters.

    Args:
        study: The other study's name.
        same: Whether it is the same problem: data, input size and all settings not searched.
        trials: The trials, numbered below zero; of another problem the one it hands over.
    """

    study: str
    same: bool
    trials: tuple[TrialRecord, ...]

    @property
    def first(self) -> Mapping[str, Value] | None:
        """The configuration to try before any other, None if there is none."""
        return None if self.same else self.trials[0].params

    def check(self, path: Path) -> None:
        """Refuse to go on with what an earlier version learnt from another problem.

        Raises:
            InputError: It holds the ranks of several trials.
        """
        if not self.same and len(self.trials) != 1:
            raise InputError(
                f"{path}: holds {len(self.trials)} trials of another problem, whose ranks taught "
                "the sampler in earlier versions; start a new study with --from"
            )

    def keys(self, problem: SearchProblem) -> set[tuple[Value | None, ...]]:
        """Return the configurations that were tried on the same problem."""
        return {problem.key(t.params) for t in self.trials} if self.same else set()

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Prior:
        """Read what `to_json` wrote."""
        trials = tuple(TrialRecord.from_json(t) for t in values["trials"])
        return cls(values["study"], values["same"], trials)


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
