"""`hpsearch.load(...)` from Python, and model folders that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import hpsearch
from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.errors import InputError
from hpsearch.recognition.model import load_model
from hpsearch.recognition.rank import rank
from hpsearch.recognition.support import read_images, read_support
from tests.support.models import write_model


def test_load_and_rank_from_python(model: Path, support: Path, queries: list[Path]) -> None:
    loaded = hpsearch.load(str(model))
    arrays = [np.asarray(Image.open(path)) for path in queries]
    by_path = loaded.rank([str(path) for path in queries], str(support))
    assert loaded.rank(arrays, support) == by_path
    assert loaded.rank(queries[0], support) == by_path[:1]
    images, held = read_images(queries), read_support(support)
    expected = rank(loaded.network, loaded.config.input_size, images, held)
    assert by_path == [expected.candidates(query) for query in range(3)]
    assert by_path[1][0].name == "roof"
    assert 0 < by_path[1][0].score <= 1


def test_a_single_array_is_told_apart_from_several(model: Path, support: Path) -> None:
    with pytest.raises(InputError, match="no image"):
        hpsearch.load(model).rank(np.zeros((105, 105), np.uint8), support)


def test_the_package_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = hpsearch.lode
    made = {"Callback", "Recogniser", "Study", "TensorBoard", "load", "search"}
    assert set(hpsearch.__all__) == {"__version__", *made}


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", **{"fc.bias": torch.zeros(3)})
    with pytest.raises(InputError, match=r"weights\.safetensors: does not hold"):
        load_model(folder)
    (folder / "weights.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match=r"weights\.safetensors: does not hold"):
        load_model(folder)


@pytest.mark.parametrize("dataset", [None, "glyphs", {"kind": "glyphs"}, ["kind", "fingerprint"]])
def test_a_description_without_its_data_is_refused(tmp_path: Path, dataset: object) -> None:
    path = write_model(tmp_path / "m") / "config.yaml"
    path.write_text(dump_yaml({**read_yaml(path), "dataset": dataset}))
    with pytest.raises(InputError, match=r"config\.yaml: dataset"):
        load_model(tmp_path / "m")


def test_a_damaged_configuration_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m") / "config.yaml"
    described = read_yaml(path)
    path.write_text(dump_yaml({**described, "config": {**described["config"], "input_size": 3}}))
    with pytest.raises(InputError, match="input_size"):
        load_model(tmp_path / "m")
