"""`hpsearch.Recogniser`: what it answers, what it takes, and that it encodes nothing twice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import hpsearch
from hpsearch.errors import InputError
from hpsearch.recognition import recogniser as recogniser_module
from hpsearch.recognition.support import read_images
from tests.support.models import draw, write_model, write_support
from tests.test_lazy import loaded_by


def test_it_ranks_as_the_model_ranks_a_folder(
    model: Path, queries: list[Path], tmp_path: Path
) -> None:
    kinds = {"bar": 3, "cross": 1, "roof": 2, "box": 1, "dash": 2}
    support = write_support(tmp_path, {kind: (kind, count) for kind, count in kinds.items()})
    recogniser = hpsearch.Recogniser.load(model)
    for folder in sorted(support.iterdir()):
        first, *others = sorted(folder.iterdir())
        recogniser.add(folder.name, first)
        if others:
            recogniser.add(folder.name, [Image.open(path) for path in others])
    assert recogniser.labels == ("bar", "box", "cross", "dash", "roof")
    for query, expected in zip(queries, hpsearch.load(model).rank(queries, support), strict=True):
        for image in (str(query), Image.open(query), np.asarray(Image.open(query))):
            ranked = recogniser.rank(image)
            assert [one.name for one in ranked] == [one.name for one in expected]
            scores = [one.score for one in expected]
            assert [one.score for one in ranked] == pytest.approx(scores, abs=1e-6)


def test_the_shipped_model_is_the_default_and_its_vectors_tell_the_classes() -> None:
    recogniser = hpsearch.Recogniser.load()
    kinds = ["bar", "cross", "roof", "box"]
    for kind in kinds:
        recogniser.add(kind, draw(kind))
    ranked = [recogniser.rank(draw(kind, shift=4)) for kind in kinds]
    assert [one[0].name for one in ranked] == kinds
    supports = recogniser.embed([draw(kind) for kind in kinds])
    queries = recogniser.embed(np.asarray(draw(kind, shift=1)) for kind in kinds)
    assert supports.dtype == np.float32
    assert supports.ndim == 2
    np.testing.assert_allclose(np.linalg.norm(supports, axis=1), 1, atol=1e-5)
    assert (queries @ supports.T).argmax(axis=1).tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(recogniser.embed(draw("bar")), supports[:1], atol=1e-6)


def test_every_picture_is_encoded_once_and_equal_ones_tie(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, encoded = recogniser_module.encode, []

    def counted(network: Any, images: torch.Tensor) -> torch.Tensor:
        encoded.append(len(images))
        return encode(network, images)

    monkeypatch.setattr(recogniser_module, "encode", counted)
    recogniser = hpsearch.Recogniser.load(model)
    recogniser.add("zero", [draw("bar"), draw("bar"), draw("roof")])
    recogniser.add("one", [draw("roof"), draw("bar"), draw("bar")])
    recogniser.add("two", draw("box"))
    assert encoded == [2, 1]
    first, second, third = recogniser.rank(draw("bar"))
    assert (first.name, second.name, third.name) == ("one", "zero", "two")
    assert first.score == second.score > third.score
    assert encoded == [2, 1]
    recogniser.rank(draw("dash"))
    assert encoded == [2, 1, 1]


@pytest.mark.parametrize(
    "mode",
    [
        "1",
        "L",
        "LA",
        "P",
        "RGB",
        "RGBA",
        "CMYK",
        "LAB",
        "I;16",
        "I;16B",
        "I;16 on glass",
        "turned",
    ],
)
def test_an_image_of_pillow_is_read_as_its_file(tmp_path: Path, mode: str) -> None:
    grey = draw("roof")
    path = tmp_path / "image.tif"
    if mode == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by a quarter
        grey.save(path, exif=exif)
    elif mode == "I;16B":
        wide = np.asarray(grey).astype(">u2") * 10
        Image.frombytes(mode, grey.size, wide.astype(">u2").tobytes()).save(path)
    elif mode.startswith("I;16"):
        path = path.with_suffix(".png")
        told = {"transparency": 2550} if mode != "I;16" else {}
        Image.fromarray(np.asarray(grey).astype(np.uint16) * 10).save(path, **told)
    elif mode == "LAB":
        profiles = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
        lab = ImageCms.profileToProfile(grey.convert("RGB"), *profiles, outputMode="LAB")
        lab.save(path)
    elif mode == "P":
        path = path.with_suffix(".png")
        grey.convert("P").save(path, transparency=0)
    else:
        image = grey.convert(mode)
        if "A" in mode:
            image.putalpha(grey.point(lambda value: 255 - value))
        image.save(path)
    by_file, by_image = read_images([path]), read_images([Image.open(path)])
    np.testing.assert_array_equal(by_image, by_file)
    ink = 0 if mode == "P" else 1000  # all ink is transparent
    assert (by_file.sum() > ink) == (mode != "P")


def test_what_cannot_be_used_is_refused_in_one_line_and_changes_nothing(
    model: Path, tmp_path: Path
) -> None:
    recogniser = hpsearch.Recogniser.load(model)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    broken = tmp_path / "broken.png"
    refused: list[tuple[Any, Any, str]] = [
        ("", draw("bar"), "label ''"),
        (3, draw("bar"), "label 3"),
        ("bar", [], "label 'bar': no images"),
        ("bar", 3, "label 'bar': int is no image"),
        ("bar", [draw("bar"), broken], "broken.png: not a whole image"),
        ("bar", tmp_path / "nowhere.png", "nowhere.png: no such image file"),
        ("bar", np.zeros((4, 3, 2, 1)), "no image"),
        ("bar", Image.open(_cut(tmp_path)), "not a whole image"),
    ]
    for label, images, told in refused:
        with pytest.raises(InputError, match=told) as error:
            recogniser.add(label, images)
        assert "\n" not in str(error.value)
    assert recogniser.labels == ()
    recogniser.add("bar", draw("bar"))
    with pytest.raises(InputError, match=r"^1 labels added.*at least two"):
        recogniser.rank(draw("bar"))
    recogniser.add("roof", draw("roof"))
    assert recogniser.rank(draw("roof"))[0].name == "roof"
    with pytest.raises(InputError, match="no images"):
        recogniser.embed([])
    nan = write_model(tmp_path / "nan", **{"output.bias": torch.tensor([float("nan")])})
    spoilt = hpsearch.Recogniser.load(nan)
    spoilt.add("bar", draw("bar"))
    spoilt.add("roof", draw("roof"))
    with pytest.raises(InputError, match="not finite"):
        spoilt.rank(draw("bar"))
    with pytest.raises(InputError, match="no such model folder"):
        hpsearch.Recogniser.load(tmp_path / "nowhere")


def _cut(folder: Path) -> Path:
    """Return an image file that ends in the middle of its pixels."""
    whole, cut = folder / "whole.png", folder / "cut.png"
    noise = np.random.default_rng(0).integers(0, 256, (90, 90), np.uint8)
    Image.fromarray(noise).save(whole)
    cut.write_bytes(whole.read_bytes()[:2000])
    return cut


def test_the_first_answer_waits_for_nothing_it_does_not_need() -> None:
    code = (
        "import hpsearch, numpy\n"
        "known = hpsearch.Recogniser.load()\n"
        "known.add('a', numpy.eye(30)); known.add('b', numpy.eye(30)[::-1])\n"
        "assert known.rank(numpy.eye(30)[:, :29])[0].name == 'a'"
    )
    loaded = loaded_by(code)
    assert "torch" in loaded
    assert not loaded & {"sympy", "optuna", "scipy", "sklearn", "plotly", "sqlalchemy", "typer"}


def test_grey_pictures_are_converted_as_they_were_trained_on(model: Path, tmp_path: Path) -> None:
    grey = np.tile(np.linspace(40, 200, 60).astype(np.uint8), (60, 1))
    copied = tmp_path / "grey"
    shutil.copytree(model, copied)
    path = copied / "config.yaml"
    text = path.read_text()
    path.write_text(text.replace("dataset:\n", "dataset:\n  paper: false\n", 1))
    assert hpsearch.load(model).paper
    assert not hpsearch.load(copied).paper
    one, other = (hpsearch.Recogniser.load(folder).embed(grey) for folder in (model, copied))
    assert not np.array_equal(one, other)
    assert np.array_equal(other, hpsearch.Recogniser.load(copied).embed(Image.fromarray(grey)))
