"""The remote end of the Ray executor: one slot on one node, which runs a local worker process.

Must not know the search. If the node cannot read the study's folder, checkpoints and data travel
through Ray's object store. A command's checkpoint is a folder; it travels with the program's
report, as a tar file.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import socket
import stat
import tarfile
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import ray

from hpsearch import __version__
from hpsearch.data.cache import caches, in_first, write_shared
from hpsearch.data.pack import SEALED_FILE
from hpsearch.errors import cannot
from hpsearch.execution import Decision, Ended, EpochEnded, Event, Job
from hpsearch.execution.local import LocalExecutor
from hpsearch.paths import write_atomically

TURN_S = 0.05
"""How long one wait for the worker's events may delay an interrupt."""
FOLDER = "folder.tar"
"""The name under which a command's files travel."""
BESIDE = ("report.jsonl", "log.txt")
"""Files beside a command's checkpoint folder that travel with it."""
META = "meta.json"
"""The file of a packed data set that names its fingerprint."""


@dataclass(frozen=True)
class Study:
    """What every node needs to know about a study.

    Args:
        folder: The study's folder, as the driver names it.
        probe: Name of a file in it that holds `token`; a node that can read it shares the folder.
        token: Random text.
        device: "cpu" or "cuda".
        threads: Threads of a worker process.
        silence_s: A worker that gives no sign of life for this time is killed.
        step_timeout_s: So is one that takes no step for this time.
    """

    folder: Path
    probe: str
    token: str
    device: str
    threads: int
    silence_s: float
    step_timeout_s: float


@dataclass(frozen=True)
class NodeView:
    """A slot's node, and which of the driver's files it can read."""

    node: str
    host: str
    version: str
    folder: bool
    data: bool


@dataclass(frozen=True)
class RelayedEvent:
    """An event on its way to the driver, with the checkpoint if no disk is shared."""

    event: Event
    checkpoint: bytes | None = None


@dataclass(frozen=True)
class Parcel:
    """The files of a trial that its node cannot read; the node fetches the references.

    Args:
        checkpoint: The checkpoint to resume from and the one before, by file name; of a command
            what `pack_folder` returns, as FOLDER. Empty where there are none or the node can
            read them.
        data: The packed data set's files by name; None where the node can read them.
        mark: Digest of the data set's description; names the copy.
    """

    checkpoint: Mapping[str, bytes] = field(default_factory=dict)
    data: Mapping[str, ray.ObjectRef[bytes]] | None = None
    mark: str = ""


def data_mark(folder: Path) -> str:
    """Return a digest of a packed data set's description; empty where there is none."""
    try:
        return hashlib.sha256((folder / META).read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def packed_files(folder: Path) -> dict[str, bytes]:
    """Return a packed data set's files by name, without the sealed test set."""
    left_out = (SEALED_FILE, ".")
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(left_out)}


class RayWorker:
    """A Ray actor. Two threads call it: one waits for events, one submits, decides, interrupts."""

    def __init__(self, study: Study) -> None:
        """Check whether this node can read the study's folder; start nothing yet."""
        self._study = study
        self._lock = threading.Lock()
        try:
            self._shared = (study.folder / study.probe).read_text(encoding="utf-8") == study.token
        except OSError:
            self._shared = False
        logs = study.folder / "logs" / f"{socket.gethostname()}-{os.getpid()}"
        self._local = LocalExecutor(
            1,
            study.device,
            threads=study.threads,
            log_folder=logs if self._shared else None,
            silence_s=study.silence_s,
            step_timeout_s=study.step_timeout_s,
        )
        self._own = Path() if self._shared else _own_folder()
        self._job: Job | None = None

    def look(self, data: Path, mark: str) -> NodeView:
        """Return whether this node can read the study's folder, and the data set of this mark."""
        return NodeView(
            node=ray.get_runtime_context().get_node_id(),
            host=socket.gethostname(),
            version=__version__,
            folder=self._shared,
            data=not mark or data_mark(data) == mark,
        )

    def submit(self, job: Job, parcel: Parcel) -> None:
        """Start a trial.

        Raises:
            EnvironmentFailure: The worker cannot be started, or a file cannot be written.
        """
        if parcel.data is not None:
            job = replace(job, data=_copy_of(parcel.data, parcel.mark))
        if not self._shared:
            own = self._own / "trial"  # inside: nobody else may take the name of our folder
            shutil.rmtree(own, ignore_errors=True)
            own.mkdir(exist_ok=True)
            job = replace(job, checkpoint=own / job.checkpoint.name)
            for name, content in parcel.checkpoint.items():
                if name == FOLDER:
                    unpack_folder(content, own)
                else:
                    write_atomically(own / name, content)
        with self._lock:
            self._job = job
            self._local.submit(job)

    def events(self, timeout_s: float) -> list[RelayedEvent]:
        """Return new events in order; wait up to `timeout_s` for the first."""
        deadline = time.monotonic() + timeout_s
        while True:
            with self._lock:
                events = self._local.events(TURN_S)
            if events or time.monotonic() >= deadline:
                return [RelayedEvent(event, self._checkpoint(event)) for event in events]
            time.sleep(0.001)  # give the lock to a waiting thread

    def _checkpoint(self, event: Event) -> bytes | None:
        """Return the checkpoint, if the driver cannot read it; also of a trial that ends."""
        if self._shared or self._job is None or not isinstance(event, EpochEnded | Ended):
            return None
        if self._job.run is not None:
            return pack_folder(self._job.checkpoint)
        try:
            return self._job.checkpoint.read_bytes()
        except FileNotFoundError:
            return None

    def decide(self, trial: int, decision: Decision) -> None:
        """Answer the trial's last epoch."""
        with self._lock:
            self._local.decide(trial, decision)

    def interrupt(self) -> None:
        """Ask the trial to checkpoint and end within its batch."""
        with self._lock:
            self._local.interrupt()


def pack_folder(checkpoint: Path) -> bytes:
    """Return a command's checkpoint folder, its report and its log as a tar file.

    The program may write meanwhile: a file that goes away is left out, as a kill would leave it.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in (checkpoint, *(checkpoint.with_name(name) for name in BESIDE)):
            with contextlib.suppress(OSError):
                _add(tar, path, path.name, path)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, path: Path, name: str, root: Path) -> None:
    """Add a file or a folder; special files, and links that lead out of it, are left out."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode) and (target := _target(path, root)) is not None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        tar.addfile(entry)
    elif stat.S_ISREG(found.st_mode):
        content = path.read_bytes()  # its size may differ from the one above by now
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), stat.S_IMODE(found.st_mode)
        tar.addfile(entry, io.BytesIO(content))
    elif stat.S_ISDIR(found.st_mode):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o700
        tar.addfile(entry)
        for inner in sorted(path.iterdir()):
            with contextlib.suppress(OSError):
                _add(tar, inner, f"{name}/{inner.name}", root)


def _target(link: Path, root: Path) -> str | None:
    """Return where a link leads, relative to its own folder; None if that is outside of a root."""
    target, end = str(link.readlink()), Path(os.path.realpath(link))
    if link == root or not end.is_relative_to(os.path.realpath(root)):
        return None
    written = os.path.normpath(link.parent.relative_to(root) / target)
    if written.startswith(("/", "..")):  # true here only
        return os.path.relpath(end, os.path.realpath(link.parent))
    return target


def unpack_folder(content: bytes, folder: Path) -> None:
    """Replace a command's checkpoint folder, report and log by those of a tar file.

    Raises:
        EnvironmentFailure: They cannot be written.
    """
    aside = folder / ".carried.tmp"
    try:
        shutil.rmtree(aside, ignore_errors=True)
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            tar.extractall(aside, filter="data")
        for path in sorted(aside.iterdir()):
            place = folder / path.name
            if place.is_dir():
                place.rename(aside / ".before")
            path.rename(place)
    except OSError as error:
        raise cannot("written", folder, error, "free space") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _own_folder() -> Path:
    """Make this process's folder for checkpoints; remove the folders of our dead processes.

    Other users can write to the temporary folder. So the name cannot be predicted, only this
    user's own folders are removed, and links are not followed.
    """
    base, prefix = Path(tempfile.gettempdir()), f"hpsearch-ray-{os.getuid()}-"
    for left in base.glob(f"{prefix}*-*"):
        pid = left.name.removeprefix(prefix).partition("-")[0]
        if pid.isdecimal() and len(pid) < 10 and _is_own(left) and not _alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-"))


def _is_own(path: Path) -> bool:
    """Return whether a path is a folder of this user that only they may enter, and no link."""
    try:
        found = path.lstat()
    except OSError:
        return False
    private = stat.S_IMODE(found.st_mode) == 0o700
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and private


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _copy_of(files: Mapping[str, ray.ObjectRef[bytes]], mark: str) -> Path:
    """Return this node's copy of a packed data set; fetch it if there is none."""
    places = [cache / "packed" / f"ray-{mark}" for cache in caches()]
    for folder in places:
        if os.access(folder / META, os.R_OK):
            return folder
    return in_first(places, lambda folder: _fetch(files, folder))


def _fetch(files: Mapping[str, ray.ObjectRef[bytes]], folder: Path) -> Path:
    for name in sorted(files, key=lambda name: name == META):  # the description comes last
        write_shared(folder / name, ray.get(files[name]))
    return folder
