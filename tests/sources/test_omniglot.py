"""Reading Omniglot: small trees, damaged ones, and the real one where HPSEARCH_DATA names it."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpsearch.data import open_test_set
from hpsearch.data.pack import fingerprint
from hpsearch.data.resize import from_stored
from hpsearch.errors import InputError
from hpsearch.sources.find import find_dataset
from hpsearch.sources.omniglot import read_omniglot
from tests.support.trees import SMALL, png, small_files, write_folders, write_zips

REAL = os.environ.get("HPSEARCH_DATA")
Parts = dict[str, dict[str, bytes]]


def test_small_tree_is_read_exactly(small: Path) -> None:
    contents = read_omniglot(small, layout=SMALL)
    assert contents.background.alphabets == ("Bg_A", "Bg_B")
    assert contents.validation.alphabets == ("Val_A", "Val_B")
    assert contents.test.alphabets == ("Test_A", "Test_B")
    assert contents.background.names[5] == "Bg_B/character01"
    row = contents.validation.index()[6, 2]
    content = small_files()["images_evaluation"]["Val_B/character02/0001_03.png"]
    expected = np.where(np.asarray(Image.open(io.BytesIO(content))), 0, 255)
    np.testing.assert_array_equal(from_stored(contents.validation.images[row]), expected)


def test_labels_decide_the_runs_targets(small: Path) -> None:
    contents = read_omniglot(small, layout=SMALL)
    runs, test = contents.runs, contents.test
    assert runs.alphabet == ("Test_A", "Test_B")
    assert (test.drawer[runs.query] == 0).all()
    assert (test.drawer[runs.support] == 2).all()
    matched = np.take_along_axis(runs.support, runs.target, axis=1)
    np.testing.assert_array_equal(test.character[matched], test.character[runs.query])


def test_zips_and_folders_have_one_fingerprint(small: Path, tmp_path: Path) -> None:
    folders = write_folders(tmp_path / "unpacked", small_files())
    zipped = fingerprint(read_omniglot(small, layout=SMALL))
    assert fingerprint(read_omniglot(folders, layout=SMALL)) == zipped
    other = write_zips(tmp_path / "other", small_files(1))
    assert fingerprint(read_omniglot(other, layout=SMALL)) != zipped


def drop_drawing(parts: Parts) -> None:
    del parts["images_background"]["Bg_A/character01/0001_02.png"]


def drop_last_drawing(parts: Parts) -> None:
    del parts["images_background"]["Bg_B/character05/0001_04.png"]


def drop_character(parts: Parts) -> None:
    for drawer in range(1, 5):
        del parts["images_evaluation"][f"Val_A/character01/0001_0{drawer}.png"]


def common_alphabet(parts: Parts) -> None:
    moved = {n.replace("Test_A", "Bg_A"): c for n, c in parts["images_evaluation"].items()}
    parts["images_evaluation"] = moved


def wrong_size(parts: Parts) -> None:
    parts["images_background"]["Bg_A/character01/0001_02.png"] = png(np.ones((28, 28), bool))


def wrong_mode(parts: Parts) -> None:
    grey = png(np.ones((105, 105), bool), "L")
    parts["images_background"]["Bg_A/character01/0001_02.png"] = grey


def cut_image(parts: Parts) -> None:
    name = "Bg_A/character01/0001_02.png"
    parts["images_background"][name] = parts["images_background"][name][:150]


def no_image(parts: Parts) -> None:
    parts["images_background"]["Bg_A/character01/0001_02.png"] = b"hello"


def empty_image(parts: Parts) -> None:
    parts["images_background"]["Bg_A/character01/0001_02.png"] = b""


def another_layout(parts: Parts) -> None:
    parts["images_background"]["cats/0001.png"] = png(np.ones((105, 105), bool))


def large_member(parts: Parts) -> None:
    parts["images_background"]["Bg_A/character01/0001_02.png"] = bytes(200_000)


def no_runs(parts: Parts) -> None:
    parts["all_runs"] = {n: c for n, c in parts["all_runs"].items() if "run02" not in n}


def foreign_run(parts: Parts) -> None:
    parts["all_runs"]["run01/test/item01.png"] = png(np.eye(105, dtype=bool))


def false_labels(parts: Parts) -> None:
    lines = parts["all_runs"]["run01/class_labels.txt"].decode().split()
    lines[1::2] = np.roll(lines[1::2], 1).tolist()
    pairs = zip(lines[::2], lines[1::2], strict=True)
    parts["all_runs"]["run01/class_labels.txt"] = "\n".join(map(" ".join, pairs)).encode()


def no_labels(parts: Parts) -> None:
    parts["all_runs"]["run01/class_labels.txt"] = b"\xff\xfe"


@pytest.mark.parametrize("form", [write_zips, write_folders])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_drawing, r"Bg_A/character01 has 3 drawings"),
        (drop_last_drawing, r"Bg_B/character05 has 3 drawings"),
        (drop_character, "19 characters instead of 20"),
        (common_alphabet, "Bg_A is in both"),
        (wrong_size, "28 x 28"),
        (wrong_mode, "mode L"),
        (cut_image, "not a whole PNG"),
        (no_image, "not a whole PNG"),
        (empty_image, "not a whole PNG"),
        (another_layout, "cats/0001.png is not"),
        (large_member, "more than 100000 bytes"),
        (no_runs, "1 runs instead of 2"),
        (foreign_run, "item01.png: not among"),
        (false_labels, "the labels do not join"),
        (no_labels, "class_labels.txt: 0 lines"),
    ],
)
def test_damaged_content_is_one_line(
    tmp_path: Path,
    form: Callable[[Path, Parts], Path],
    damage: Callable[[Parts], None],
    message: str,
) -> None:
    parts = small_files()
    damage(parts)
    with pytest.raises(InputError, match=message) as caught:
        read_omniglot(form(tmp_path / "bad", parts), layout=SMALL)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [0.2, 0.9])
def test_cut_off_zip(small: Path, cut: float) -> None:
    path = small / "images_background.zip"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    with pytest.raises(InputError, match=r"images_background\.zip: damaged zip"):
        read_omniglot(small, layout=SMALL)


def test_flipped_bytes_never_end_in_a_traceback(small: Path) -> None:
    path = small / "images_background.zip"
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(30):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 8):
            damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            read_omniglot(small, layout=SMALL)
        except InputError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    "name", ["../evil.png", "/evil.png", "images_background/../../evil.png", "..\\evil.png"]
)
def test_members_that_escape_are_refused(small: Path, name: str) -> None:
    with zipfile.ZipFile(small / "images_background.zip", "a") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(InputError, match="leads outside"):
        read_omniglot(small, layout=SMALL)
    assert not (small.parent / "evil.png").exists()


def test_links_in_a_zip_are_refused(small: Path) -> None:
    link = zipfile.ZipInfo("images_background/Bg_A/character01/0001_09.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(small / "images_background.zip", "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="is a link or device"):
        read_omniglot(small, layout=SMALL)


def test_a_missing_part_is_named(small: Path) -> None:
    (small / "images_evaluation.zip").unlink()
    with pytest.raises(InputError, match=r"images_evaluation\.zip .* is missing"):
        read_omniglot(small, layout=SMALL)


def test_rubbish_of_archivers_is_passed_over(small: Path) -> None:
    with zipfile.ZipFile(small / "images_background.zip", "a") as archive:
        archive.writestr("__MACOSX/images_background/Bg_A/._0001_01.png", b"x")
        archive.writestr("images_background/.DS_Store", b"x")
    assert len(read_omniglot(small, layout=SMALL).background.names) == 10


@pytest.mark.skipif(REAL is None, reason="HPSEARCH_DATA names no Omniglot")
def test_real_omniglot() -> None:
    assert REAL is not None
    dataset = find_dataset("omniglot", Path(REAL))
    assert dataset.fingerprint == (
        "bd5e9d2db11cab9dfa3eca8de5bde3d96d7ea74983dde2861789fd0d3afeb0cd"
    )
    background, validation = dataset.background(35), dataset.validation(35)
    assert (len(background.alphabets), len(background.names)) == (30, 964)
    assert (len(validation.alphabets), len(validation.names)) == (10, 277)
    assert background.images.shape == (19280, 35, 35)
    assert dataset.ways == 20
    opened = open_test_set(dataset, "a test", input_size=105)
    assert opened.tasks.n_tasks == 400
    assert opened.tasks.alphabet[0] == opened.tasks.alphabet[1] == "Atlantean"
    assert len(set(opened.tasks.alphabet)) == 10
