"""The study of a search that names none: own for own images, photographs with a backbone."""

from __future__ import annotations

import os
from pathlib import Path

from hpsearch.paths import StudyFolder, user_path
from hpsearch.sources.omniglot import find_parts
from hpsearch.study.begun import is_saved


def default_study(data: Path | None, output: Path | None, backbone: str | None = None) -> str:
    """Return the shipped study that fits the data, or the folder of the study to continue.

    Args:
        data: The data that the user named; None means HPSEARCH_DATA, or Omniglot.
        output: The study's folder, if it was named; one that a search began is continued.
        backbone: Name of a backbone.
    """
    if output is not None and is_saved(StudyFolder(output)):
        return str(output)
    if backbone is not None:
        return "photographs"
    named = data or (user_path(given) if (given := os.environ.get("HPSEARCH_DATA")) else None)
    if named is None or not named.exists():
        return "quickstart"
    return "quickstart" if named.is_dir() and find_parts(named) is not None else "own"
