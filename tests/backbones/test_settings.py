"""A backbone's settings, and what a configuration refuses beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.errors import InputError
from hpsearch.shipped_files import find_shipped
from hpsearch.study.config import StudyConfig
from hpsearch.study.plan import plan_study
from hpsearch.training.config import TrialConfig


def trial(**changes: Any) -> dict[str, Any]:
    return {**read_yaml(find_shipped("studies", "photographs"))["trial"], **changes}


def test_the_shipped_study_reads_in_colour() -> None:
    study = StudyConfig.from_yaml(find_shipped("studies", "photographs"))
    assert study.reading == "rgb"
    assert StudyConfig.from_yaml(find_shipped("studies", "own")).reading == "auto"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": {"name": "x", "maps": "2+1"}}, "write numbers 1 to 4 in order"),
        ({"backbone": {"name": "x", "size": 100}}, "multiple of 32"),
        ({"backbone": {"name": "../x"}}, "backbone.name"),
        ({"distortion": {"probability": 0.5}}, "distortion.probability"),
        ({"channels": "grey"}, "channels"),
        ({"start": "shipped"}, "start"),
        ({"test_time_averaging": "turns"}, "test_time_averaging"),
        ({"comparison": "weighted_l1", "layers": {"fc": {"width": 8}}}, "comparison: aligned"),
    ],
)
def test_what_does_not_suit_a_backbone_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        TrialConfig.from_values(trial(**changes))


def test_weights_lie_beside_the_study_file_or_where_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = read_yaml(find_shipped("studies", "photographs"))
    values["trial"]["backbone"]["file"] = "weights.safetensors"
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "study.yaml").write_text(dump_yaml(values))
    monkeypatch.chdir(tmp_path)

    def file(changes: dict[str, Any]) -> str | None:
        config = plan_study("a/study.yaml", None, changes).config.siamese
        return config.backbone.file if config.backbone else None

    assert file({}) == str(tmp_path / "a" / "weights.safetensors")
    assert file({"trial.backbone.file": "own.pt"}) == str(tmp_path / "own.pt")


def test_older_configurations_are_stored_as_before() -> None:
    plain = StudyConfig.from_yaml(find_shipped("studies", "own")).siamese.plain()
    assert not {"backbone", "channels"} & plain.keys()
    assert "backbone" in TrialConfig.from_values(trial()).plain()


def test_of_other_backbones_no_stage_is_trained() -> None:
    config = TrialConfig.from_values(trial())
    assert config.backbone is not None
    assert config.backbone.trained
    assert not config.backbone.model_copy(update={"name": "resnet18"}).trained


def test_what_is_trained_has_a_shape_without_torch() -> None:
    config = TrialConfig.from_values(trial())
    shape = config.shape()
    assert shape.inputs == (320 + 192) * (1 + 9)
    assert shape.multiply_adds == shape.inputs * config.layers.width
    near = config.with_parameters({"backbone.match": "near"}).shape()
    assert (near.inputs, near.places) == (320 + 192, 9)
