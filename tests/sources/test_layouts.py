"""Where Omniglot's three parts may lie, and what holds while the test archive is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hpsearch.data import open_test_set
from hpsearch.data.dataset import Dataset
from hpsearch.data.pack import SEALED_FILE, fingerprint
from hpsearch.errors import InputError
from hpsearch.sources import find, omniglot
from hpsearch.sources.download import ADDRESS, BELOW, CHECKSUMS, DownloadFailed
from hpsearch.sources.find import find_dataset
from hpsearch.sources.omniglot import read_omniglot
from tests.support.trees import SMALL, small_files, write_folders, write_zips

BOTH = ("images_background", "images_evaluation")
AUTHORS = "python/one-shot-classification"


def find_small(path: Path | None, *, test: bool = False, kind: str = "omniglot") -> Dataset:
    return find_dataset(kind, path, layout=SMALL, test=test)


def move(folder: Path, names: tuple[str, ...], to: str) -> None:
    (folder / to).mkdir(parents=True, exist_ok=True)
    for name in names:
        found = next(p for p in (folder / name, folder / f"{name}.zip") if p.exists())
        found.rename(folder / to / found.name)


def clone(folder: Path) -> None:
    """Lay zips as in the authors' repository."""
    write_zips(folder, small_files())
    move(folder, BOTH, "python")
    move(folder, ("all_runs",), AUTHORS)


def unpacked(folder: Path) -> None:
    """Unpack the three archives into one folder: the runs lie right there."""
    write_folders(folder, small_files())
    for run in (folder / "all_runs").iterdir():
        run.rename(folder / run.name)
    (folder / "all_runs").rmdir()
    (folder / "README.md").write_text("not a drawing")


def unpacked_clone(folder: Path) -> None:
    """Unpack each archive of a clone where it lies."""
    unpacked(folder)
    move(folder, BOTH, "python")
    move(folder, ("run01", "run02"), AUTHORS)


def mixture(folder: Path) -> None:
    """Unpack one part only, which leaves an empty folder of another; the rest are zips."""
    write_zips(folder, small_files())
    (folder / "images_background.zip").unlink()
    write_folders(folder / "python", {"images_background": small_files()["images_background"]})
    (folder / "images_evaluation").mkdir()
    move(folder, ("all_runs",), AUTHORS)


def torchvision(folder: Path) -> None:
    """Lay the images as torchvision does, and the runs in a folder of their own name, twice."""
    write_folders(folder / "omniglot-py", small_files())
    move(folder / "omniglot-py", ("all_runs",), "again/all_runs")
    (folder / "omniglot-py/again/all_runs").rename(folder / "omniglot-py/all_runs")


@pytest.mark.parametrize("lay", [clone, unpacked, unpacked_clone, mixture, torchvision])
@pytest.mark.parametrize("kind", ["omniglot", "auto"])
def test_oa2_each_part_is_found_wherever_it_lies(
    small: Path, tmp_path: Path, lay: Callable[[Path], None], kind: str
) -> None:
    lay(tmp_path / "given")
    dataset = find_small(tmp_path / "given", test=True, kind=kind)
    assert dataset == find_small(small)
    assert open_test_set(dataset, "a test").tasks.n_tasks == 10


def test_oa2_of_a_clone_the_python_folder_may_be_named(small: Path, tmp_path: Path) -> None:
    clone(tmp_path / "given")
    assert find_small(tmp_path / "given" / "python", test=True) == find_small(small)


def test_oa2_runs_that_change_are_read_again(tmp_path: Path) -> None:
    unpacked(tmp_path)
    first = find_small(tmp_path)
    labels = tmp_path / "run01" / "class_labels.txt"
    labels.write_bytes(b"\n".join(reversed(labels.read_bytes().splitlines())) + b"\n")
    assert find_small(tmp_path).fingerprint != first.fingerprint


@pytest.fixture
def without_runs(small: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return images whose runs are known, without them; `small` below is the whole."""
    whole = fingerprint(read_omniglot(small, layout=SMALL))
    shutil.copytree(small, small / "whole")
    (small / "all_runs.zip").unlink()
    alone = fingerprint(read_omniglot(small, layout=SMALL))
    monkeypatch.setattr(omniglot, "WHOLE", {alone: whole})
    return small


def test_oa2_a_missing_test_archive_does_not_cost_the_search(without_runs: Path) -> None:
    dataset = find_small(without_runs)
    assert dataset.background(35).images.shape == (40, 35, 35)
    assert dataset.validation(35).images.shape == (40, 35, 35)
    assert str(without_runs) in dataset.notice
    assert "all_runs.zip is missing; the search does not need it" in dataset.notice
    assert "\n" not in dataset.notice
    assert find_small(None).fingerprint == dataset.fingerprint  # packed, and found in the cache
    with pytest.raises(InputError, match=r"all_runs\.zip was missing; put it into the folder"):
        open_test_set(dataset, "a test")
    assert not (dataset.folder / "openings.jsonl").exists()
    for named in (without_runs, None):
        with pytest.raises(InputError, match=r"all_runs\.zip is missing.*--data"):
            find_small(named, test=True)


def test_oa2_an_archive_that_comes_later_completes_what_was_packed(without_runs: Path) -> None:
    begun = find_small(without_runs)
    images = begun.background().images
    inode = (begun.folder / "background.npy").stat().st_ino
    (without_runs / "whole" / "all_runs.zip").rename(without_runs / "all_runs.zip")
    dataset = find_small(without_runs, test=True)
    assert (dataset.fingerprint, dataset.folder) == (begun.fingerprint, begun.folder)
    assert not dataset.notice
    assert open_test_set(begun, "a test").tasks.n_tasks == 10
    assert (
        begun.folder / "background.npy"
    ).stat().st_ino == inode  # a search may be at work on it
    assert images.shape == (40, 105, 105)
    (without_runs / "all_runs.zip").unlink()
    assert find_small(without_runs, test=True) == dataset  # packed once, it stays whole


def test_oa2_a_deleted_sealed_file_is_packed_again_when_it_is_needed(small: Path) -> None:
    dataset = find_small(small)
    (dataset.folder / SEALED_FILE).unlink()
    assert find_small(small) == dataset
    assert not (dataset.folder / SEALED_FILE).exists()
    assert open_test_set(find_small(small, test=True), "a test").tasks.n_tasks == 10


def test_oa2_other_runs_are_other_data(without_runs: Path) -> None:
    begun = find_small(without_runs)
    unpacked(without_runs / "other")
    labels = without_runs / "other" / "run01" / "class_labels.txt"
    labels.write_bytes(b"\n".join(reversed(labels.read_bytes().splitlines())) + b"\n")
    (without_runs / "other" / "run01").rename(without_runs / "run01")
    (without_runs / "other" / "run02").rename(without_runs / "run02")
    assert find_small(without_runs, test=True).fingerprint != begun.fingerprint


def test_oa2_a_test_archive_that_cannot_be_fetched_does_not_cost_the_search(
    small: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(folder: Path, **_: object) -> None:
        for name in BOTH:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(small / f"{name}.zip", folder)
        raise DownloadFailed("HTTP status 404")

    monkeypatch.setattr(find, "download", fetch)
    dataset = find_small(None, kind="auto")
    assert dataset.kind == "omniglot"
    assert (
        "all_runs.zip is missing and could not be downloaded (HTTP status 404)" in dataset.notice
    )
    with pytest.raises(InputError, match=r"all_runs\.zip .*404"):
        find_small(None, test=True, kind="auto")
    shutil.copy(small / "all_runs.zip", cache / "omniglot")
    assert open_test_set(find_small(None, test=True), "a test").tasks.n_tasks == 10


def test_oa2_the_authors_keep_the_runs_in_another_folder() -> None:
    places = {ADDRESS + BELOW.get(name, "") + name for name in CHECKSUMS}
    python = "https://github.com/brendenlake/omniglot/raw/master/python"
    assert places == {
        f"{python}/images_background.zip",
        f"{python}/images_evaluation.zip",
        f"{python}/one-shot-classification/all_runs.zip",
    }


def test_oa2_the_authors_own_images_are_known(omniglot_path: Path, tmp_path: Path) -> None:
    for name in BOTH:
        (tmp_path / f"{name}.zip").symlink_to(omniglot_path / f"{name}.zip")
    begun = find_dataset("omniglot", tmp_path)
    assert begun.fingerprint == (
        "bd5e9d2db11cab9dfa3eca8de5bde3d96d7ea74983dde2861789fd0d3afeb0cd"
    )
    dataset = find_dataset("omniglot", omniglot_path, test=True)
    assert (dataset.fingerprint, dataset.folder) == (begun.fingerprint, begun.folder)
    assert open_test_set(begun, "a test").tasks.n_tasks == 400
