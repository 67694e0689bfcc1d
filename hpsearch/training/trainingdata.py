"""The images of one trial, resident on its device: training drawers, validation tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.data import open_packed
from hpsearch.data.dataset import Characters, Dataset
from hpsearch.data.dense import DenseTasks, dense_tasks
from hpsearch.data.tasks import OneShotTasks, dense_drawers, split_drawers, validation_tasks
from hpsearch.errors import InputError
from hpsearch.training.config import Objective, TrialConfig
from hpsearch.training.pairs import Sampler

TURNS = 4
"""A character and its turns by one, two and three quarters."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What training needs of a data set.

    Args:
        images: uint8 [N, S, S], the images to train on, ink = 255.
        sampler: Draws rows of `images`.
        validation: uint8 [M, S, S], the images that validation tasks show, each once.
        tasks: The study's objective, rows in `validation`.
        split: Drawers trained on and validated on, and the validation alphabets.
    """

    images: Tensor
    sampler: Sampler
    validation: Tensor
    tasks: OneShotTasks | DenseTasks
    split: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def settings(config: TrialConfig) -> tuple[Any, ...]:
        """Return the settings that decide what is loaded; equal ones can share the data."""
        return config.input_size, config.drawers, config.quarter_turns

    @classmethod
    def load(
        cls,
        packed: Path,
        config: TrialConfig,
        *,
        study_seed: int,
        objective: Objective = "tasks_320",
        device: str = "cpu",
    ) -> TrainingData:
        """Load from a packed folder (see `from_dataset`)."""
        return cls.from_dataset(
            open_packed(packed), config, study_seed=study_seed, objective=objective, device=device
        )

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
    ) -> TrainingData:
        """Load the study's training drawers and validation tasks.

        Args:
            dataset: The packed data set.
            config: Decides the size of the images and how many drawers are trained on.
            study_seed: Chooses the drawers and the tasks.
            objective: What is validated on.
            device: "cpu" or "cuda".
            include_validation: Train on the validation characters too, by the same rule of
                drawers; the tasks then show characters that were trained on.
        """
        validation = dataset.validation(config.input_size)
        roles = [dataset.background(config.input_size)]
        if include_validation:
            roles.append(validation)
        index, alphabet_of = _join(roles, config.drawers, study_seed)
        if config.quarter_turns:
            if not dataset.turns:
                raise InputError(
                    f"trial.quarter_turns: true: a turned character may count as another one only "
                    f"in Omniglot and glyphs, not in {dataset.kind} data; set it to false"
                )
            n_images = sum(len(role.images) for role in roles)
            index, alphabet_of = _turned(index, alphabet_of, n_images)
        kept, tasks = objective_tasks(validation, dataset.ways, objective, study_seed)
        return cls(
            images=torch.from_numpy(np.concatenate([role.images for role in roles])).to(device),
            sampler=Sampler(index, alphabet_of),
            validation=torch.from_numpy(np.array(validation.images[kept])).to(device),
            tasks=tasks,
            split=_split(roles[0], validation, config.drawers, objective, study_seed),
        )


def _join(
    roles: Sequence[Characters], n_training: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of (character, training drawer), -1 where missing, and each one's alphabet.

    Rows count through the roles' images one after the other; one name is one alphabet.
    """
    labels = [name for role in roles for name in role.alphabets]
    names = {name: number for number, name in enumerate(labels)}
    training = [split_drawers(role.n_drawers, n_training, seed)[0] for role in roles]
    width = max(len(drawers) for drawers in training)
    indices, alphabets, before = [], [], 0
    for role, drawers in zip(roles, training, strict=True):
        used = role.index()[:, drawers]
        index = np.full((len(used), width), -1, np.int64)
        index[:, : used.shape[1]] = np.where(used >= 0, used + before, -1)
        indices.append(index)
        alphabets.append(np.array([names[name] for name in role.alphabets])[role.alphabet_of])
        before += len(role.images)
    return np.concatenate(indices), np.concatenate(alphabets)


def _turned(
    index: NDArray[np.int64], alphabet_of: NDArray[np.int64], n_images: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Add every alphabet turned by one, two and three quarters; row + n_images is row turned once.

    Reference:
        Santoro et al. 2016, section 4.1: rotations of Omniglot's characters as new classes.
    """
    turns = np.arange(TURNS)
    rows = np.where(index >= 0, index + n_images * turns[:, None, None], -1)
    alphabets = alphabet_of + (alphabet_of.max() + 1) * turns[:, None]
    return rows.reshape(-1, index.shape[1]), alphabets.reshape(-1)


def take(images: Tensor, rows: Tensor, *, quarter_turns: bool) -> Tensor:
    """Return the images [B, S, S] at rows [B], turned where the row says so."""
    if not quarter_turns:
        return images[rows]
    batch, turns = images[rows % len(images)], (rows // len(images))[:, None, None]
    for turn in range(1, TURNS):
        batch = torch.where(turns == turn, batch.rot90(turn, (1, 2)), batch)
    return batch


def _split(
    background: Characters, validation: Characters, n: int, objective: Objective, seed: int
) -> dict[str, Any]:
    training, _ = split_drawers(background.n_drawers, n, seed)
    _, tasks = split_drawers(validation.n_drawers, n, seed)
    dense = objective == "dense"
    return {
        "training_drawers": training,
        "validation_drawers": dense_drawers(validation.n_drawers, seed) if dense else tasks,
        "validation_alphabets": list(validation.alphabets),
    }


def objective_tasks(
    validation: Characters, ways: int, objective: Objective, study_seed: int
) -> tuple[NDArray[np.int64], OneShotTasks | DenseTasks]:
    """Return the rows of the images that a study validates on, and its tasks within them."""
    if objective == "dense":
        drawers = dense_drawers(validation.n_drawers, study_seed)
        dense = dense_tasks(validation, ways=ways, drawers=drawers, seed=study_seed)
        return dense.rows, dense.renumbered(dense.rows)
    _, drawers = split_drawers(validation.n_drawers, 0, study_seed)
    tasks = validation_tasks(validation, ways=ways, drawers=drawers, seed=study_seed)
    kept, place = np.unique(np.stack([tasks.query, tasks.support]), return_inverse=True)
    query, support = place.reshape(2, *tasks.query.shape)
    return kept, OneShotTasks(query, support, tasks.target, tasks.alphabet)
