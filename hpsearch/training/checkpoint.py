"""Checkpoints: the whole state of a training, in one file with a checksum.

A file is a magic line, the SHA-256 of the rest, then safetensors. The previous file is kept.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from hpsearch.training.checkpoint_file import (
    of_configuration,
    previous,
    unwrap,
    wrap,
    write_keeping_previous,
)
from hpsearch.training.config import TrialConfig
from hpsearch.training.epoch import EpochResult

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a training.

    Args:
        tensors: ``weights.*``, ``average.*``, the optimiser's, ``best.*``, generators, by name.
        state: Plain values: epoch, step, loss sums, generator states, the curve.
    """

    tensors: dict[str, Tensor]
    state: dict[str, Any]

    @property
    def curve(self) -> list[EpochResult]:
        """All epochs so far."""
        return [EpochResult.from_json(values) for values in self.state["curve"]]

    @property
    def finished(self) -> bool:
        """Whether training has reached its end."""
        return bool(self.state["finished"])

    def belongs_to(self, config: TrialConfig) -> bool:
        """Return whether it belongs to a configuration; see `of_configuration`."""
        return of_configuration(self.state, config)

    def weights(self) -> dict[str, Tensor]:
        """Return the current weights by name; the averaged ones if training averages."""
        return self._part("average.") or self._part("weights.")

    def best_weights(self) -> dict[str, Tensor]:
        """Return the weights of the epoch with the lowest validation error."""
        return self._part("best.")

    def _part(self, prefix: str) -> dict[str, Tensor]:
        return {n.removeprefix(prefix): t for n, t in self.tensors.items() if n.startswith(prefix)}


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; the old file becomes PATH.previous once the new one is whole.

    Raises:
        EnvironmentFailure: It could not be written.
    """
    content = safetensors.torch.save(
        {n: t.contiguous() for n, t in checkpoint.tensors.items()},
        {"state": json.dumps(checkpoint.state)},
    )
    write_keeping_previous(path, wrap(content))


def load(path: Path) -> Checkpoint | None:
    """Read a checkpoint, or the previous one if it is damaged; None if there is none."""
    for candidate in (path, previous(path)):
        try:
            return read(candidate)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
            log.warning("%s: damaged (%s); going back to the one before", candidate, error)
    return None


def read(path: Path) -> Checkpoint:
    """Read one file.

    Raises:
        ValueError: The file is damaged or is no checkpoint.
        InputError: A newer version wrote it.
    """
    body = unwrap(path.read_bytes(), str(path))
    tensors = safetensors.torch.load(body)
    size = int.from_bytes(body[:8], "little")
    state = json.loads(json.loads(body[8 : 8 + size])["__metadata__"]["state"])
    return Checkpoint(tensors, state)
