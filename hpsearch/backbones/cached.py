"""The features of a data set's pictures, computed once for each backbone and size, then cached.

Letters: N pictures, S side, F numbers of a picture's features.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.backbones.models import Maps, load_backbone, weights_checksum
from hpsearch.backbones.network import averages, channels_of, given_to_tail
from hpsearch.backbones.settings import Backbone
from hpsearch.data.cache import in_first, places_beside, write_shared, written_aside
from hpsearch.data.dataset import Dataset
from hpsearch.data.packed_files import UNREADABLE, checksum, recorded
from hpsearch.data.resize import COLOUR_SIDE
from hpsearch.records import Record, dump_record, read_or_none

AT_ONCE = 32
"""Pictures that the backbone is shown at once."""
RULE = 1
"""Version of how features are computed; another one computes them again."""
POLL_S = 0.2


class Note(Record):
    """The note beside a file of features."""

    key: str
    sha256: str


@lru_cache(maxsize=2)
@torch.inference_mode(mode=False)  # its last part may be copied and trained
def _loaded(settings: Backbone, _checksum: str) -> Maps:
    return load_backbone(settings)


def shared_backbone(settings: Backbone) -> Maps:
    """Return a backbone with its weights, the same one for equal weights. See `load_backbone`."""
    alone = Backbone(name=settings.name, file=settings.file)
    return _loaded(alone, weights_checksum(alone))


@lru_cache(maxsize=8)
def _channels(settings: Backbone, checksum: str) -> tuple[int, ...]:
    return channels_of(_loaded(settings, checksum))


def channels(settings: Backbone) -> tuple[int, ...]:
    """Return the channels of a backbone's last maps, the last one first."""
    alone = Backbone(name=settings.name, file=settings.file)
    return _channels(alone, weights_checksum(alone))


def features_of(
    dataset: Dataset,
    role: str,
    settings: Backbone,
    device: str = "cpu",
    progress: Callable[[int], object] | None = None,
) -> NDArray[np.float16]:
    """Return the features of a role's pictures, float16 [N, F], computed or from the cache.

    With `tuned` they are what the backbone's last stage is given.

    They are kept beside the packed data, by the pictures' checksum, the weights' and the size.

    Args:
        dataset: The packed data set.
        role: background or validation.
        settings: Name, file, size and `tuned` count.
        device: "cpu" or "cuda".
        progress: Called with the number of pictures that are done, and while it waits for another
            process that computes the same.

    Raises:
        InputError: The data are damaged, or the backbone's weights cannot be read.
        EnvironmentFailure: The cache cannot be written.
    """
    parts = (RULE, recorded(dataset.folder, role), weights_checksum(settings), settings.size)
    key = hashlib.sha256(repr(parts + ("tuned",) * settings.trained).encode()).hexdigest()
    places = places_beside(dataset.folder)
    name = f"features-{role}-{settings.size}-{key[:12]}.npy"
    found = _kept(places, name, key)
    if found is not None:
        return found

    def make(place: Path) -> NDArray[np.float16]:
        with _alone(place / name, progress):
            kept = _kept([place], name, key)
            if kept is not None:  # another worker computed them meanwhile
                return kept
            characters = getattr(dataset, role)(COLOUR_SIDE if dataset.colour_px else 105)
            made = compute(np.asarray(characters.images), settings, device, progress)
            with written_aside(place / name) as file:
                np.save(file, made, allow_pickle=False)
            note = {"key": key, "sha256": checksum(made)}
            write_shared((place / name).with_suffix(".json"), dump_record(note))
            return made

    return in_first(places, make)


def _kept(places: list[Path], name: str, key: str) -> NDArray[np.float16] | None:
    for place in places:
        path = place / name
        note = read_or_none(path.with_suffix(".json"), Note)
        if note is None or note["key"] != key:
            continue
        with suppress(*UNREADABLE):
            found: NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
            if found.dtype == np.float16 and checksum(found) == note["sha256"]:
                return found
    return None


@contextmanager
def _alone(path: Path, waiting: Callable[[int], object] | None) -> Iterator[None]:
    """Let one process at a time compute a file; the others wait for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        while not _locked(handle):
            if waiting is not None:
                waiting(0)
            time.sleep(POLL_S)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@torch.inference_mode()
def compute(
    images: NDArray[np.uint8],
    settings: Backbone,
    device: str = "cpu",
    progress: Callable[[int], object] | None = None,
) -> NDArray[np.float16]:
    """Return the features of pictures, float16 [N, F].

    Args:
        images: uint8 [N, 3, S, S], or grey [N, S, S].
        settings: Name, file, size and `tuned` count.
        device: "cpu" or "cuda".
        progress: Called with the number of pictures that are done.
    """
    backbone = shared_backbone(settings).to(device)
    of: Callable[[Any, Tensor, int], Tensor] = given_to_tail if settings.trained else averages
    parts: list[Tensor] = []
    for start in range(0, len(images), AT_ONCE):
        block = torch.from_numpy(np.array(images[start : start + AT_ONCE])).to(device)
        pictures = (block if block.ndim == 4 else block[:, None]).float().div_(255)
        found = of(backbone, pictures.expand(-1, 3, -1, -1), settings.size)
        parts.append(found.to(torch.float16).cpu())
        if progress is not None:
            progress(min(start + AT_ONCE, len(images)))
    return np.asarray(torch.cat(parts).numpy())
