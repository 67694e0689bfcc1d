"""A command as trainer, before it runs: its program, its words, its place of data."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from hpsearch.errors import InputError
from hpsearch.paths import shell_word
from hpsearch.study.config import StudyConfig
from hpsearch.trainers.command import CommandTrainer
from hpsearch.wording import count

NO_DATA: dict[str, Any] = {
    "kind": "command",
    "fingerprint": "",
    "packed": None,
    "source": None,
    "description": "the program's own data",
    "ways": None,
    "n_tasks": None,
}
"""dataset.json of a command's study."""


def find_program(trainer: CommandTrainer) -> str:
    """Return the file of a command's program, as the user's PATH finds it.

    Raises:
        InputError: There is none, or it cannot be executed.
    """
    word = trainer.command[0]
    if "${" in word:
        return word  # each trial has its own
    if os.sep in word:
        path = Path(trainer.directory) / word
        if not path.exists():
            raise InputError(f"trainer.command: {path}: no such file; check the first word")
        if path.is_dir() or not os.access(path, os.X_OK):
            raise InputError(
                f"trainer.command: {path}: cannot be executed; chmod +x it, or name the program "
                "that reads it first, e.g. [sh, train.sh]"
            )
        return str(path)
    found = shutil.which(word, path=trainer.environment.get("PATH"))
    if found is None:
        raise InputError(
            f"trainer.command: {word}: no such program on PATH; check the first word, or write "
            "its path"
        )
    return found


def in_words(config: StudyConfig) -> str:
    """Return the command of a study, and how long a trial is."""
    if config.trainer is None:
        raise ValueError("the siamese trainer has no command")
    words = " ".join(map(shell_word, config.trainer.command))
    return f"{words}, {count(config.trainer.max_steps, 'step')} a trial"
