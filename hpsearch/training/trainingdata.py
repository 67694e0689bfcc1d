"""The images of one trial on its device: training images and validation tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpsearch.backbones.cached import features_of
from hpsearch.data.dataset import Characters, Dataset
from hpsearch.data.dense import DenseTasks
from hpsearch.data.tasks import OneShotTasks
from hpsearch.network.views import View
from hpsearch.training.config import Objective, TrialConfig
from hpsearch.training.pairs import Sampler
from hpsearch.training.selection import select


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The part of a data set that training needs.

    Args:
        images: uint8 [N, S, S], the images to train on, ink = 255; in colour [N, 3, S, S]; of a
            backbone their features, [N, F].
        sampler: Draws rows of `images`.
        validation: As `images`, the images of the validation tasks, each once.
        tasks: The study's objective, as rows of `validation`.
        split: Training and validation drawers, and the validation alphabets.
    """

    images: Tensor
    sampler: Sampler
    validation: Tensor
    tasks: OneShotTasks | DenseTasks
    split: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def settings(config: TrialConfig) -> tuple[Any, ...]:
        """Return the settings that the data depend on; equal settings can share the data."""
        held = config.backbone
        shown = (held.name, held.file, held.size, held.trained) if held is not None else None
        return config.input_size, config.drawers, config.quarter_turns, config.mirror_images, shown

    @classmethod
    def from_dataset(
        cls,
        dataset: Dataset,
        config: TrialConfig,
        *,
        study_seed: int,
        objective: Objective = "tasks_320",
        device: str = "cpu",
        include_validation: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> TrainingData:
        """Load the study's training drawers and validation tasks.

        Args:
            dataset: The packed data set.
            config: Sets the size of the images and the number of training drawers.
            study_seed: Selects the drawers and the tasks.
            objective: The validation tasks.
            device: "cpu" or "cuda".
            include_validation: Train on the validation characters too, with the same rule for
                drawers. The tasks then show characters that were trained on.
            progress: Called while a backbone's features are computed.

        Raises:
            InputError: The data do not allow a setting (see `select`).
        """
        background, validation = _shown(dataset, config, device, progress)
        chosen = select(
            dataset,
            background,
            validation,
            config,
            study_seed=study_seed,
            objective=objective,
            include_validation=include_validation,
        )
        roles = [background, *([validation] if include_validation else [])]
        return cls(
            images=torch.from_numpy(np.concatenate([role.images for role in roles])).to(device),
            sampler=chosen.sampler,
            validation=torch.from_numpy(np.array(validation.images[chosen.shown])).to(device),
            tasks=chosen.tasks,
            split=chosen.split,
        )


def _shown(
    dataset: Dataset,
    config: TrialConfig,
    device: str,
    progress: Callable[[int], object] | None,
) -> tuple[Characters, Characters]:
    """Return background and validation with their images, or with a backbone's features."""
    if config.backbone is None:
        return dataset.background(config.input_size), dataset.validation(config.input_size)
    background, validation = (
        replace(
            dataset.labels(role),
            images=features_of(dataset, role, config.backbone, device, progress),  # type: ignore[arg-type]
        )
        for role in ("background", "validation")
    )
    return background, validation


def take(images: Tensor, rows: Tensor, seen: Sequence[View]) -> Tensor:
    """Return the images [B, S, S] at rows [B]; rows beyond the images mean their other views."""
    if len(seen) == 1:
        return images[rows]
    upright = images[rows % len(images)]
    places = _places(tuple(seen), images.shape[1], images.device)[rows // len(images)]
    return upright.flatten(1).gather(1, places).view_as(upright)


@lru_cache(maxsize=16)
def _places(seen: tuple[View, ...], side: int, device: torch.device) -> Tensor:
    """Return where each view of an image finds its pixels, [V, S S]."""
    upright = torch.arange(side**2, device=device).view(side, side)
    return torch.stack([view.of(upright).flatten() for view in seen])
