"""Who may run a command: what a study file says that the user names, and what carries their mark.

A study's folder, or a best.yaml, may come from somebody else. Its command is run only where
trust.json, or the file itself, holds a mark that this user's key made on this machine, for exactly
this command.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpsearch.configfile import read_json
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.paths import StudyFolder, make_private, user_path, write_atomically
from hpsearch.trainers.command import CommandTrainer


def key_file() -> Path:
    """Return the file of the user's key: XDG_CONFIG_HOME/hpsearch/key, else in ~/.config."""
    return user_path(os.environ.get("XDG_CONFIG_HOME") or "~/.config") / "hpsearch" / "key"


def _key(*, create: bool) -> bytes | None:
    """Return the user's key, None where there is none and it cannot or shall not be made."""
    path = key_file()
    try:
        return path.read_bytes()
    except OSError:
        if not create:
            return None
    try:
        make_private(path.parent)
        write_atomically(path, secrets.token_bytes(32))  # mkstemp makes it the user's alone
        return path.read_bytes()
    except (OSError, EnvironmentFailure):
        return None


def _mark(said: Sequence[Any], key: bytes) -> str:
    text = json.dumps(list(said), sort_keys=True)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def make_mark(*said: Any) -> str | None:
    """Return this user's mark of what is said; None without a place for a key.

    Args:
        said: What JSON can hold: a command and all that decides what it does.
    """
    key = _key(create=True)
    return None if key is None else _mark(said, key)


def is_own_mark(mark: object, *said: Any) -> bool:
    """Return whether this user made a mark on this machine, of exactly what is said."""
    key = _key(create=False)
    return (
        key is not None and isinstance(mark, str) and hmac.compare_digest(mark, _mark(said, key))
    )


def _said(trainer: CommandTrainer) -> tuple[Any, ...]:
    return trainer.command, trainer.environment, trainer.directory


def note_trust(folder: StudyFolder, trainer: CommandTrainer) -> None:
    """Mark a folder's command as agreed to; without a place for a key nothing is written."""
    mark = make_mark(*_said(trainer))
    if mark is not None and not is_trusted(folder, trainer):
        write_atomically(folder.trust, json.dumps({"mark": mark}) + "\n")


def is_trusted(folder: StudyFolder, trainer: CommandTrainer) -> bool:
    """Return whether this user has marked exactly this command on this machine."""
    if not folder.trust.is_file():
        return False
    try:
        return is_own_mark(read_json(folder.trust).get("mark"), *_said(trainer))
    except InputError:
        return False
