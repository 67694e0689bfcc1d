"""Own images by rule 3: any source, any number of classes, and what is said of them."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpsearch.data import open_test_set
from hpsearch.data.dataset import Characters
from hpsearch.data.pack import Contents, fingerprint
from hpsearch.errors import InputError
from hpsearch.pictures import copies
from hpsearch.pictures.own_images import read_own_images
from hpsearch.sources.find import find_dataset
from tests.support.drawings import ONE_LARGE, TWO_EACH, draw, write_drawings


def read(folder: Path, counts: Mapping[str, int]) -> Contents:
    return read_own_images(write_drawings(folder / "own", counts))


def roles(contents: Contents) -> tuple[Characters, Characters, Characters]:
    return contents.background, contents.validation, contents.test


def pictures(contents: Contents) -> list[set[bytes]]:
    """Return the different pictures of each role; those of `write_drawings` all differ."""
    return [{image.tobytes() for image in role.images} for role in roles(contents)]


def groups(sizes: Mapping[str, int], each: int = 2) -> dict[str, int]:
    return {f"{group}/c{c:02}": each for group, size in sizes.items() for c in range(size)}


def labelled(count: int, each: int) -> dict[str, int]:
    return {f"c{c:02}": each for c in range(count)}


SPLITS = {
    "groups": (groups({"A": 6, "B": 7, "C": 8, "D": 9, "E": 10}), "split by group"),
    "groups that would leave too little": (groups({"A": 9, "B": 9, "C": 9}), "split by class"),
    "groups that are too small": (groups({f"g{g}": 3 for g in range(9)}), "split by class"),
    "classes": (labelled(40, 2), "split by class"),
    "few classes": (labelled(14, 6), "split by picture"),
    "two classes": (labelled(2, 5), "split by picture"),
}


@pytest.mark.parametrize("case", SPLITS)
def test_the_data_choose_how_they_are_split(tmp_path: Path, case: str) -> None:
    counts, words = SPLITS[case]
    contents = read(tmp_path, counts)
    names = [set(role.names) for role in roles(contents)]
    shares = [len(one) / len(counts) for one in names]
    assert f", {words}" in contents.description
    assert 2 <= contents.ways == min(20, np.bincount(contents.validation.alphabet_of).min())
    if words == "split by picture":
        assert shares == [1, 1, 1]
    else:
        assert sum(shares) == 1
        assert not names[0] & names[1] | names[1] & names[2] | names[0] & names[2]
        assert shares[0] >= 0.5
    if words == "split by group":
        assert len({name for role in roles(contents) for name in role.alphabets}) == 5
    again = read_own_images(tmp_path / "own")
    assert fingerprint(again) == fingerprint(contents)


@pytest.mark.parametrize("each", [2, 3, 4, 5, 10, 60])
def test_few_classes_have_pictures_in_every_part(tmp_path: Path, each: int) -> None:
    contents = read(tmp_path, labelled(3, each))
    background, validation, test = pictures(contents)
    assert len(background | validation | test) == 3 * each  # all of them are used
    for role in roles(contents):
        assert np.bincount(role.character).min() >= 2
    assert any("too few pictures" in text for text in contents.notices) == (each < 4)
    if each >= 4:  # each class has a picture of its own in validation and in test
        assert len(validation - background) >= 3
        assert len(test - background) >= 3
        assert not (validation - background) & (test - background)
    if each >= 10:
        assert not background & validation | background & test


@pytest.mark.parametrize("count", [59, 60, 75, 130])
def test_sixty_classes_or_more_have_twenty_sealed(tmp_path: Path, count: int) -> None:
    by_class = read(tmp_path / "flat", labelled(count, 2))
    assert (len(by_class.test.names) >= 20) == (count >= 60)
    sizes = {f"g{g}": 5 + g for g in range(count // 10)}
    contents = read(tmp_path / "deep", groups(sizes))
    if sum(sizes.values()) >= 60:
        assert len(contents.test.names) >= 20


HONOURED = {
    "the same classes": (
        {f"{split}/c{c}": 4 for split in ("train", "val", "test") for c in range(8)},
        "split as the folders train, val, test say: the same classes in each: 32 background, 32 "
        "validation and 32 test pictures, 8 ways",
    ),
    "other classes": (
        {f"{split}/{split}{c}": 4 for split in ("Training", "valid", "test") for c in range(8)},
        "split as the folders Training, valid, test say: 8 background, 8 validation and 8 test "
        "classes, 8 ways",
    ),
    "no validation": (
        {f"{split}/c{c}": 10 for split in ("training", "dev") for c in range(8)},
        "test taken from the training part: the same classes in each: 64 background, 80 "
        "validation and 16 test pictures, 8 ways",
    ),
    "a picture each": (
        {f"{s}/c{c}": n for s, n in (("train", 5), ("val", 1), ("test", 1)) for c in range(8)},
        "the same classes in each: 40 background, 16 validation and 16 test pictures, 8 ways",
    ),
    "groups": (
        {f"{s}/{g}/{s}{c}": 3 for s in ("train", "val", "test") for g in "ABC" for c in range(6)},
        "54 classes in 3 groups, split as the folders train, val, test say: 18 background, 18 "
        "validation and 18 test classes, 6 ways",
    ),
    "one folder above": (
        {f"mine/{split}/c{c}": 4 for split in ("train", "validation") for c in range(8)},
        "split as the folders train, validation say, test taken",
    ),
}


@pytest.mark.parametrize("case", HONOURED)
def test_split_folders_are_kept_and_said(tmp_path: Path, case: str) -> None:
    counts, words = HONOURED[case]
    contents = read(tmp_path, counts)
    assert words in contents.description
    assert contents.notices == ()
    first = next(iter(sorted(counts)))
    kept = next(p for p in (tmp_path / "own" / first).iterdir())
    shown = [image for image in pictures(contents) if convert_bytes(kept) in image]
    assert shown  # the picture is somewhere
    if case == "the same classes":
        background, validation, test = pictures(contents)
        assert not background & validation | background & test | validation & test


def convert_bytes(path: Path) -> bytes:
    from hpsearch.pictures.folder import convert

    return convert(path).tobytes()


def test_uneven_classes_are_used_in_full(tmp_path: Path) -> None:
    contents = read(tmp_path, ONE_LARGE)
    assert sum(len(role.images) for role in roles(contents)) == sum(ONE_LARGE.values())


def test_the_whole_way_of_a_zip(tmp_path: Path) -> None:
    folder = write_drawings(tmp_path / "own", {f"c{c:02}": 4 - 2 * (c % 2) for c in range(20)})
    archive = shutil.make_archive(str(tmp_path / "own"), "zip", tmp_path, "own")
    dataset = find_dataset("auto", Path(archive))
    assert dataset.kind == "folder"
    assert dataset.fingerprint == find_dataset("auto", folder).fingerprint
    opened = open_test_set(dataset, "a test", log=None, input_size=35)
    tasks, test = opened.tasks, opened.characters
    assert tasks.query.shape == (80, 5)
    matched = np.take_along_axis(tasks.support, tasks.target, axis=1)
    assert (test.character[matched] == test.character[tasks.query]).all()
    assert (matched != tasks.query).all()
    with zipfile.ZipFile(archive, "a") as more:
        more.write(folder / "c01/000.png", "own/c02/more.png")
    assert find_dataset("auto", Path(archive)).fingerprint != dataset.fingerprint


def photograph(seed: int, mode: str = "RGB") -> Image.Image:
    """Return an image without a plain ground."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    return coarse.resize((40, 40), Image.Resampling.BILINEAR).convert(mode)


def test_photographs_keep_their_grey_values(tmp_path: Path) -> None:
    for number in range(32):
        place = tmp_path / "own" / f"c{number // 2:02}"
        place.mkdir(parents=True, exist_ok=True)
        photograph(number).save(place / f"{number}.png")
    draw(1, 1).save(tmp_path / "own/c00/drawing.png")
    contents = read_own_images(tmp_path / "own")
    assert not contents.paper
    assert "grey pictures as they are" in contents.description
    assert not any("paper" in text for text in contents.notices)
    assert not find_dataset("auto", tmp_path / "own").paper
    drawings = read_own_images(tmp_path / "own", pictures="paper")
    assert drawings.paper
    assert fingerprint(drawings) != fingerprint(contents)
    asked = find_dataset("auto", tmp_path / "own", pictures="paper")
    assert asked.paper
    again = find_dataset("auto", tmp_path / "own", fingerprint=asked.fingerprint)
    assert again == asked


def test_nothing_is_left_out_in_silence(tmp_path: Path) -> None:
    folder = write_drawings(tmp_path / "own", {f"k{c:02}": 4 for c in range(16)})
    Image.new("1", (20_000, 20_000), 1).save(folder / "k00/large.png")
    (folder / "k01/broken.png").write_bytes(b"x")
    (folder / "k02/cut.png").write_bytes((folder / "k02/000.png").read_bytes()[:60])
    draw(9, 9).resize((48, 48)).save(folder / "k03/near.png")
    draw(9, 9).save(folder / "k04/whole.png")
    Image.new("RGBA", (30, 30)).save(folder / "k05/blank.png")
    write_drawings(folder, {"single": 1})
    contents = read_own_images(folder)
    for words in (
        "left out, cannot be read: 3 (k00/large.png: more than 25000000 pixels; make it smaller, "
        "k01/broken.png: not a whole image of a known format; remove it, k02/cut.png: not a",
        "left out, classes with only one image: 1 (single)",
        "left out, no ink (blank, of one colour, or wholly transparent): 1 of 68 images (k05/b",
        "pictures that are in two classes: 1 (k00/000.png = single/000.png)",
        "pictures that are nearly equal in two classes: 1 (k03/near.png ~ k04/whole.png)",
    ):
        assert any(words in text for text in contents.notices), contents.notices
    assert len(contents.notices) == 5
    assert sum(len(role.images) for role in roles(contents)) == 66


def test_notices_are_those_of_the_files_as_they_are_now(tmp_path: Path) -> None:
    folder = write_drawings(tmp_path / "own", labelled(3, 4))
    whole = find_dataset("folder", folder)
    (folder / "c00/broken.png").write_bytes(b"x")
    for _ in range(2):  # the second one is found packed
        found = find_dataset("folder", folder)
        assert found.fingerprint == whole.fingerprint
        assert [text[:31] for text in found.notices] == ["left out, cannot be read: 1 (c0"]
    (folder / "c00/broken.png").unlink()
    assert find_dataset("folder", folder) == whole


def test_a_link_to_a_changed_picture_is_read_again(tmp_path: Path) -> None:
    folder = write_drawings(tmp_path / "own", labelled(3, 4))
    linked = folder / "c00/000.png"
    linked.rename(tmp_path / "kept.png")
    linked.symlink_to(tmp_path / "kept.png")
    (folder / "c01/gone.png").symlink_to(tmp_path / "gone.png")
    before = find_dataset("folder", folder).fingerprint
    draw(9, 9).save(tmp_path / "kept.png")
    assert find_dataset("folder", folder).fingerprint != before


def test_a_class_without_a_known_format_is_named(tmp_path: Path) -> None:
    folder = write_drawings(tmp_path / "own", {f"g/c{c}": 4 for c in range(4)})
    (folder / "g" / "c9").mkdir()
    (folder / "g" / "c9" / "1.heic").write_bytes(b"x")
    (folder / "g" / "about.txt").write_text("the classes")
    assert read_own_images(folder).notices == ("left out, folders without images: 1 (g/c9)",)


def test_a_folder_that_lies_too_deep_is_named(tmp_path: Path) -> None:
    folder = write_drawings(tmp_path / "own", {f"g/c{c}": 4 for c in range(4)})
    write_drawings(folder / "g/c0/a/b/c", {"d": 1})
    notice = "left out, folders more than 5 deep: 1 (g/c0/a/b/c/d/)"
    assert read_own_images(folder).notices == (notice,)
    write_drawings(tmp_path / "deep/1/2/3/4/5", {"c0": 4, "c1": 4})
    with pytest.raises(InputError, match="no images, and 1/2/3/4/5/c0/ is more than 5 folders"):
        read_own_images(tmp_path / "deep")


@pytest.mark.parametrize(("each", "named"), [(2, 1), (3, 0)])
def test_a_part_that_shows_what_is_trained_on_is_named(
    tmp_path: Path, each: int, named: int
) -> None:
    counts = {f"{part}/c{c}": each for part in ("train", "test") for c in range(4)}
    contents = read(tmp_path, counts)
    background, validation, _ = pictures(contents)
    assert (validation <= background) is bool(named)
    lines = [line for line in contents.notices if "keep some apart for validation, so" in line]
    assert [line.endswith("to train on: 4 (c0, c1, c2 and 1 more)") for line in lines] == (
        [True] * named
    )


@pytest.mark.parametrize("size", [24, 48])
@pytest.mark.parametrize(("parts", "leaks"), [(("train", "test"), 1), (("train", "train"), 0)])
def test_copies_in_two_parts_of_a_split_are_named(
    tmp_path: Path, size: int, parts: tuple[str, str], leaks: int
) -> None:
    labels = {f"{part}/c{c:02}": 3 for part in ("train", "val", "test") for c in range(4)}
    folder = write_drawings(tmp_path / "own", labels)
    for number, part in enumerate(parts):
        picture = draw(99, 0).resize((24 + number * (size - 24),) * 2)
        picture.save(folder / part / "c02" / f"copy{number}.png")
    lines = [line for line in read_own_images(folder).notices if "two parts" in line]
    assert len(lines) == leaks
    one, other = sorted(f"{part}/c02/copy{number}.png" for number, part in enumerate(parts))
    assert all(f"keep one of each: 1 ({one} ~ {other})" in line for line in lines)


def test_near_copies_are_of_two_classes_and_not_equal() -> None:
    one, other = (np.asarray(draw(n, 1).resize((105, 105))) for n in (1, 2))
    close = one.copy()
    close[50, 50] ^= 128
    images = np.stack([one, close, one, other, close])
    assert copies.near_copies(images, [0, 0, 1, 1, 2]) == [(0, 4), (1, 2), (2, 4)]


UNUSABLE: dict[str, tuple[Mapping[str, int], str]] = {
    "no class": ({}, "no class, no images"),
    "one class": ({"a": 5}, r"images of one class only \(a\)"),
    "a picture each": ({"a": 1, "b": 1}, "0 classes with two images or more; at least 2"),
    "two layouts": ({"a": 2, "b/c": 2}, "keep to one layout"),
    "a part of a picture": (
        {"train/a": 4, "train/b": 4, "test/c": 1},
        "/own: folders train, test: test: 0 classes with two images or more; put at least two",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_data_that_cannot_be_used_are_refused(tmp_path: Path, case: str) -> None:
    counts, words = UNUSABLE[case]
    (tmp_path / "own").mkdir()
    with pytest.raises(InputError, match=words):
        read(tmp_path, counts)


def test_images_without_a_class_folder_are_refused(tmp_path: Path) -> None:
    draw(1, 1).save(tmp_path / "x.png")
    with pytest.raises(InputError, match="no class, 1 images outside class folders"):
        read_own_images(tmp_path)


def test_a_folder_of_broken_files_is_refused_with_a_name(tmp_path: Path) -> None:
    write_drawings(tmp_path / "own", TWO_EACH)
    for path in tmp_path.glob("own/*/*"):
        path.write_bytes(b"x")
    with pytest.raises(InputError, match=r"\(cannot be read: 40 \(c00/000\.png: not a whole im"):
        read_own_images(tmp_path / "own")


def test_a_folder_of_blank_files_is_refused_with_a_name(tmp_path: Path) -> None:
    write_drawings(tmp_path / "own", TWO_EACH)
    for path in tmp_path.glob("own/*/*"):
        Image.new("L", (50, 50), 255).save(path)
    with pytest.raises(InputError, match=r"at least 2 are needed \(no ink .* 40 of 40 images"):
        read_own_images(tmp_path / "own")


def png() -> bytes:
    content = io.BytesIO()
    draw(1, 1).save(content, "PNG")
    return content.getvalue()


HOSTILE = {
    "upward": ({"../../x/y.png": png()}, "leads outside"),
    "absolute": ({"/tmp/x/y.png": png()}, "leads outside"),
    "backslashes": ({"x\\y.png": png()}, "has a backslash, where a zip has a slash; pack it"),
    "a bomb": ({"x/y.png": bytes(60_000_000)}, "more than 50000000 bytes"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_zip_is_refused(tmp_path: Path, case: str) -> None:
    members, words = HOSTILE[case]
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**members, "x/a.png": png(), "z/a.png": png()}.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match=words):
        find_dataset("folder", tmp_path / "x.zip")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    for name, words in (
        ("x.tar", "neither a folder, a .zip nor a .csv"),
        ("x.zip", "damaged zip"),
        ("images_background.zip", "a part of Omniglot; name the folder"),
    ):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(InputError, match=words):
            find_dataset("auto", tmp_path / name)
