"""OF7: what a person is told of own images, with counts and names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from hpsearch.cli.data import app
from hpsearch.pictures.looks import named
from hpsearch.pictures.own_images import read_own_images
from tests.support.drawings import draw, write_drawings

FOUR = {f"k{c:02}x": 4 for c in range(16)}


def _save(image: Image.Image) -> Callable[[Path], None]:
    return lambda folder: image.save(folder / "k03x" / "odd.png")


def _gradient() -> Image.Image:
    return Image.fromarray(np.add.outer(np.arange(60), 3 * np.arange(60)).astype(np.uint8))


def _on_grey(lighter: bool) -> Image.Image:
    grey = np.full((40, 40), 150, np.uint8)
    grey[10:30, 10:30] = 255 if lighter else 30
    return Image.fromarray(grey)


def _frames(folder: Path) -> None:
    draw(1, 1).save(folder / "k03x/odd.gif", save_all=True, append_images=[draw(2, 2)])


def _coloured() -> Image.Image:
    image = Image.new("RGB", (40, 40), "white")
    image.paste("red", (10, 10, 30, 30))
    return image


def _copy(source: str, target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / target).write_bytes((folder / source).read_bytes()) and None


CASES = {
    "blank": (_save(Image.new("L", (30, 30), 255)), "no ink (blank"),
    "transparent": (_save(Image.new("RGBA", (30, 30), (9, 9, 9, 0))), "no ink (blank"),
    "one pixel": (_save(Image.new("L", (1, 1), 0)), "smaller than 8 x 8 pixels: 1 of 65 images"),
    "photograph": (_save(_gradient()), "no drawing on a plain ground"),
    "lighter parts": (_save(_on_grey(lighter=True)), "no drawing on a plain ground"),
    "dark ground": (_save(Image.fromarray(255 - np.asarray(draw(1, 1)))), "bright on dark ground"),
    "colour": (_save(_coloured()), "in colour: only the grey values"),
    "frames": (_frames, "several frames: only the first"),
    "two classes": (
        _copy("k01x/000.png", "k03x/odd.png"),
        "pictures that are in two classes: 1 (k01x/000.png = ",
    ),
    "same class": (_copy("k03x/000.png", "k03x/odd.png"), "pictures that are twice in a class: 1"),
    "a suffix": (
        _copy("k03x/000.png", "k03x/odd.jfif"), "not an image by the suffix: 1 (k03x/odd",
    ),
    "astray": (_copy("k03x/000.png", "odd.png"), "left out, images outside CLASS/*, "),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_of7_what_is_odd_is_said_with_its_name(tmp_path: Path, case: str) -> None:
    folder = write_drawings(tmp_path / "own", FOUR)
    assert read_own_images(folder).notices == ()
    make, words = CASES[case]
    make(folder)
    told = [text for text in read_own_images(folder).notices if words in text]
    assert len(told) == 1
    assert "odd" in told[0]


def test_of7_a_drawing_on_grey_paper_is_a_drawing(tmp_path: Path) -> None:
    folder = write_drawings(tmp_path / "own", FOUR)
    _on_grey(lighter=False).save(folder / "k03x/odd.png")
    assert read_own_images(folder).notices == ()


SPLITS = [
    (("val", "test"), "k00x", "the same classes are in every alphabet"),
    (("A", "B", "C"), "k00x", "the same classes are in every alphabet"),
    (("test", "Validation"), "c00", "the same classes are in every alphabet"),
    (("Greek", "Latin", "Han"), "character01", None),
]


@pytest.mark.parametrize(("alphabets", "like", "words"), SPLITS)
def test_of7_splits_taken_for_alphabets_are_said(
    tmp_path: Path, alphabets: tuple[str, ...], like: str, words: str | None
) -> None:
    names = [like.replace("0", "1", 1).replace("1", chr(49 + c)) for c in range(8)]
    counts = {f"{alphabet}/{name}": 2 for alphabet in alphabets for name in names}
    told = read_own_images(write_drawings(tmp_path / "own", counts)).notices
    assert any(words in text for text in told) if words else told == ()


def test_of7_splits_of_other_classes_are_said_too(tmp_path: Path) -> None:
    counts = {f"{split}/{split}{c}": 2 for split in ("dev", "val", "test") for c in range(6)}
    told = read_own_images(write_drawings(tmp_path / "own", counts)).notices
    assert any("dev, test, val are taken for alphabets" in text for text in told)


def test_of7_a_few_are_named_and_the_rest_counted() -> None:
    assert named(["a", "b\x1b", "c", "d", "e"]) == "a, b?, c and 2 more"
    assert named(["a", "b"]) == "a, b"


def test_of7_data_show_draws_every_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    folder = write_drawings(tmp_path / "own", FOUR)
    Image.new("L", (30, 30), 255).save(folder / "k03x" / "odd.png")
    for _ in range(2):  # packed before, it is said again
        done = CliRunner().invoke(app, ["show", "--data", str(folder)])
        assert "NOTE: left out, no ink" in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("contact sheet of ")]
    assert [line.split()[3].rstrip(":") for line in lines] == ["background", "validation", "test"]
    for line in lines:
        path = line.split(": ")[1].rpartition(" (")[0]
        sheet = np.asarray(Image.open(path))
        assert (sheet < 100).any()
    assert "(5 of 5 classes, " in lines[1]


def test_of7_a_sheet_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/sheets").write_text("in the way")
    folder = write_drawings(tmp_path / "own", FOUR)
    done = CliRunner().invoke(app, ["show", "--data", str(folder)])
    assert done.exit_code == 0
    assert "NOTE: no contact sheet of test: " in done.stderr
