"""A cache that several people share: others read it, and write into their own."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hpsearch.data import open_test_set
from hpsearch.data.cache import in_first, is_refused
from hpsearch.data.dataset import Dataset
from hpsearch.data.packed_files import verify_packed
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.scoring.baselines import keep_baselines, read_baselines
from hpsearch.scoring.controls import figures
from hpsearch.sources.find import find_dataset
from tests.support.cases import as_nobody
from tests.support.trees import SMALL, small_files, write_zips

PACK = """
import sys
from pathlib import Path
from hpsearch.sources.find import find_dataset
from tests.support.trees import SMALL
find_dataset("omniglot", Path(sys.argv[1]), layout=SMALL).background(35)
"""


def find_small(path: Path | None) -> Dataset:
    return find_dataset("omniglot", path, layout=SMALL)


@pytest.mark.parametrize(("umask", "readable"), [("022", 0o044), ("027", 0o040), ("077", 0)])
def test_oa9_a_cache_is_readable_by_whom_the_umask_allows(
    small: Path, cache: Path, umask: str, readable: int
) -> None:
    command = f"umask {umask}; exec {sys.executable} -c '{PACK}' {small}"
    subprocess.run(["sh", "-c", command], check=True, cwd=Path(__file__).parents[2])
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in cache.rglob("*")}
    assert {path.name for path in modes} >= {"meta.json", "background-35.npy", "sources"}
    wrong = {p: oct(mode) for p, mode in modes.items() if mode & 0o044 != readable}
    assert wrong == {}


@pytest.fixture
def shared(
    small: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Act as one who may only read the cache of someone who has packed data; return their own."""
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    packed = find_small(small)
    packed.validation(52)  # imports what nobody may be unable to read
    for path in (cache, *cache.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with as_nobody(small, cache, home):
        yield home / "hpsearch"
    for path in (cache, *cache.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_oa9_packed_data_of_others_are_used_where_they_lie(
    shared: Path, small: Path, cache: Path
) -> None:
    dataset = find_small(small)
    assert dataset.folder.is_relative_to(cache)
    assert not dataset.notice
    assert find_small(None) == dataset
    assert not shared.exists()
    first = dataset.background(35).images
    assert first.shape == (40, 35, 35)
    assert list(shared.rglob("background-35.npy"))
    assert (dataset.background(35).images == first).all()


def test_oa9_what_is_made_of_them_goes_into_ones_own_cache(shared: Path, small: Path) -> None:
    dataset = find_small(small)
    open_test_set(dataset, "a test")
    logs = list(shared.rglob("openings.jsonl"))
    assert [json.loads(line)["reason"] for line in logs[0].read_text().splitlines()] == ["a test"]
    found = {"affine": figures("Affine model", None, 0.818, 0)}
    keep_baselines(dataset.folder, dataset.fingerprint, found)
    assert read_baselines(dataset.folder, dataset.fingerprint) == found


def test_oa9_OD2_a_damaged_file_of_others_is_made_again_in_ones_own_cache(
    shared: Path, small: Path, cache: Path
) -> None:
    dataset = find_small(small)
    right = np.array(dataset.validation(52).images)
    theirs = dataset.folder / "validation-52.npy"
    content = bytearray(theirs.read_bytes())
    content[-5] ^= 1
    effective = os.geteuid()
    os.seteuid(os.getuid())
    theirs.chmod(0o644)
    theirs.write_bytes(content)
    theirs.chmod(0o444)
    os.seteuid(effective)
    assert (dataset.validation(52).images == right).all()
    (mine,) = shared.rglob("validation-52.npy")
    assert (np.load(mine) == right).all()
    verify_packed(dataset.folder)  # nobody is told to delete what they may not


def test_oa9_other_data_are_packed_into_ones_own_cache_and_that_is_said(
    shared: Path, tmp_path: Path, cache: Path
) -> None:
    other = write_zips(shared.parent / "other", small_files(1))
    dataset = find_small(other)
    assert dataset.folder.is_relative_to(shared)
    assert dataset.notice.startswith(f"{cache} may not be written to; packed in {shared}")
    again = find_small(other)
    assert again.folder == dataset.folder
    assert not again.notice


def test_oa9_data_that_others_hid_are_packed_again(shared: Path, small: Path, cache: Path) -> None:
    if os.getuid() == 0:
        os.seteuid(0)
        for meta in cache.rglob("meta.json"):
            meta.chmod(0o600)  # as 0.1.0 wrote it
        os.seteuid(65534)
    assert find_small(small).background(35).images.shape == (40, 35, 35)


def test_oa9_a_cache_that_may_not_even_be_entered_is_done_without(
    shared: Path, small: Path, cache: Path
) -> None:
    if os.getuid() == 0:
        os.seteuid(0)
        cache.chmod(0o700)
        os.seteuid(65534)
        with pytest.raises(InputError, match="could not be downloaded"):
            find_small(None)
    dataset = find_small(small)
    assert dataset.background(35).images.shape == (40, 35, 35)
    assert find_small(None).folder == dataset.folder


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC])
def test_oa9_only_a_refusal_is_answered_by_another_folder(tmp_path: Path, number: int) -> None:
    first, second = tmp_path / "first", tmp_path / "second"

    def write(folder: Path) -> Path:
        if folder == first:
            cause = OSError(number, os.strerror(number))
            raise EnvironmentFailure("cannot be written") from cause
        return folder

    if number == errno.ENOSPC:  # a full disk is the user's to mend
        with pytest.raises(EnvironmentFailure) as caught:
            in_first([first, second], write)
        assert not is_refused(caught.value)
    else:
        assert in_first([first, second], write) == second
