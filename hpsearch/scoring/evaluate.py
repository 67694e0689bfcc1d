"""Scores a model on few-shot tasks of any data (Koch et al. 2015, section 4.3).

On the data that it was trained on, and on Omniglot, only the sealed test set counts, and its
opening is logged. On other data every class counts.

Letters: M images, S side, Q queries, W ways, K shots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data import Characters, Dataset, TestSet, open_packed
from hpsearch.data.cache import open_caches
from hpsearch.data.dataset import OMNIGLOT
from hpsearch.data.few_shot import (
    FewShotRun,
    FewShotTasks,
    Joined,
    Within,
    as_few_shot,
    draw_tasks,
)
from hpsearch.data.pack import packed_name
from hpsearch.errors import HpsearchError, InputError
from hpsearch.intervals import wilson
from hpsearch.json_files import Evaluation
from hpsearch.paths import write_atomically
from hpsearch.recognition.model import SHIPPED, Model, load_model
from hpsearch.records import dump_record, read_or_none

EVALUATION = "evaluation.json"
"""File of the last evaluation on the model's own data, beside the weights; showing it opens no
test set."""
N_TASKS = 1000
"""Tasks that are drawn unless a number is given."""
IMAGES_AT_ONCE = 1024
"""Bounds the memory of the encodings; a larger run takes more."""


@dataclass(frozen=True)
class Wanted:
    """Which tasks to score; None takes those of the data."""

    ways: int | None = None
    shots: int | None = None
    tasks: int | None = None
    within: Within | None = None

    @property
    def given(self) -> list[str]:
        """The options that are given."""
        return [f"--{name}" for name, value in asdict(self).items() if value is not None]


OF_THE_DATA = Wanted()
Images = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""Returns the images [M, S, S] of ascending rows."""


def evaluate(
    folder: Path, dataset: Dataset, device: str = "cpu", wanted: Wanted = OF_THE_DATA
) -> dict[str, Any]:
    """Return accuracy, interval, accuracies by group, AUC, and whether scores are degenerate.

    On the model's own data, the result of tasks like the stored ones is kept beside the weights.
    On other data `seen` counts the pictures that trained or chose the model.

    Args:
        folder: The model folder.
        dataset: Any data set. On the model's own one and on Omniglot, only the sealed part counts.
        device: "cpu" or "cuda".
        wanted: Which tasks. By default they are the stored ones, or, on other data than the
            model's own, 1,000 within a group, or of any where no group is large enough.

    Raises:
        InputError: There is no model, it does not read such pictures, the data have no such tasks,
            or those of Omniglot are to be changed.
    """
    if dataset.kind in OMNIGLOT and wanted.given:
        raise InputError(
            f"{', '.join(wanted.given)}: Omniglot's tasks are the 400 of Lake et al.; leave "
            f"{'it' if len(wanted.given) == 1 else 'them'} out"
        )
    model = load_model(folder, device)
    _check_pictures(folder, model, dataset)
    own = model.description["dataset"]["fingerprint"] == dataset.fingerprint
    sealed = own or dataset.kind in OMNIGLOT
    size = model.config.input_size
    others = [] if sealed else [dataset.background(size), dataset.validation(size)]
    known = set() if sealed else _trained_on(model, dataset, size)
    test = _open(folder, dataset, size, recorded=sealed or bool(known & _marks(others)))
    if sealed and not wanted.given:
        tasks = as_few_shot(test.tasks, test.characters)
        result = _score(model, lambda rows: test.characters.images[rows], tasks)
    else:
        joined = Joined.of([*others, test.characters])
        tasks = _draw(joined, dataset, wanted)
        result = _score(model, joined.images, tasks)
    result |= {
        "dataset": dataset.kind,
        "part": "sealed" if sealed else "all",
        "classes": tasks.classes,
        "groups": tasks.groups,
        "left_out": list(tasks.left_out),
        "seen": len(known & _marks([*others, test.characters])),
    }
    stored = tasks.ways, tasks.shots, wanted.within or "group"
    if own and stored == (test.tasks.ways, 1, "group") and not _is_shipped(folder):
        kept = {**result, "fingerprint": dataset.fingerprint}
        write_atomically(folder / EVALUATION, dump_record(kept))
    return result


def _trained_on(model: Model, dataset: Dataset, size: int) -> set[bytes]:
    """Return the marks of the pictures that trained and chose a model, if they are still packed.

    Own images that were added to, or named in another way, are other data of the same pictures.
    """
    own = model.description["dataset"]
    for place in open_caches() if own["kind"] == dataset.kind else ():
        with suppress(HpsearchError):  # not packed in this cache, or damaged
            packed = open_packed(place / "packed" / packed_name(own["kind"], own["fingerprint"]))
            return _marks([packed.background(size), packed.validation(size)])
    return set()


def _marks(roles: Sequence[Characters]) -> set[bytes]:
    return {sha256(image.tobytes()).digest() for role in roles for image in role.images}


def _check_pictures(folder: Path, model: Model, dataset: Dataset) -> None:
    """Refuse pictures in other colours than the model reads, or smaller than its input."""
    reads, has = (
        "in colour" if side else "in grey" for side in (model.colour_px, dataset.colour_px)
    )
    size, side = model.config.input_size, dataset.colour_px
    if model.config.backbone is None and 0 < side < size:  # a backbone has a size of its own
        reads, has = f"of {size} pixels to a side", f"of {side}"
    if reads != has:
        raise InputError(
            f"{folder}: the model reads pictures {reads}, {dataset.kind} has them {has}; name "
            "others with --data"
        )


def _open(folder: Path, dataset: Dataset, input_size: int, *, recorded: bool) -> TestSet:
    """Open the test set; the study in which the model lies keeps the log, else the model."""
    from hpsearch.data.sealed import open_test_set

    log: Path | None = (folder.parent if _in_study(folder) else folder) / "openings.jsonl"
    reason = f"evaluate {folder.name}"
    if _is_shipped(folder):  # nothing is written into the installed package
        log, reason = None, "evaluate the shipped model"
    return open_test_set(dataset, reason, log=log, input_size=input_size, recorded=recorded)


def _in_study(folder: Path) -> bool:
    return (folder.parent / "study.yaml").exists()


def _is_shipped(folder: Path) -> bool:
    return folder.resolve() == SHIPPED.resolve()


def _draw(joined: Joined, dataset: Dataset, wanted: Wanted) -> FewShotTasks:
    return draw_tasks(
        joined.labels,
        ways=wanted.ways or dataset.ways,
        shots=wanted.shots or 1,
        n_tasks=wanted.tasks or N_TASKS,
        within=wanted.within or ("group" if wanted.ways else None),
    )


def _score(model: Model, images: Images, tasks: FewShotTasks) -> dict[str, Any]:
    from hpsearch.training.evaluation import task_scores

    flat = tasks.one_by_one()
    scores = np.concatenate(list(_logits(model, images, tasks)))  # [tasks, W]
    found = task_scores(scores[:, None], flat)
    by_group: dict[str, list[float]] = {}
    for name, credit in zip(flat.alphabet, found.credit, strict=True):
        by_group.setdefault(name, []).extend(credit.tolist())
    return {
        "accuracy": found.accuracy,
        "n_tasks": flat.n_tasks,
        "interval": list(wilson(found.accuracy, flat.n_pictures)),
        "per_alphabet": {
            name: {"accuracy": sum(credits) / len(credits), "n_tasks": len(credits)}
            for name, credits in sorted(by_group.items())
        },
        "verification_auc": found.auc,
        "degenerate": found.degenerate,
        "ways": tasks.ways,
        "shots": tasks.shots,
    }


def _logits(model: Model, images: Images, tasks: FewShotTasks) -> Iterator[NDArray[np.float64]]:
    """Yield each run's scores [Q, W]: the mean logit of a class's support images.

    Only the images of the tasks are encoded, each once for the runs that lie together.
    """
    import torch

    from hpsearch.training.evaluation import encode

    network = model.network
    for runs in _blocks(tasks):
        rows = np.unique(np.concatenate([run.rows for run in runs]))
        with torch.inference_mode():
            codes = encode(network, torch.from_numpy(images(rows)).to(network.device))
            for run in runs:
                query, support = (
                    codes[torch.from_numpy(np.searchsorted(rows, wanted)).to(codes.device)]
                    for wanted in (run.query, run.support.ravel())
                )
                logits = network.score_matrix(query, support).cpu().double()
                yield np.asarray(logits.view(len(query), *run.support.shape).mean(2))


def _blocks(tasks: FewShotTasks) -> Iterator[list[FewShotRun]]:
    """Yield the runs in their order, in blocks of a bounded number of different images."""
    block: list[FewShotRun] = []
    held: set[int] = set()
    for run in tasks.runs:
        more = held.union(run.rows.tolist())
        if block and len(more) > IMAGES_AT_ONCE:
            yield block
            block, more = [], set(run.rows.tolist())
        block.append(run)
        held = more
    yield block


def read_evaluation(model: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return the stored evaluation of a model, None if there is none on these data."""
    found = read_or_none(model / EVALUATION, Evaluation)
    return found if found and found["fingerprint"] == fingerprint else None
