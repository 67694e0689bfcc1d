"""Own pictures in colour: as they are, on white, at the side of the largest one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hpsearch.data import open_test_set
from hpsearch.data.pack import fingerprint
from hpsearch.data.resize import area_average
from hpsearch.errors import InputError
from hpsearch.pictures import own_images
from hpsearch.pictures.folder import convert, convert_pixels
from hpsearch.pictures.own_images import read_own_images
from hpsearch.sources.find import find_dataset
from hpsearch.training.config import TrialConfig
from hpsearch.training.loop import train
from hpsearch.training.trainingdata import TrainingData


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def test_colours_stay_and_transparent_parts_are_white(tmp_path: Path) -> None:
    pixels = np.zeros((4, 2, 4), np.uint8)
    pixels[0, 0] = (200, 100, 50, 255)
    pixels[0, 1] = (200, 100, 50, 0)
    pixels[1, 0] = (0, 0, 0, 128)
    path = save(tmp_path / "a.png", pixels)
    found = convert(path, colour_px=4)
    assert found.shape == (3, 4, 4)
    assert found[:, 0, 1].tolist() == [200, 100, 50]  # padded with one column on each side
    assert found[:, 0, 2].tolist() == [255, 255, 255]
    assert found[:, 1, 1].tolist() == [127, 127, 127]
    assert (found[:, :, [0, 3]] == 255).all()
    np.testing.assert_array_equal(convert_pixels(pixels, colour_px=4), found)


def test_a_large_picture_becomes_area_averages(tmp_path: Path) -> None:
    pixels = np.zeros((448, 448, 3), np.uint8)
    pixels[::2, :, 0] = 200
    found = convert(save(tmp_path / "a.png", pixels), colour_px=224)
    assert found.shape == (3, 224, 224)
    assert found[0].tolist() == np.full((224, 224), 100).tolist()
    assert not found[1:].any()


def colours(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    for number in range(20):
        for picture in range(3):
            side = 20 + 10 * (picture == 2)
            pixels = draw.integers(0, 255, (side, side, 3), np.uint8)
            save(folder / f"g{number % 4}" / f"c{number:02}" / f"{picture}.png", pixels)
    return folder


def test_all_pictures_get_the_side_of_the_largest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    folder = colours(tmp_path / "own")
    contents = read_own_images(folder, pictures="rgb")
    assert contents.colour_px == 30
    assert "split by class" in contents.description
    assert not any("in colour" in text for text in contents.notices)
    dataset = find_dataset("folder", folder, pictures="rgb")
    assert (dataset.colour_px, dataset.paper) == (30, False)
    assert dataset.fingerprint == fingerprint(contents)
    assert dataset.background(224).images.shape[1:] == (3, 30, 30)
    small = dataset.validation(12).images
    assert small.shape[1:] == (3, 12, 12)
    np.testing.assert_array_equal(small, area_average(contents.validation.images, 12))
    assert open_test_set(dataset, "test", input_size=10).characters.images.shape[1:] == (3, 10, 10)
    again = find_dataset("folder", folder, fingerprint=dataset.fingerprint)
    assert again.folder == dataset.folder
    grey = find_dataset("folder", folder)
    assert (grey.colour_px, grey.fingerprint == dataset.fingerprint) == (0, False)
    with pytest.raises(InputError, match="not within 1 to 105"):
        grey.background(150)
    with pytest.raises(InputError, match="not within 1 to 224"):
        dataset.background(225)


def test_too_many_colour_pictures_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_images, "MAX_COLOUR", 10)
    with pytest.raises(InputError, match="60 images; at most 10"):
        read_own_images(colours(tmp_path / "own"), pictures="rgb")


def test_the_area_average_of_colours_is_that_of_each(tmp_path: Path) -> None:
    shown = np.random.default_rng(0).integers(0, 255, (2, 3, 8, 8), np.uint8)
    found = area_average(shown, 4)
    wanted = shown.reshape(2, 3, 4, 2, 4, 2).mean((3, 5))
    np.testing.assert_array_equal(found, np.floor(wanted + 0.5))
    assert area_average(shown, 9) is shown or (area_average(shown, 9) == shown).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channels": "rgb", "input_size": 30}, None),
        ({"channels": "rgb", "input_size": 31}, "input_size: 31: the pictures have 30 pixels"),
        ({"channels": "grey", "input_size": 30}, "channels: the pictures were read in rgb"),
    ],
)
def test_a_network_of_convolutions_reads_colour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str | None
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    dataset = find_dataset("folder", colours(tmp_path / "own"), pictures="rgb")
    layers = {"conv1": {"filter_size": 5, "filter_count": 4}, "fc": {"width": 8}}
    short = {"images_per_epoch": 32, "max_epochs": 1, "batch_pairs": 8}
    config = TrialConfig.from_values({"layers": layers, **short, **changes})
    if words is not None:
        with pytest.raises(InputError, match=words):
            TrainingData.from_dataset(dataset, config, study_seed=0)
        return
    data = TrainingData.from_dataset(dataset, config, study_seed=0)
    (epoch,) = train(config, data, 0)
    assert epoch.checkpoint().weights()["conv1.weight"].shape == (4, 3, 5, 5)
    assert np.isfinite(epoch.result.loss)
