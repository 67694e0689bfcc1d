"""Where files are: the cache, a study's folder, a trial's folder. Writes files atomically."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.errors import EnvironmentFailure, InputError

NETWORK_KINDS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "glusterfs"}
"""File systems whose locks and flushes are too unreliable for a database."""

OUTPUT_HEAD = 4000
"""Bytes at the start of a file in which `check_output` looks for its mark."""
REBUILT = ".rebuilt-"
"""Prefix of the folder in which a repair builds a database."""


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a crash or power cut leaves the old file or the whole new one.

    Args:
        path: The file to write; its folder is created when it is missing.
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
            with contextlib.suppress(OSError):  # on a disk that refuses this too
                aside.unlink(missing_ok=True)
        raise EnvironmentFailure(
            f"{path}: cannot be written ({_why(path, error)}); free space or fix the permission, "
            "then run the same command again"
        ) from error


def read_file(path: Path, most: int = -1) -> bytes:
    """Return the first bytes of a regular file; a pipe or a device could block for ever.

    Raises:
        OSError: It cannot be read, or it is not a regular file.
    """
    odd = OSError(errno.EINVAL, "not a regular file", str(path))
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise (odd if error.errno == errno.ENXIO else error) from None  # a socket
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        folder = IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise folder if stat.S_ISDIR(mode) else odd
    with os.fdopen(handle, "rb") as file:
        return file.read(most)


def check_output(path: Path, mark: str, maker: str, option: str = "--output") -> None:
    """Refuse to overwrite anything that the same command did not write.

    Args:
        path: The file to write.
        mark: Text at the start of every file of that kind.
        maker: The command that writes such files.
        option: The option that names the file.

    Raises:
        InputError: The path is a folder, a link, a pipe, a device or another file.
    """
    try:
        regular = stat.S_ISREG(path.lstat().st_mode)
        ours = regular and mark.encode() in read_file(path, OUTPUT_HEAD)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path}: cannot be written ({why}); name a file with {option}"
        ) from error
    if not regular:
        raise InputError(f"{path}: is a folder, a link or a device; name a file with {option}")
    if not ours:
        raise InputError(f"{path}: is there and was not written by {maker}; name another {option}")


def _why(path: Path, error: OSError) -> str:
    """Return an error's message; for a full disk also the free space."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return str(error.strerror)
    free = shutil.disk_usage(path.parent).free / 1e6 if path.parent.is_dir() else 0.0
    return f"{error.strerror}, {free:.0f} MB free"


def remove(path: Path) -> None:
    """Remove a file, or a folder and its content, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def make_private(folder: Path) -> None:
    """Create a folder that only its owner may enter; leave an existing one as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def network_filesystem(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """Return the kind of network file system that holds a path, None for a local one.

    This reads Linux's list of mounts. On other systems every path counts as local.

    Args:
        path: A file or folder; it need not exist.
        mounts: The list, one mount a line: device, place, kind.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    rows = [line.split() for line in lines]
    whole = path.absolute()
    places = [(row[1], row[2]) for row in rows if len(row) > 2 and whole.is_relative_to(row[1])]
    kind = max(places, key=lambda one: len(one[0]), default=("", ""))[1]
    return kind if kind in NETWORK_KINDS else None


def fsync_folder(folder: Path) -> None:
    """Make a rename inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cache_folder() -> Path:
    """Return the cache folder: HPSEARCH_CACHE, else XDG_CACHE_HOME/hpsearch, else in ~/.cache."""
    named = os.environ.get("HPSEARCH_CACHE")
    return user_path(named) if named else own_cache()


def own_cache() -> Path:
    """Return the cache folder for a user who sets no HPSEARCH_CACHE."""
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "hpsearch"


def user_path(typed: str | Path) -> Path:
    """Expand ~ in a path that a user typed, also where no shell did."""
    return Path(os.path.expanduser(typed))  # noqa: PTH111


def shell_word(value: object) -> str:
    """Quote a path or a name for a shell, for the commands that messages propose."""
    text = str(value)
    if isinstance(value, Path) and text.startswith("-"):
        text = f"./{text}"  # else a command takes it for an option
    if text.isprintable():
        return shlex.quote(text)
    letters = (
        chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\{b:03o}" for b in os.fsencode(text)
    )
    return f"$'{''.join(letters)}'"


class Inside:
    """A path inside a folder, by its name there."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: Any, _: type) -> Path:
        """Return the path in one folder."""
        path: Path = folder.root / self.name
        return path


@dataclass(frozen=True)
class TrialFolder:
    """The files of one trial."""

    root: Path

    def temporary_files(self) -> list[Path]:
        """Return the files that interrupted writes have left."""
        return list(self.root.glob(".*.tmp"))

    config = Inside("config.yaml")
    """The complete TrialConfig."""
    epochs = Inside("epochs.jsonl")
    """One JSON line per epoch."""
    result = Inside("result.json")
    """How the trial ended; written before the database."""
    provenance = Inside("provenance.json")
    """The software, machine, data and seeds that trained it."""
    attempts = Inside("attempts.json")
    """Deaths of workers since the last new epoch."""
    checkpoint = Inside("checkpoint")
    """Weights, optimiser, generators and curve; written by the worker."""


@dataclass(frozen=True)
class StudyFolder:
    """The files of one study. Every other module gets its paths here."""

    root: Path

    study_file = Inside("study.yaml")
    """The study's complete configuration."""
    space_file = Inside("space.yaml")
    """The study's search space."""
    begun = Inside("begun.json")
    """The study as it started; marks a search's folder. Folders of 0.1.0 lack it."""
    dataset = Inside("dataset.json")
    """Kind, source and fingerprint of the data the study runs on."""
    trust = Inside("trust.json")
    """The user's mark on the command that the study runs."""
    code_trust = Inside("code-trust.json")
    """The user's mark on the classes that the study names."""
    prior = Inside("prior.json")
    """The trials of another study that the sampler learns from, if there is one."""
    database = Inside("study.db")
    """The Optuna database."""
    openings = Inside("openings.jsonl")
    """One JSON line per opening of the sealed test set."""
    best = Inside("best.yaml")
    """The exported best configuration."""
    confirmation = Inside("confirmation")
    """The runs that confirm the best configurations."""
    certificate = Inside("certificate.json")
    """The result of the confirmation."""
    model = Inside("model")
    """The retrained model's folder."""
    report = Inside("report.html")
    """The report page."""
    requests = Inside("requests")
    """What users ask of the running search; its driver adopts and removes it."""
    lock = Inside("study.lock")
    """Locked (flock) by the one process that writes."""
    trials = Inside("trials")
    """The trials' folders."""

    @property
    def repair(self) -> str:
        """The command that repairs the study, for messages."""
        return f"`hpsearch doctor {shell_word(self.root)} --repair`"

    def trial_numbers(self) -> list[int]:
        """Return the numbers of the trials that have a folder, in order."""
        found = (p for p in self.trials.glob("*") if p.name.isdigit() and p.is_dir())
        return sorted(int(p.name) for p in found)

    def temporary_files(self) -> list[Path]:
        """Return the files and folders that interrupted writes and repairs have left."""
        places = [self.root, self.model]
        places += [path for path in self.confirmation.glob("*") if path.is_dir()]
        left = [path for place in places for path in place.glob(".*.tmp")]
        left += [path for n in self.trial_numbers() for path in self.trial(n).temporary_files()]
        return sorted([*left, *self.root.glob(f"{REBUILT}*")])

    def trial(self, number: int) -> TrialFolder:
        """Return the folder of one trial."""
        return TrialFolder(self.trials / f"{number:05d}")
