"""The format of a checkpoint file: a magic line, the SHA-256 of the rest, then safetensors.

Imports no torch, so that the driver can verify and shrink files.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.paths import fsync_folder, write_atomically
from hpsearch.training.config import TrialConfig

FORMAT = b"hpsearch checkpoint "
MAGIC = FORMAT + b"1\n"
DIGEST_BYTES = 32
CHUNK = 1 << 20
MAX_HEADER_BYTES = 10_000_000


def wrap(body: bytes) -> bytes:
    """Return a checkpoint file around safetensors bytes."""
    return MAGIC + hashlib.sha256(body).digest() + body


def unwrap(content: bytes, source: str = "checkpoint") -> bytes:
    """Return the safetensors bytes of a checkpoint file.

    Args:
        content: The whole file.
        source: Its name, for the message.

    Raises:
        ValueError: The file is damaged or is no checkpoint.
        InputError: A newer version wrote it.
    """
    _check_magic(content[: len(MAGIC)], source)
    body = content[len(MAGIC) + DIGEST_BYTES :]
    if hashlib.sha256(body).digest() != content[len(MAGIC) : len(MAGIC) + DIGEST_BYTES]:
        raise ValueError("its checksum does not fit")
    return body


def previous(path: Path) -> Path:
    """Return the path of the previous checkpoint."""
    return path.with_name(path.name + ".previous")


def write_keeping_previous(path: Path, content: bytes) -> None:
    """Write a checkpoint; the old file becomes `previous` once the new one is whole.

    Raises:
        EnvironmentFailure: It could not be written.
    """
    aside = path.with_name(f".{path.name}.tmp")
    try:
        write_atomically(aside, content)
        if path.exists():
            path.replace(previous(path))
        aside.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        raise EnvironmentFailure(
            f"{path}: cannot be written ({error.strerror}); fix the permission, then run the same "
            "command again"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # on a disk that refuses this too
            aside.unlink(missing_ok=True)


def verify(path: Path) -> None:
    """Compare a file with its checksum, a chunk at a time.

    Raises:
        ValueError: The file is damaged or is no checkpoint.
        InputError: A newer version wrote it.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        _check_magic(file.read(len(MAGIC)), str(path))
        expected, digest = file.read(DIGEST_BYTES), hashlib.sha256()
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    if digest.digest() != expected:
        raise ValueError("its checksum does not fit")


def _check_magic(head: bytes, source: str) -> None:
    if head == MAGIC:
        return
    version = head[len(FORMAT) :].strip()
    if head.startswith(FORMAT) and version.isdigit() and int(version) > 1:
        raise InputError(f"{source}: written by a newer version of hpsearch; update hpsearch")
    raise ValueError("not a checkpoint")


def of_configuration(state: Mapping[str, Any], config: TrialConfig) -> bool:
    """Return whether a checkpoint belongs to a configuration.

    A file without `convolution` fits either value; other missing settings count as their defaults.
    """
    saved = {"convolution": config.convolution, **state["config"]}
    return TrialConfig.from_values(saved) == config


def set_aside_foreign(path: Path, config: Mapping[str, Any], seed: int) -> str | None:
    """Rename whole checkpoints from which a trial cannot resume.

    Args:
        path: The trial's checkpoint; the previous one is checked too.
        config: The trial's complete configuration.
        seed: The trial's seed.

    Returns:
        The checkpoints of another trial or a newer version, with their new names; None if none.
    """
    told = []
    for candidate in (path, previous(path)):
        reason = _foreign(candidate, config, seed)
        if reason is not None:
            names = (path.with_name(f"{path.name}.aside-{n}") for n in itertools.count(1))
            aside = next(name for name in names if not name.exists())
            candidate.rename(aside)
            told.append(f"{candidate} {reason} and is kept as {aside.name}")
    return "; ".join(told) or None


def _foreign(path: Path, config: Mapping[str, Any], seed: int) -> str | None:
    """Return why a trial cannot resume from a file; None if it can, or if the file is damaged."""
    try:
        with path.open("rb") as file:
            _check_magic(file.read(len(MAGIC)), str(path))
            file.seek(len(MAGIC) + DIGEST_BYTES)
            state = json.loads(_header(file)["__metadata__"]["state"])
    except InputError:
        return "was written by a newer version of hpsearch"
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        same = of_configuration(state, TrialConfig.from_values(dict(config)))
    except InputError:
        return "has settings that this version of hpsearch does not know"
    except (KeyError, TypeError):
        return None
    return None if same and state.get("seed", seed) == seed else "is of another trial"


def _header(file: IO[bytes]) -> dict[str, Any]:
    size = int.from_bytes(file.read(8), "little")
    if size > MAX_HEADER_BYTES:
        raise ValueError("its header is too long")
    header: dict[str, Any] = json.loads(file.read(size))
    return header


def keep_best_weights(path: Path) -> None:
    """Shrink an ended trial's checkpoint to its best weights, and delete the previous one.

    A damaged file is left unchanged.

    Args:
        path: The trial's checkpoint.

    Raises:
        EnvironmentFailure: The smaller file cannot be written; the larger one stays.
    """
    try:
        verify(path)
        with path.open("rb") as file:
            body = _best_part(file)
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return
    if body is not None:
        write_atomically(path, wrap(body))
    previous(path).unlink(missing_ok=True)


def _best_part(file: IO[bytes]) -> bytes | None:
    """Return safetensors bytes with the tensors named best.*; None if there are no others."""
    file.seek(len(MAGIC) + DIGEST_BYTES)
    header = _header(file)
    begin = file.tell()
    names = [name for name in header if name.startswith("best.")]
    if len(names) == len(header.keys() - {"__metadata__"}):
        return None
    kept: dict[str, Any] = {"__metadata__": header["__metadata__"]}
    parts, length = [], 0
    for name in sorted(names, key=lambda one: int(header[one]["data_offsets"][0])):
        first, last = header[name]["data_offsets"]
        file.seek(begin + first)
        parts.append(file.read(last - first))
        kept[name] = {**header[name], "data_offsets": [length, length + last - first]}
        length += last - first
    text = json.dumps(kept).encode()
    text += b" " * (-len(text) % 8)  # safetensors aligns its data to 8 bytes
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])
