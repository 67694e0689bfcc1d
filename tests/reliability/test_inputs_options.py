"""B57, B58, B62, B79 to B90: servers, options, outputs and checkpoints that cannot be used."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import waitress

from hpsearch.results.dashboard import make_app
from hpsearch.training.checkpoint_file import MAGIC, wrap
from tests.support.cases import as_nobody, images_folder, refused, search, write_study
from tests.support.command_line import run

See = Callable[[object], None]

OPTIONS: dict[str, tuple[list[str], str]] = {
    "B79 no trials": (["--trials", "0"], "budget.trials"),
    "B79 trials -1": (["--trials", "-1"], "budget.trials"),
    "B79 trials 1e9": (["--trials", "1000000000"], "budget.trials"),
    "B79 trials ten": (["--trials", "ten"], "--trials"),
    "B80 no workers": (["--workers", "0"], "workers"),
    "B80 workers -1": (["--workers", "-1"], "workers"),
    "B80 5,000 workers": (["--workers", "5000"], "workers"),
    "B81 no hours": (["--hours", "0"], "hours"),
    "B81 hours -1": (["--hours", "-1"], "hours"),
    "B81 hours nan": (["--hours", "nan"], "hours"),
    "B81 time-out nan": (["--set", "worker_timeout_s=.nan"], "worker_timeout_s"),
    "B82 unknown sampler": (["--sampler", "magic"], "sampler.name"),
    "B82 unknown pruner": (["--pruner", "magic"], "pruner.name"),
    "B83 seed -1": (["--seed", "-1"], "seed"),
    "B83 seed 2**32": (["--seed", str(2**32)], "seed"),
    "B84 no such device": (["--device", "tpu"], "device"),
    "B84 no CUDA": (["--device", "cuda"], "CUDA"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_option(here: Path, monkeypatch: pytest.MonkeyPatch, case: str, see: See) -> None:
    """exit 2, names the option; nothing written"""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    write_study(here)
    options, named = OPTIONS[case]
    see(refused(here, named, "search", "small.yaml", *options))


SERVERS = {
    "B57 another scheme": ("mysql://me@db.example/studies", "write sqlite, or postgresql://"),
    "B57 no database": ("postgresql://me@db.example", "write sqlite, or postgresql://"),
    "B58 a password in the URL": ("postgresql://me:ca{n}ary%40@db.example/studies", "PGPASSWORD"),
    "B62 the driver is missing": ("postgresql://me@db.example/studies", "psycopg[binary]>=3.2,<4"),
}


@pytest.mark.parametrize("case", SERVERS)
def test_server(here: Path, monkeypatch: pytest.MonkeyPatch, case: str, see: See) -> None:
    """exit 2, names what to write or to install; no password repeated, nothing written"""
    url, named = SERVERS[case]
    if case.startswith("B62"):
        monkeypatch.setitem(sys.modules, "psycopg", None)
        monkeypatch.delitem(sys.modules, "hpsearch.storage.patient_postgres", raising=False)
    write_study(here)
    line = refused(here, named, "search", "small.yaml", "--storage", url)
    assert "storage" in line
    assert "ca{n}ary" not in line
    see(line)


@pytest.mark.parametrize("case", ["B85 port in use", "B85 port 70000", "B85 port 0"])
def test_port(here: Path, case: str, see: See) -> None:
    """exit 2, names the port"""
    search(here / "study")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"in use": taken.getsockname()[1], "70000": 70000, "port 0": 0}
        port = next(value for key, value in ports.items() if case.endswith(key))
        see(refused(here, "port", "dashboard", "study", "--port", port))


def test_B85_a_privileged_port(here: Path, monkeypatch: pytest.MonkeyPatch, see: See) -> None:
    """exit 2, names the port; asked as another user where the tests are run by root"""
    view = search(here / "study")
    make_app(view.folder, write=False)  # imports what nobody may be unable to read
    for path in (here / "study", *(here / "study").rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    with as_nobody(here), socket.socket() as tried:
        with contextlib.suppress(PermissionError):
            tried.bind(("127.0.0.1", 1))  # a container's kernel may have no privileged ports
            refusal = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            monkeypatch.setattr(waitress, "create_server", Mock(side_effect=refusal))
        see(refused(here, "--port 1", "dashboard", "study", "--port", 1))


@pytest.mark.parametrize("case", ["B86 a file of somebody else", "B86 a folder", "B86 a link"])
def test_output_is_not_ours(here: Path, case: str, see: See) -> None:
    """exit 2, names it; untouched"""
    search(here / "study")
    output = here / "thesis.yaml"
    if case.endswith("folder"):
        output.mkdir()
    elif case.endswith("link"):
        (here / "target").write_text("mine")
        output.symlink_to(here / "target")
    else:
        output.write_text("mine")
    see(refused(here, "thesis.yaml", "export", "study", "--output", output))


def test_B86_a_search_into_a_folder_that_is_no_study(here: Path, see: See) -> None:
    """exit 2, names it; untouched"""
    write_study(here)
    (here / "photos").mkdir()
    (here / "photos" / "cat.png").write_bytes(b"cat")
    see(refused(here, "photos", "search", "small.yaml", "--output", "photos"))


def test_B86_export_replaces_its_own_file(here: Path) -> None:
    """exit 0: what export wrote, export may write again"""
    search(here / "study")
    assert run("export", "study").code == 0
    assert run("export", "study").code == 0


def test_B87_output_on_a_full_disk(here: Path, monkeypatch: pytest.MonkeyPatch, see: See) -> None:
    """exit 3, names the file; nothing half-written"""
    search(here / "study")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    see(refused(here, "No space left", "export", "study", codes=(3,)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with own images, a best.yaml found on them, and a model trained from it."""
    folder = tmp_path_factory.mktemp("model")
    images_folder(folder / "images")
    search(folder / "study", trial__max_epochs=1, budget__trials=1)
    best = folder / "study" / "trials" / "00000" / "config.yaml"
    done = run("retrain", best, "--data", folder / "images", "--output", folder / "model")
    assert done.code == 0, done
    return folder


CHECKPOINTS: dict[str, tuple[Callable[[bytes], bytes], int, str]] = {
    "B89 pickled code": (lambda _: b"\x80\x04cposix\nsystem\n(S'touch ran'\ntR.", 0, "damaged"),
    "B90 of a newer version": (
        lambda content: content.replace(MAGIC, b"hpsearch checkpoint 2\n"), 2, "newer version",
    ),
    "B88 of another form": (lambda _: wrap(b"no tensors"), 0, "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_checkpoint(
    model: Path, tmp_path: Path, case: str, see: See, caplog: pytest.LogCaptureFixture
) -> None:
    """refused or passed over with a warning that names the file; no code runs"""
    import shutil

    change, code, named = CHECKPOINTS[case]
    shutil.copytree(model, tmp_path / "m")
    place = tmp_path / "m"
    for path in (place / "model").glob("checkpoint*"):
        path.write_bytes(change(path.read_bytes()))
    config = place / "study" / "trials" / "00000" / "config.yaml"
    done = run("retrain", config, "--data", place / "images", "--output", place / "model")
    assert done.code == code, done
    said = done.err + caplog.text
    assert named in said
    assert "checkpoint" in said
    assert not Path("ran").exists()
    see(f"exit {done.code}: {said}")


def test_B88_a_checkpoint_of_another_model(model: Path, tmp_path: Path, see: See) -> None:
    """exit 2, names it"""
    config = model / "study" / "trials" / "00000" / "config.yaml"
    other = tmp_path / "other.yaml"
    other.write_text(config.read_text().replace("filter_count: 4", "filter_count: 5"))
    (tmp_path / "model").mkdir()
    first = run("retrain", other, "--data", model / "images", "--output", tmp_path / "model")
    assert first.code == 0, first
    (tmp_path / "model" / "checkpoint").write_bytes((model / "model" / "checkpoint").read_bytes())
    done = run("retrain", other, "--data", model / "images", "--output", tmp_path / "model")
    assert done.code == 2, done
    assert "checkpoint: belongs to another configuration" in done.err
    see(done.err)
