"""A command as trainer, before it runs: its program, its words, its place of data."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from hpsearch.errors import InputError
from hpsearch.interpreter import this_python
from hpsearch.output import say
from hpsearch.paths import StudyFolder, shell_word, user_path
from hpsearch.study.begun import is_saved
from hpsearch.study.config import StudyConfig
from hpsearch.study.plan import StudyPlan
from hpsearch.study.trust import is_trusted
from hpsearch.trainers.command import CommandTrainer
from hpsearch.wording import count


def find_program(trainer: CommandTrainer) -> str:
    """Return the file of a command's program, as the user's PATH finds it.

    Raises:
        InputError: There is none, or it cannot be executed.
    """
    word = trainer.command[0]
    if word == "${python}":
        return this_python()
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
    return f"{words_of(config.trainer)} a trial"


def words_of(trainer: CommandTrainer) -> str:
    """Return a command as a shell would read it, and its steps."""
    return f"{' '.join(map(shell_word, trainer.command))}, {count(trainer.max_steps, 'step')}"


def _saved_folder(named: Path) -> StudyFolder | None:
    """Return the study's folder that a name means, None where it is a study file of the user."""
    folder = StudyFolder(named if named.is_dir() else named.parent)
    is_its_file = named.is_dir() or named.name == folder.study_file.name
    return folder if is_its_file and is_saved(folder) else None


def is_begun_folder(named: str) -> bool:
    """Return whether a name means a study's folder, which may be somebody else's."""
    return _saved_folder(user_path(named)) is not None


def check_trusted(plan: StudyPlan, named: str, *, trust: bool) -> None:
    """Refuse a command that comes with a study's folder, until the user agrees to it.

    Args:
        plan: The study.
        named: What the user named; a study file is the user's own.
        trust: Whether the user has agreed on the command line.

    Raises:
        InputError: The command has no mark of this user, and nobody agreed.
    """
    trainer = plan.config.trainer
    folder = _saved_folder(user_path(named))
    if trainer is None or folder is None or is_trusted(folder, trainer):
        return
    agree(str(folder.root), in_words(plan.config), trainer, trust=trust)


def agree(what: str, words: str, trainer: CommandTrainer, *, trust: bool) -> None:
    """Print a command that no mark of this user names, and refuse it until they agree.

    Args:
        what: The folder or file that holds it.
        words: The command, for display.
        trainer: It, with its directory and environment.
        trust: Whether the user has agreed on the command line.

    Raises:
        InputError: Nobody agreed.
    """
    say(f"{what} runs: {words}")
    say(
        f"  in {trainer.directory}" + "".join(f", {n}={v}" for n, v in trainer.environment.items())
    )
    if trust:
        return
    if sys.stdin is not None and sys.stdin.isatty():
        say("it was not begun by this user on this machine. Run it? Write yes:")
        if sys.stdin.readline().strip().lower() == "yes":
            return
    raise InputError(
        f"{what}: its command was not begun by this user on this machine; read it above, then add "
        "--trust"
    )
