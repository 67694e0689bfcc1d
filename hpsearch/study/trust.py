"""Who may run a command: what a study file says that the user names, and what carries their mark.

A study's folder may come from somebody else. Its command is run only where trust.json holds a mark
that this user's key made on this machine, for exactly this command.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path

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


def _mark(trainer: CommandTrainer, key: bytes) -> str:
    said = json.dumps([trainer.command, trainer.environment, trainer.directory], sort_keys=True)
    return hmac.new(key, said.encode(), hashlib.sha256).hexdigest()


def note_trust(folder: StudyFolder, trainer: CommandTrainer) -> None:
    """Mark a folder's command as agreed to; without a place for a key nothing is written."""
    key = _key(create=True)
    if key is not None and not is_trusted(folder, trainer):
        write_atomically(folder.trust, json.dumps({"mark": _mark(trainer, key)}) + "\n")


def is_trusted(folder: StudyFolder, trainer: CommandTrainer) -> bool:
    """Return whether this user has marked exactly this command on this machine."""
    key = _key(create=False)
    if key is None or not folder.trust.is_file():
        return False
    try:
        held = read_json(folder.trust).get("mark")
    except InputError:
        return False
    return isinstance(held, str) and hmac.compare_digest(held, _mark(trainer, key))
