"""A model as an ONNX file: ONNX Runtime computes what `recognise` uses, from the pictures on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hpsearch.data.resize import area_average
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.network.views import View, views
from hpsearch.pictures.folder import convert
from hpsearch.recognition import onnx_file
from hpsearch.recognition.calibration import Calibration
from hpsearch.recognition.model import SHIPPED, Model, load_model
from hpsearch.recognition.rank import rank
from hpsearch.recognition.support import Support
from hpsearch.training.build import trained_network
from hpsearch.training.config import TrialConfig
from hpsearch.training.evaluation import encode
from tests.support.command_line import CommandLine
from tests.support.drawings import draw
from tests.support.models import write_model

onnx = pytest.importorskip("onnx", reason="the extra hpsearch[onnx] is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra hpsearch[onnx] is missing")

PAPER: dict[str, Any] = {
    "input_size": 35,
    "layers": {
        "conv1": {"filter_size": 4, "filter_count": 8},
        "conv2": {"filter_size": 3, "filter_count": 16, "pool": False},
        "fc": {"width": 48},
    },
}
BLOCKS: dict[str, Any] = {
    "input_size": 28,
    "comparison": "aligned",
    "batch_norm": True,
    "layers": {
        "conv1": {"filter_size": 2, "filter_count": 4, "padding": "same"},
        "conv2": {"filter_size": 3, "filter_count": 8, "padding": "same", "residual": True},
        "projection": {"width": 8},
        "output": {"tau": 10.0, "reach": 1},
    },
    "pairs": "batch",
    "loss": "softmax",
}
WHOLE = {"layers": {**BLOCKS["layers"], "output": {"tau": 10.0, "reach": 0}}}
KINDS: dict[str, dict[str, Any]] = {
    "the paper's": PAPER,
    "at full size": {"input_size": 105, "layers": {"fc": {"width": 20}}},
    "averaged over turns": {**PAPER, "quarter_turns": True, "test_time_averaging": "turns"},
    "aligned blocks": BLOCKS,
    "aligned, averaged": {
        **BLOCKS, "quarter_turns": True, "mirror_images": True,
        "test_time_averaging": "turns_and_mirrors",
    },
    "whole maps": {**BLOCKS, **WHOLE},
}  # fmt: skip


def random_model(values: dict[str, Any], *, paper: bool = True) -> Model:
    """Return a model of random weights."""
    config = TrialConfig.from_values(values)
    rng = torch.Generator().manual_seed(3)
    output = config.layers.output
    empty = SiameseNetwork(config.shape(), output_bias=bool(output.bias), reach=output.reach or 0)
    weights = {n: torch.randn(t.shape, generator=rng) * 0.3 for n, t in empty.state_dict().items()}
    weights |= {n: t.abs() + 0.5 for n, t in weights.items() if n.endswith("running_var")}
    weights |= {n: torch.zeros_like(t) for n, t in weights.items() if n.endswith("norm.bias")}
    weights |= {n: torch.tensor(10.0) for n in weights if n == "output.tau"}
    network = trained_network(config, weights, convolution=config.convolution)
    data = {"kind": "folder", "fingerprint": "f" * 64, "paper": paper}
    return Model(network, config, {"dataset": data}, Calibration(1.5, -0.5))


def run(path: Path, pictures: NDArray[np.uint8], known: int) -> dict[str, NDArray[np.float32]]:
    """Return what the file computes, the first pictures being the known ones."""
    session = onnxruntime.InferenceSession(path)
    nothing = np.zeros((0, *session.get_inputs()[1].shape[1:]), np.float32)
    (codes,) = session.run(["codes"], {"pictures": pictures[:known], "support": nothing})
    names = ["codes", "log_odds", "scores"]
    return dict(
        zip(names, session.run(names, {"pictures": pictures, "support": codes}), strict=True)
    )


def same(model: Model, path: Path, pictures: NDArray[np.uint8], known: int = 10) -> None:
    """Assert that a file computes what torch does, and what `recognise` prints."""
    found = run(path, pictures, known)
    with torch.inference_mode():
        small = torch.from_numpy(area_average(pictures, model.config.input_size))
        codes = encode(model.network, small)
        logits = model.network.score_matrix(codes, codes[:known]).numpy()
    log_odds = model.calibration.logits(logits)
    assert np.ptp(log_odds) > 0.05
    np.testing.assert_allclose(found["codes"], codes.numpy(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        found["log_odds"], log_odds, rtol=0, atol=1e-5 * max(1, np.abs(log_odds).max())
    )
    names = tuple(f"{number:03}" for number in range(known))
    support = Support(names, pictures[:known], np.arange(known))
    size = model.config.input_size
    printed = rank(model.network, size, pictures, support, model.calibration).scores
    np.testing.assert_allclose(found["scores"], printed, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def own_pictures(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.uint8]:
    """Return 100 of a user's drawings, converted."""
    folder = tmp_path_factory.mktemp("drawings")
    files = [folder / f"{number}.png" for number in range(100)]
    for number, file in enumerate(files):
        draw(number % 20, number // 20).save(file)
    return np.stack([convert(file) for file in files])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the shipped model as a file."""
    path = tmp_path_factory.mktemp("onnx") / "shipped.onnx"
    onnx_file.write_onnx(load_model(SHIPPED), path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_computes_the_same(
    kind: str, own_pictures: NDArray[np.uint8], tmp_path: Path
) -> None:
    model = random_model(KINDS[kind])
    path = tmp_path / "m.onnx"
    done = onnx_file.write_onnx(model, path)
    assert done.bytes == path.stat().st_size
    assert max(done.codes, done.scores) < 1e-5
    same(model, path, own_pictures)


@pytest.mark.slow
def test_the_shipped_model_computes_the_same_of_own_images(
    exported: Path, own_pictures: NDArray[np.uint8]
) -> None:
    same(load_model(SHIPPED), exported, own_pictures)


@pytest.mark.slow
def test_the_shipped_model_computes_the_same_of_omniglot(
    exported: Path, omniglot_path: Path
) -> None:
    from hpsearch.data.resize import from_stored
    from hpsearch.sources.find import find_dataset

    stored = find_dataset("omniglot", omniglot_path).validation(105).images
    pictures = from_stored(np.array(stored[:: len(stored) // 100][:100]))
    assert pictures.shape == (100, 105, 105)
    same(load_model(SHIPPED), exported, pictures)


@pytest.mark.parametrize("size", [15, 35, 52, 104])
def test_pictures_are_reduced_to_the_bit(size: int) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (20, 105, 105), np.uint8)
    pictures[0], pictures[1] = 255, np.eye(105, dtype=np.uint8)
    model = random_model({"input_size": size, "layers": {"fc": {"width": 4}}})
    reduced = onnx_file.Deployed(model)._reduced(torch.from_numpy(pictures))
    np.testing.assert_array_equal(reduced.numpy(), area_average(pictures, size))


def test_plain_views_are_the_views() -> None:
    images = torch.arange(2 * 5 * 5).view(2, 5, 5)
    for view in views(quarter_turns=True, mirror_images=True):
        assert torch.equal(onnx_file.PlainView(*view).of(images), view.of(images))


def test_the_file_says_what_goes_in(tmp_path: Path) -> None:
    paper, plain = tmp_path / "paper.onnx", tmp_path / "plain.onnx"
    onnx_file.write_onnx(random_model(KINDS["averaged over turns"]), paper)
    onnx_file.write_onnx(random_model(KINDS["at full size"], paper=False), plain)
    proto = onnx.load(paper)
    onnx.checker.check_model(proto, full_check=True)
    said = {one.key: one.value for one in proto.metadata_props}
    assert [(one.domain, one.version) for one in proto.opset_import] == [("", int(said["opset"]))]
    assert said["input"].startswith("pictures: uint8 [N, 105, 105], ink 255")
    assert "median of the border" in said["preprocessing"]
    assert (said["averaged_over"], said["input_size"]) == ("turns", "35")
    assert json.loads(said["calibration"]) == {"slope": 1.5, "bias": -0.5}
    shapes = {
        one.name: [d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim]
        for one in (*proto.graph.input, *proto.graph.output)
    }
    assert shapes == {
        "pictures": ["N", 105, 105],
        "support": ["M", 4, 48],
        "codes": ["N", 4, 48],
        "log_odds": ["N", "M"],
        "scores": ["N", "M"],
    }
    told = {one.key: one.value for one in onnx.load(plain).metadata_props}
    assert "grey, 0 black" in told["input"]
    assert "strongest ink" not in told["preprocessing"]


def test_a_file_that_computes_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file.PlainView, "of", lambda self, images: images)
    with pytest.raises(EnvironmentFailure, match="not written; ONNX Runtime's codes differ"):
        onnx_file.write_onnx(random_model(KINDS["averaged over turns"]), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_with_another_operator_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file.PlainView, "of", lambda view, images: View.of(view, images))
    with pytest.raises(InputError, match=r"lacks an operator of this network .*aten::rot90"):
        onnx_file.write_onnx(random_model(KINDS["averaged over turns"]), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_the_file_and_replaces_only_its_own(
    hpsearch: CommandLine, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "m.onnx"
    for _ in range(2):
        done = hpsearch("export-model", model, "--onnx", path)
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith(f"{path}: ")
        assert "on 100 pictures ONNX Runtime differs from torch by at most" in done.out
    before = (tmp_path / "other.onnx", b"somebody's")
    before[0].write_bytes(before[1])
    done = hpsearch("export-model", model, "--onnx", before[0])
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "was not written by export-model" in done.err
    assert before[0].read_bytes() == before[1]


@pytest.mark.parametrize(
    ("folder", "file", "code", "named"),
    [
        ("nowhere", "m.onnx", 2, "nowhere: no such model folder"),
        ("m", "m.pt", 2, "m.pt: name a file that ends in .onnx"),
        ("m", "folder.onnx", 2, "is a folder, a link or a device"),
        ("m", "/proc/nowhere/m.onnx", 3, "cannot be written"),
        ("diverged", "m.onnx", 2, "the weights are not finite"),
        ("huge", "m.onnx", 2, "an ONNX file holds at most"),
    ],
)
def test_wrong_input_is_one_line(
    hpsearch: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    file: str,
    code: int,
    named: str,
) -> None:
    write_model(tmp_path / "m")
    write_model(tmp_path / "diverged", **{"output.bias": torch.tensor([torch.nan])})
    (tmp_path / "folder.onnx").mkdir()
    if folder == "huge":
        monkeypatch.setattr(onnx_file, "LARGEST_BYTES", 1000)
        folder = "m"
    done = hpsearch("export-model", tmp_path / folder, "--onnx", tmp_path / file)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert named in done.err
    assert not (tmp_path / "m.onnx").exists()


def test_without_the_extra_it_says_how_to_get_it(
    hpsearch: CommandLine, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = hpsearch("export-model", model, "--onnx", tmp_path / "m.onnx")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "make install-backbones, or pip install 'onnx>=" in done.err
    assert list(tmp_path.iterdir()) == []
