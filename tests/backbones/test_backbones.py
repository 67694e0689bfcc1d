"""Real weights: maps, features, the cache, and the network that compares them."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("efficientnet_lite_pytorch", reason="make install-backbones adds it")

from hpsearch.app.search import check_backbone, prepare
from hpsearch.backbones import cached, models
from hpsearch.backbones.network import BackboneNetwork, averages, channels_of
from hpsearch.backbones.settings import LITE_CHANNELS, Backbone
from hpsearch.data.dataset import Dataset
from hpsearch.errors import InputError
from hpsearch.recognition.model import load_model
from hpsearch.recognition.recogniser import Recogniser
from hpsearch.sources.find import find_dataset
from hpsearch.study.plan import plan_study
from hpsearch.training.build import empty_network, trained_network
from hpsearch.training.config import TrialConfig
from hpsearch.training.evaluation import encode
from hpsearch.training.loop import train
from hpsearch.training.trainingdata import TrainingData
from tests.backbones.test_settings import trial
from tests.support.command_line import CommandLine

LITE = Backbone(name="efficientnet-lite0", size=32)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 16 classes with 4 pictures each: discs in the class's colour."""
    folder = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(0)
    for number in range(16):
        colour = draw.integers(40, 255, 3)
        (folder / f"c{number:02}").mkdir()
        for picture in range(4):
            across = np.hypot(*np.mgrid[-20:20, -20:20]) < 10 + 3 * (number % 3)
            shown = np.zeros((40, 40, 4), np.uint8)
            shown[across, :3] = np.clip(colour + draw.integers(-25, 25, 3), 0, 255)
            shown[across, 3] = 255
            Image.fromarray(shown).save(folder / f"c{number:02}" / f"{picture}.png")
    return folder


@pytest.fixture
def dataset(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    return find_dataset("folder", pictures, pictures="rgb")


def config(**changes: Any) -> TrialConfig:
    held = TrialConfig.from_values(trial(images_per_epoch=64, max_epochs=2, patience=2))
    return held.with_parameters({"backbone.size": 32, "projection.width": 16, **changes})


def test_the_maps_of_the_weights_that_a_package_ships() -> None:
    state = torch.random.get_rng_state()
    backbone = models.load_backbone(LITE)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert channels_of(backbone) == LITE_CHANNELS
    assert not backbone.train().training
    assert len(models.weights_checksum(LITE)) == 64


@pytest.mark.parametrize("side", [24, 32, 80])
def test_averages_are_those_of_the_maps(side: int) -> None:
    backbone = cached.shared_backbone(LITE)
    shown = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    found = averages(backbone, shown, 32)
    if side == 32:
        first = backbone(shown)[0]
        torch.testing.assert_close(found[:, :1280], first.mean((2, 3)))
    assert found.shape == (2, sum(LITE_CHANNELS) * 14)
    assert float(found.std(0).mean()) > 0


def test_features_are_computed_once(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = np.array(cached.features_of(dataset, "background", LITE))
    with monkeypatch.context() as patch:
        patch.setattr(cached, "compute", lambda *_: pytest.fail("computed again"))
        again = cached.features_of(dataset, "background", LITE)
        np.testing.assert_array_equal(again, first)
        other = LITE.model_copy(update={"maps": "1", "grid": 1, "match": "near"})
        cached.features_of(dataset, "background", other)  # the head takes what it compares
        with pytest.raises(pytest.fail.Exception):
            cached.features_of(dataset, "background", LITE.model_copy(update={"size": 64}))
    (kept,) = dataset.folder.glob("features-background-32-*.npy")
    kept.write_bytes(kept.read_bytes()[:-2] + b"??")
    np.testing.assert_array_equal(cached.features_of(dataset, "background", LITE), first)


@pytest.mark.parametrize("match", ["whole", "places", "near"])
def test_pictures_and_their_features_give_the_same_codes(dataset: Dataset, match: str) -> None:
    chosen = config(**{"backbone.match": match, "backbone.grid": 2, "backbone.tuned": False})
    data = TrainingData.from_dataset(dataset, chosen, study_seed=0, objective="dense")
    *_, last = train(chosen, data, 0)
    weights = last.checkpoint().weights()
    of_features = empty_network(chosen).eval()
    of_features.load_state_dict(weights)
    whole = trained_network(chosen, weights)
    assert isinstance(whole, BackboneNetwork)
    shown = torch.from_numpy(np.array(dataset.background(224).images))
    torch.testing.assert_close(
        encode(whole, shown), encode(of_features, data.images), rtol=1e-3, atol=5e-4
    )
    stored = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    again = trained_network(chosen, stored)  # needs no file of the backbone
    torch.testing.assert_close(encode(again, shown[:4]), encode(whole, shown[:4]))


def test_who_waits_for_features_says_so(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, False, True])
    monkeypatch.setattr(cached, "_locked", lambda _: next(answers))
    monkeypatch.setattr(cached, "POLL_S", 0.0)
    marks: list[int] = []
    cached.features_of(dataset, "validation", LITE, progress=marks.append)
    assert marks[:2] == [0, 0]
    assert marks[-1] == len(dataset.labels("validation").character)


@pytest.mark.parametrize("match", ["whole", "near"])
def test_the_last_stage_is_trained_and_kept(dataset: Dataset, match: str) -> None:
    whole = config(**{"backbone.match": match, "backbone.tuned": False})
    tuned = whole.with_parameters({"backbone.tuned": True})
    frozen, data = (
        TrainingData.from_dataset(dataset, c, study_seed=0, objective="dense")
        for c in (whole, tuned)
    )
    start = empty_network(tuned).eval()
    assert isinstance(start, BackboneNetwork)
    assert start.tail is not None
    found = start.features(data.validation.float())
    torch.testing.assert_close(found, frozen.validation.float(), rtol=0.02, atol=0.02)

    state = torch.random.get_rng_state()
    one, other = (list(train(tuned, data, 3)) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    weights = one[-1].checkpoint().best_weights()
    again = other[-1].checkpoint().best_weights()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    stage = [name for name in weights if name.startswith("projection.tail.")]
    before = start.state_dict()
    assert any(not torch.equal(weights[n], before[n]) for n in stage if "weight" in n)
    assert all(torch.equal(weights[n], before[n]) for n in stage if "running" in n)

    best = empty_network(tuned).eval()
    best.load_state_dict(weights)
    shown = torch.from_numpy(np.array(dataset.validation(224).images)).float() / 255
    model = trained_network(tuned, weights)
    torch.testing.assert_close(
        model.encode(shown[:8]), encode(best, data.validation[:8]), rtol=0.05, atol=0.02
    )
    kept = trained_network(tuned, dict(model.state_dict()))  # as a model's folder holds it
    assert torch.equal(kept.encode(shown[:8]), model.encode(shown[:8]))
    plain = cached.shared_backbone(LITE)  # what other trials use has not changed
    assert torch.equal(plain(shown[:1])[0], models.load_backbone(LITE)(shown[:1])[0])


def test_training_is_the_same_for_the_same_seed(dataset: Dataset) -> None:
    chosen = config()
    data = TrainingData.from_dataset(dataset, chosen, study_seed=0, objective="dense")
    one, two = ([epoch.result.loss for epoch in train(chosen, data, 3)] for _ in range(2))
    assert one == two
    assert len(one) == 2


@pytest.mark.skipif(find_spec("timm") is None, reason="make install-backbones adds it")
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_model_of_timm_takes_its_weights_from_a_file(tmp_path: Path, suffix: str) -> None:
    empty = models.empty_backbone(Backbone(name="resnet10t"))
    path = tmp_path / f"weights.{suffix}"
    weights = {n: t.contiguous() for n, t in empty.model.state_dict().items()}
    weights["fc.weight"] = torch.zeros(3, 512)  # its classes are not used
    if suffix == "pth":
        torch.save({"state_dict": weights}, path)
    else:
        from safetensors.torch import save_file

        save_file(weights, path)
    loaded = models.load_backbone(Backbone(name="resnet10t", file=str(path)))
    shown = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(loaded(shown), empty(shown))
    assert channels_of(loaded) == (512, 256, 128, 64)
    with pytest.raises(InputError, match="does not hold the weights of resnet14t"):
        models.load_backbone(Backbone(name="resnet14t", file=str(path)))


@pytest.mark.skipif(find_spec("timm") is None, reason="make install-backbones adds it")
def test_a_transformer_takes_pictures_of_every_size() -> None:
    settings = Backbone(name="vit_tiny_patch16_224")
    models.check_sizes(settings, [96, 192])
    empty = models.empty_backbone(settings)
    assert [one.shape for one in empty(torch.zeros(1, 3, 96, 96))] == [(1, 192, 6, 6)] * 4


@pytest.mark.skipif(find_spec("timm") is None, reason="make install-backbones adds it")
@pytest.mark.parametrize(
    ("name", "size", "fix"),
    [
        ("mixer_s32_224", 96, "set trial.backbone.size and freeze.backbone.size to 224, or name"),
        ("maxvit_rmlp_pico_rw_256", 224, "; name another one"),
    ],
)
def test_a_model_of_one_size_is_refused_before_a_search(
    tmp_path: Path, name: str, size: int, fix: str
) -> None:
    plan = plan_study("photographs", tmp_path / "r", {"trial.backbone.name": name})
    with pytest.raises(InputError, match=f"takes no pictures of {size} x {size} px") as error:
        prepare(plan, None, fetch=False)
    assert fix in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(find_spec("timm") is None, reason="make install-backbones adds it")
def test_a_model_of_one_size_is_searched_at_that_size(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"trial.backbone.name": "mixer_s32_224"}
    changes |= {"trial.backbone.size": 224, "freeze": {"backbone.size": 224}}
    check_backbone(plan_study("photographs", tmp_path / "r", changes))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "efficientnet-lite9"}, "write efficientnet-lite0 to efficientnet-lite4"),
        ({"name": "efficientnet-lite0", "file": "missing.pth"}, "no such file"),
        ({"name": "efficientnet-lite1"}, "backbone.file: missing"),
    ],
)
def test_missing_weights_are_named(settings: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        models.load_backbone(Backbone(**settings))  # type: ignore[arg-type]


@pytest.mark.slow
def test_search_to_recognition(
    pictures: Path, tmp_path: Path, hpsearch: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    study, small = tmp_path / "study", ("--set", "trial.backbone.size=32")
    fixed = [f"freeze.{name}={value}" for name, value in
             (("backbone.size", 32), ("projection.width", 16))]  # fmt: skip
    frozen = [part for one in fixed for part in ("--set", one)]
    short = ("--set", "trial.images_per_epoch=64", "--set", "trial.max_epochs=2")
    named = ("--data", pictures, "--backbone", "efficientnet-lite0", "--output", study)
    done = hpsearch("search", *named, *small, *frozen, *short, "--trials", "4", "--workers", "1")
    assert "colour pictures of 40 px" in done.out
    assert "the shipped model, without a backbone" in done.out
    assert "efficientnet-lite0 as it is" in done.out
    assert "the backbone, whitened and not trained (trial 0)" in done.out
    sure = hpsearch("confirm", study, "--top", "2", "--seeds", "2", "--workers", "1")
    assert "over trial 0, its start as it is" in sure.out
    hpsearch("export", study)
    hpsearch("retrain", study / "best.yaml", "--data", pictures, "--output", study / "model")
    scored = hpsearch("evaluate", study / "model", "--data", pictures, "--json")
    figures = json.loads(scored.out)
    assert figures["part"] == "sealed"
    assert figures["accuracy"] > 1 / figures["ways"]
    model = load_model(study / "model")
    assert model.colour_px == 40
    recogniser = Recogniser(model)
    for label in ("c00", "c05"):
        recogniser.add(label, pictures / label / "0.png")
    assert recogniser.rank(pictures / "c05" / "0.png")[0].name == "c05"
    assert recogniser.embed(pictures / "c00" / "1.png").shape[0] == 1
    asked = pictures / "c03" / "2.png"
    table = hpsearch("recognise", study / "model", asked, "--support", pictures)
    assert "c03" in table.out
    assert hpsearch("report", study).code == 0
