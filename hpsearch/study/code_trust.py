"""Who may run the classes that a study names as FILE.py:CLASS: as with a command's program."""

from __future__ import annotations

import json

from hpsearch import extensions
from hpsearch.configfile import read_json
from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder, shell_word, write_atomically
from hpsearch.study.config import StudyConfig
from hpsearch.study.trust import is_own_mark, make_mark


def code_of(config: StudyConfig) -> list[str]:
    """Return the classes that a study names by file or module, as it names them."""
    names = (config.sampler.name, config.pruner.name)
    return [name for name in names if extensions.is_code(name)]


def note_code(folder: StudyFolder, config: StudyConfig) -> None:
    """Mark a folder's classes as agreed to; without a place for a key nothing is written."""
    code = code_of(config)
    if code and not _marked(folder, code) and (mark := make_mark("classes", code)) is not None:
        write_atomically(folder.code_trust, json.dumps({"mark": mark}) + "\n")


def check_code(folder: StudyFolder, config: StudyConfig) -> None:
    """Refuse to load the classes of a folder that this user did not begin on this machine.

    Raises:
        InputError: They have no mark of this user.
    """
    code = code_of(config)
    if code and not _marked(folder, code):
        raise InputError(
            f"{folder.root}: runs {', '.join(code)}, which was not begun by this user on this "
            f"machine; read it, then hpsearch search {shell_word(folder.root)} --trust"
        )


def _marked(folder: StudyFolder, code: list[str]) -> bool:
    if not folder.code_trust.is_file():
        return False
    try:
        return is_own_mark(read_json(folder.code_trust).get("mark"), "classes", code)
    except InputError:
        return False
