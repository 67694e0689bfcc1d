"""Where files lie: the cache, a study's folder, a trial's folder; and how they are written whole."""

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

from hpsearch.errors import EnvironmentFailure, InputError

NETWORK_KINDS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "glusterfs"}
"""File systems whose locks and flushes are not to be trusted with a database."""

OUTPUT_HEAD = 4000
"""Bytes at the beginning of a file that tell who wrote it."""
REBUILT = ".rebuilt-"
"""How the folder is called that a repair builds a database in."""


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
            with contextlib.suppress(OSError):  # on a disk that refuses this too
                aside.unlink(missing_ok=True)
        raise EnvironmentFailure(
            f"{path}: cannot be written ({_why(path, error)}); free space or mend the permission, "
            "then run the same command again"
        ) from error


def read_file(path: Path, most: int = -1) -> bytes:
    """Return the first bytes of a regular file; a pipe or a device could make us wait for ever.

    Raises:
        OSError: It cannot be read, or is no regular file.
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
    """Refuse a place for a file where something is that the same command did not write.

    Args:
        path: The file to write.
        mark: What the beginning of a file of that kind holds.
        maker: What writes such files, in words.
        option: How a person names the file.

    Raises:
        InputError: A folder, a link, a pipe, a device, or somebody's file is there.
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
    """Return an error's words; of a full disk also how much is free."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return str(error.strerror)
    free = shutil.disk_usage(path.parent).free / 1e6 if path.parent.is_dir() else 0.0
    return f"{error.strerror}, {free:.0f} MB free"


def remove(path: Path) -> None:
    """Remove a file, or a folder with what is in it; what is gone already is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def make_private(folder: Path) -> None:
    """Make a folder that only its owner may enter; one that is there stays as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def network_filesystem(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """Return the kind of network file system a path lies on, None for a local one.

    Relies on Linux's list of mounts; elsewhere every path counts as local.

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
    """Return the user's cache folder: HPSEARCH_CACHE, else XDG_CACHE_HOME/hpsearch, else ~/.cache."""
    named = os.environ.get("HPSEARCH_CACHE")
    return user_path(named) if named else own_cache()


def own_cache() -> Path:
    """Return where the user's cache lies when HPSEARCH_CACHE names no other."""
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "hpsearch"


def user_path(typed: str | Path) -> Path:
    """Return a path that a person typed; ~ is their home, also where no shell has seen it."""
    return Path(os.path.expanduser(typed))  # noqa: PTH111


def shell_word(value: object) -> str:
    """Return a path or a name as a shell reads it, for commands that are proposed."""
    text = str(value)
    if text.isprintable():
        return shlex.quote(text)
    letters = (
        chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\{b:03o}" for b in os.fsencode(text)
    )
    return f"$'{''.join(letters)}'"


@dataclass(frozen=True)
class TrialFolder:
    """The files of one trial."""

    root: Path

    def temporary_files(self) -> list[Path]:
        """Return what interrupted writes have left."""
        return list(self.root.glob(".*.tmp"))

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
    def provenance(self) -> Path:
        """Which software, machine, data and seeds trained it."""
        return self.root / "provenance.json"

    @property
    def attempts(self) -> Path:
        """Deaths of workers since the last new epoch."""
        return self.root / "attempts.json"

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
    def begun(self) -> Path:
        """What the study began with, and our mark; absent in folders of 0.1.0."""
        return self.root / "begun.json"

    @property
    def dataset(self) -> Path:
        """Kind, source and fingerprint of the data the study runs on."""
        return self.root / "dataset.json"

    @property
    def prior(self) -> Path:
        """The trials of another study that the sampler learns from; absent without one."""
        return self.root / "prior.json"

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
    def confirmation(self) -> Path:
        """Folder of the runs that confirm the best configurations."""
        return self.root / "confirmation"

    @property
    def certificate(self) -> Path:
        """What the confirmation found."""
        return self.root / "certificate.json"

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

    def trial_numbers(self) -> list[int]:
        """Return the numbers of the trials that have a folder, in order."""
        found = (p for p in self.trials.glob("*") if p.name.isdigit() and p.is_dir())
        return sorted(int(p.name) for p in found)

    def temporary_files(self) -> list[Path]:
        """Return what interrupted writes and repairs have left."""
        places = [self.root, self.model]
        places += [path for path in self.confirmation.glob("*") if path.is_dir()]
        left = [path for place in places for path in place.glob(".*.tmp")]
        left += [path for n in self.trial_numbers() for path in self.trial(n).temporary_files()]
        return sorted([*left, *self.root.glob(f"{REBUILT}*")])

    def trial(self, number: int) -> TrialFolder:
        """Return the folder of one trial."""
        return TrialFolder(self.trials / f"{number:05d}")
