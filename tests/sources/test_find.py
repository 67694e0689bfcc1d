"""Finding, packing once, opening fast; the sealed file is never needed by the search."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from hpsearch.data import open_packed, open_test_set
from hpsearch.data.dataset import Dataset
from hpsearch.data.pack import SEALED_FILE
from hpsearch.errors import InputError
from hpsearch.sources import find
from hpsearch.sources.download import DownloadFailed
from hpsearch.sources.find import find_dataset
from tests.support.trees import SMALL, small_files, write_folders, write_zips


def find_small(path: Path | None, kind: str = "omniglot") -> Dataset:
    return find_dataset(kind, path, layout=SMALL)


def test_a_second_call_does_not_decode(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find_small(small)
    monkeypatch.setattr(find, "read_omniglot", lambda *_, **__: pytest.fail("decoded again"))
    assert find_small(small) == first
    assert find_small(None) == first  # packed earlier: found in the cache
    assert find_small(None, "auto") == first


def test_a_changed_file_is_read_again(small: Path, tmp_path: Path) -> None:
    first = find_small(small)
    write_zips(small, small_files(1))
    assert find_small(small).fingerprint != first.fingerprint
    folders = write_folders(tmp_path / "unpacked", small_files())
    assert find_small(folders) == first  # the same content is packed once


def test_afresh_reads_again(small: Path) -> None:
    find_small(small)
    path = small / "images_background.zip"
    status = path.stat()
    damaged = bytearray(path.read_bytes())
    damaged[60:80] = bytes(20)
    path.write_bytes(damaged)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    find_small(small)  # looks the same
    with pytest.raises(InputError):
        find_dataset("omniglot", small, layout=SMALL, afresh=True)


def test_the_environment_names_data(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_DATA", str(small))
    assert find_small(None, "auto").kind == "omniglot"
    monkeypatch.setenv("HPSEARCH_DATA", str(small / "nowhere"))
    with pytest.raises(InputError, match=r"HPSEARCH_DATA .*no such folder"):
        find_small(None, "auto")


def test_auto_falls_back_to_glyphs_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise DownloadFailed("no answer within 5 s")

    monkeypatch.setattr(find, "download", no_network)
    monkeypatch.setattr(find.glyphs, "_ALPHABETS", {"background": 1, "validation": 1, "test": 1})
    dataset = find_dataset("auto")
    assert dataset.kind == "glyphs"
    assert "could not be downloaded (no answer within 5 s); searching on glyphs" in dataset.notice
    assert not find_dataset("glyphs").notice
    with pytest.raises(InputError, match="--data PATH"):
        find_dataset("omniglot")


@pytest.mark.parametrize(
    ("kind", "message"),
    [("auto", "nor images"), ("omniglot", "no Omniglot"), ("folder", "GROUP/CLASS")],
)
def test_a_folder_without_data_is_refused(tmp_path: Path, kind: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        find_dataset(kind, tmp_path / "empty")
    assert not (tmp_path / "cache").exists()


def test_wrong_asking_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'mnist' is not one of"):
        find_dataset("mnist")
    with pytest.raises(InputError, match="folder needs your images; name it with --data"):
        find_dataset("folder")
    with pytest.raises(InputError, match="draws itself"):
        find_dataset("glyphs", tmp_path)


def test_search_needs_no_sealed_file(small: Path) -> None:
    dataset = find_small(small)
    (dataset.folder / SEALED_FILE).unlink()
    opened = open_packed(dataset.folder)
    assert opened == dataset == find_small(small)
    assert opened.background(35).images.shape == (40, 35, 35)
    assert opened.validation(35).images.shape == (40, 35, 35)
    with pytest.raises(InputError, match=SEALED_FILE):
        open_test_set(opened, "a test", log=None, input_size=35)


def test_nothing_of_the_test_set_lies_in_the_clear(small: Path) -> None:
    dataset = find_small(small)
    dataset.background(35)
    before = sorted(path.name for path in dataset.folder.iterdir())
    opened = open_test_set(dataset, "a test", log=dataset.folder.parent / "log", input_size=52)
    assert opened.characters.images.shape == (40, 52, 52)
    assert sorted(path.name for path in dataset.folder.iterdir()) == before
    for name in before:
        if name != SEALED_FILE:
            assert b"Test_A" not in (dataset.folder / name).read_bytes()


def test_every_opening_is_written_down(small: Path, tmp_path: Path) -> None:
    dataset, log = find_small(small), tmp_path / "study" / "openings.jsonl"
    for reason in ("evaluate trial 3", "baselines"):
        opened = open_test_set(dataset, reason, log=log, input_size=105)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["reason"] for line in lines] == ["evaluate trial 3", "baselines"]
    assert {line["fingerprint"] for line in lines} == {dataset.fingerprint}
    assert all(line["time"].endswith("+00:00") for line in lines)
    tasks, test = opened.tasks, opened.characters
    matched = np.take_along_axis(tasks.support, tasks.target, axis=1)
    np.testing.assert_array_equal(test.character[matched], test.character[tasks.query])


def test_images_are_mapped_and_equal_at_full_size(small: Path) -> None:
    dataset = find_small(small)
    images = dataset.validation().images
    assert isinstance(images, np.memmap)
    assert set(np.unique(images)) == {0, 255}
    for size in (0, 106):
        with pytest.raises(InputError, match="input_size"):
            dataset.validation(size)


def test_a_cut_off_reduced_file_is_made_again(small: Path) -> None:
    dataset = find_small(small)
    expected = np.array(dataset.background(35).images)
    path = dataset.folder / "background-35.npy"
    path.write_bytes(path.read_bytes()[:2000])
    np.testing.assert_array_equal(dataset.background(35).images, expected)


def test_a_damaged_pack_is_refused(small: Path) -> None:
    dataset = find_small(small)
    path = dataset.folder / "background.npy"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="checksum"):
        dataset.background(35)
    (dataset.folder / "meta.json").write_text("{}")
    with pytest.raises(InputError, match=r"meta\.json"):
        open_packed(dataset.folder)
    assert find_small(small).background(35).images.shape == (40, 35, 35)  # packed again


def _reduce(folder: Path) -> int:
    return int(open_packed(folder).background(52).images.sum())


def test_two_processes_may_reduce_at_once(small: Path) -> None:
    folder = find_small(small).folder
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        sums = pool.map(_reduce, [folder] * 4)
    assert len(set(sums)) == 1
    assert not list(folder.glob("*.tmp"))
    assert not list(folder.glob(".*"))
