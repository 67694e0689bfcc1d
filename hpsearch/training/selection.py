"""Select the rows that a trial trains on, and the tasks that it is validated on. No torch.

Settings that the data do not allow are refused here: by the search before it writes anything, by a
worker before it trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.configfile import read_yaml
from hpsearch.data.dataset import Characters, Dataset, in_words
from hpsearch.data.dense import DenseTasks, dense_tasks
from hpsearch.data.resize import SIDE
from hpsearch.data.task_size import TaskSize
from hpsearch.data.tasks import OneShotTasks, dense_drawers, split_drawers, validation_tasks
from hpsearch.errors import InputError
from hpsearch.shipped_files import SHIPPED_MODEL
from hpsearch.training.config import Objective, TrialConfig
from hpsearch.training.pairs import Sampler


@dataclass(frozen=True, eq=False)
class Selection:
    """The selection of one trial.

    Args:
        sampler: Draws rows of the training images; roles follow one another.
        shown: Rows of the validation images in the tasks, ascending.
        tasks: The study's objective, as rows of `shown`.
        split: Training and validation drawers (own images: numbers of images), and the validation
            alphabets.
        n_trained: Images that may be drawn to train on.
        n_classes: Characters that may be drawn, turned and mirrored ones too.
    """

    sampler: Sampler
    shown: NDArray[np.int64]
    tasks: OneShotTasks | DenseTasks
    split: dict[str, Any]
    n_trained: int
    n_classes: int


def select(
    dataset: Dataset,
    background: Characters,
    validation: Characters,
    config: TrialConfig,
    *,
    study_seed: int,
    objective: Objective = "tasks_320",
    include_validation: bool = False,
    where: str = "trial",
) -> Selection:
    """Choose the rows of one trial, from labels only.

    Args:
        dataset: The data set.
        background: Its characters to train on, with or without images.
        validation: Its characters to validate on.
        config: Sets the number of training drawers, and whether images are turned or mirrored.
        study_seed: Selects the drawers and the tasks.
        objective: The validation tasks.
        include_validation: Train on the validation characters too.
        where: Where the configuration stands, for messages.

    Raises:
        InputError: The data do not allow a setting; the message names it and a possible value.
    """
    for key in ("quarter_turns", "mirror_images"):
        if getattr(config, key) and not dataset.turns:
            raise InputError(
                f"{where}.{key}: true: a turned or mirrored character may count as another one "
                f"only in Omniglot and glyphs, not in {in_words(dataset.kind)}; set it to false"
            )
    _check_pictures(dataset, config, where)
    roles = [background, *([validation] if include_validation else [])]
    index, alphabet_of = _join(roles, config.drawers, study_seed)
    usable = (index >= 0).sum(axis=1) >= 2
    n_trained = int((index[usable] >= 0).sum())
    n_views = len(config.views)
    if n_views > 1:
        n_images = sum(len(role.images) for role in roles)
        index, alphabet_of = _in_views(index, alphabet_of, n_images, n_views)
    try:
        sampler = Sampler(index, alphabet_of)
    except InputError as error:
        raise InputError(f"{where}.drawers: {config.drawers}: {error}") from None
    shown, tasks = objective_tasks(validation, dataset.size, objective, study_seed)
    return Selection(
        sampler=sampler,
        shown=shown,
        tasks=tasks,
        split=_split(background, validation, config.drawers, objective, study_seed)
        if background.people
        else {
            "training_images": n_trained,
            "validation_images": len(shown),
            "validation_alphabets": list(validation.alphabets),
        },
        n_trained=n_trained,
        n_classes=int(usable.sum()) * n_views,
    )


def check_data(
    dataset: Dataset,
    config: TrialConfig,
    *,
    study_seed: int,
    objective: Objective = "tasks_320",
    include_validation: bool = False,
    where: str = "trial",
) -> list[str]:
    """Refuse a configuration that the data do not allow; read labels only. See `select`.

    Returns:
        One line for each setting that leaves images unused or asks for more than there are.

    Raises:
        InputError: The data do not allow a setting.
    """
    _check_start(config, where)
    background, validation = dataset.labels("background"), dataset.labels("validation")
    chosen = select(
        dataset,
        background,
        validation,
        config,
        study_seed=study_seed,
        objective=objective,
        include_validation=include_validation,
        where=where,
    )
    if dataset.kind != "folder":
        return []  # these data are complete; the images left unused are the paper's choice
    available = len(background.images) + include_validation * len(validation.images)
    notices = []
    asked = len(np.unique(validation.character[chosen.shown]))
    notices += dataset.size.left_out(len(validation.names), asked)
    if chosen.n_trained < available:
        notices.append(
            f"{where}.drawers: {config.drawers}: {chosen.n_trained} of {available} images are "
            "trained on"
        )
    if len(chosen.shown) < len(validation.images):
        notices.append(
            f"validation shows {len(chosen.shown)} of {len(validation.images)} images; all "
            f"{chosen.n_trained} background images may be trained on"
        )
    if config.pairs == "batch" and config.batch_characters > chosen.n_classes:
        notices.append(
            f"{where}.batch_characters: {config.batch_characters}: there are "
            f"{chosen.n_classes} characters to train on, so a step uses all of them"
        )
    drawn = config.images_per_epoch * config.max_epochs
    if drawn < chosen.n_trained:
        notices.append(
            f"{where}.images_per_epoch: {config.images_per_epoch}: {config.max_epochs} epochs "
            f"draw {drawn} images of {chosen.n_trained}"
        )
    return notices


def _check_pictures(dataset: Dataset, config: TrialConfig, where: str) -> None:
    """Refuse pictures in other colours than the configuration's, or smaller than its input."""
    side = dataset.colour_px
    if config.backbone is not None:
        return  # it takes grey pictures too, and brings them to its own size
    if config.colour != (side > 0):
        held = "rgb" if side else "grey"
        raise InputError(f"{where}.channels: the pictures were read in {held}; write {held}")
    if config.input_size > (side or SIDE):
        raise InputError(
            f"{where}.input_size: {config.input_size}: the pictures have {side or SIDE} pixels to "
            f"a side; write at most {side or SIDE}"
        )


def _check_start(config: TrialConfig, where: str) -> None:
    """Refuse shipped weights for other layers than theirs."""
    if config.start == "untrained":
        return
    path = SHIPPED_MODEL / "config.yaml"
    theirs = TrialConfig.from_values(read_yaml(path).get("config"), str(path)).shape()
    if replace(config.shape(), input_size=theirs.input_size) != theirs:
        raise InputError(
            f"{where}.start: shipped: the layers are not those of the shipped model; take them "
            "from studies/own.yaml, or set start: untrained"
        )


def _join(
    roles: Sequence[Characters], n_training: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of (character, training drawer), -1 if missing, and the alphabets.

    Rows count through the images of all roles in order. Equal names are one alphabet, and one
    character: own images that are split by picture have the same classes in both roles.
    """
    labels = [name for role in roles for name in role.alphabets]
    names = {name: number for number, name in enumerate(labels)}
    training = [
        split_drawers(role.n_drawers, n_training, seed, people=role.people)[0] for role in roles
    ]
    width = max(len(drawers) for drawers in training)
    indices, alphabets, before = [], [], 0
    for role, drawers in zip(roles, training, strict=True):
        used = role.index()[:, drawers]
        index = np.full((len(used), width), -1, np.int64)
        index[:, : used.shape[1]] = np.where(used >= 0, used + before, -1)
        indices.append(index)
        alphabets.append(np.array([names[name] for name in role.alphabets])[role.alphabet_of])
        before += len(role.images)
    index, alphabet_of = np.concatenate(indices), np.concatenate(alphabets)
    characters = [name for role in roles for name in role.names]
    _, first, place = np.unique(characters, return_index=True, return_inverse=True)
    if len(first) == len(characters):
        return index, alphabet_of
    merged = np.full((len(first), len(roles) * width), -1, np.int64)
    for number, (row, at) in enumerate(zip(index, place, strict=True)):
        start = width * int(number >= len(roles[0].names))
        merged[at, start : start + width] = row
    return merged, alphabet_of[first]


def _in_views(
    index: NDArray[np.int64], alphabet_of: NDArray[np.int64], n_images: int, n_views: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Add every alphabet turned or mirrored; row + n_images is its image in the next view.

    Reference:
        Santoro et al. 2016, section 4.1: rotations of Omniglot's characters as new classes.
    """
    seen = np.arange(n_views)
    rows = np.where(index >= 0, index + n_images * seen[:, None, None], -1)
    alphabets = alphabet_of + (alphabet_of.max() + 1) * seen[:, None]
    return rows.reshape(-1, index.shape[1]), alphabets.reshape(-1)


def _split(
    background: Characters, validation: Characters, n: int, objective: Objective, seed: int
) -> dict[str, Any]:
    training, _ = split_drawers(background.n_drawers, n, seed, people=background.people)
    return {
        "training_drawers": training,
        "validation_drawers": _validating(validation, objective, seed),
        "validation_alphabets": list(validation.alphabets),
    }


def _validating(validation: Characters, objective: Objective, seed: int) -> list[int]:
    """Return the drawers that an objective validates on."""
    n_drawers, people = validation.n_drawers, validation.people
    if objective == "dense":
        return dense_drawers(n_drawers, seed, people=people)
    return split_drawers(n_drawers, 0, seed, people=people)[1]


def objective_tasks(
    validation: Characters, size: TaskSize, objective: Objective, study_seed: int
) -> tuple[NDArray[np.int64], OneShotTasks | DenseTasks]:
    """Return the rows of a study's validation images, and its tasks as places in these rows."""
    drawers = _validating(validation, objective, study_seed)
    if objective == "dense":
        dense = dense_tasks(validation, size, drawers=drawers, seed=study_seed)
        return dense.rows, dense.renumbered(dense.rows)
    tasks = validation_tasks(validation, size, drawers=drawers, seed=study_seed)
    kept, place = np.unique(np.stack([tasks.query, tasks.support]), return_inverse=True)
    query, support = place.reshape(2, *tasks.query.shape)
    return kept, OneShotTasks(query, support, tasks.target, tasks.alphabet)
