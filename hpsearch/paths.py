"""Where files lie: the cache, a study's folder, a trial's folder; and how they are written whole."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hpsearch.errors import EnvironmentFailure


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that it is either absent, old or whole, also after a power cut.

    Args:
        path: The file to write; its folder is made when missing.
        content: Text is encoded as UTF-8.

    Raises:
        EnvironmentFailure: The file could not be written (full disk, no permission).
    """
    data = content.encode() if isinstance(content, str) else content
    aside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        aside = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        if aside is not None:
            aside.unlink(missing_ok=True)
        raise EnvironmentFailure(
            f"{path}: cannot be written ({error.strerror}); free space or mend the permission, "
            "then run the same command again"
        ) from error


def fsync_folder(folder: Path) -> None:
    """Make a rename inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cache_folder() -> Path:
    """Return the user's cache folder: HPSEARCH_CACHE, else XDG_CACHE_HOME/hpsearch, else ~/.cache."""
    own = os.environ.get("HPSEARCH_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hpsearch"


@dataclass(frozen=True)
class TrialFolder:
    """The files of one trial."""

    root: Path

    @property
    def config(self) -> Path:
        """The complete TrialConfig."""
        return self.root / "config.yaml"

    @property
    def epochs(self) -> Path:
        """One JSON line per epoch."""
        return self.root / "epochs.jsonl"

    @property
    def result(self) -> Path:
        """How the trial ended; written before the database knows."""
        return self.root / "result.json"

    @property
    def checkpoint(self) -> Path:
        """Weights, optimiser, generators and curve; written by the worker."""
        return self.root / "checkpoint"


@dataclass(frozen=True)
class StudyFolder:
    """The files of one study; every other module asks here for a path."""

    root: Path

    @property
    def study_file(self) -> Path:
        """The study's complete configuration."""
        return self.root / "study.yaml"

    @property
    def space_file(self) -> Path:
        """The study's search space."""
        return self.root / "space.yaml"

    @property
    def dataset(self) -> Path:
        """Kind, source and fingerprint of the data the study runs on."""
        return self.root / "dataset.json"

    @property
    def database(self) -> Path:
        """The Optuna database."""
        return self.root / "study.db"

    @property
    def openings(self) -> Path:
        """One JSON line per opening of the sealed test set."""
        return self.root / "openings.jsonl"

    @property
    def best(self) -> Path:
        """The exported best configuration."""
        return self.root / "best.yaml"

    @property
    def model(self) -> Path:
        """The retrained model's folder."""
        return self.root / "model"

    @property
    def report(self) -> Path:
        """The report page."""
        return self.root / "report.html"

    @property
    def lock(self) -> Path:
        """Held (flock) by the one process that writes."""
        return self.root / "study.lock"

    @property
    def trials(self) -> Path:
        """The trials' folders."""
        return self.root / "trials"

    def trial(self, number: int) -> TrialFolder:
        """Return the folder of one trial."""
        return TrialFolder(self.trials / f"{number:05d}")
