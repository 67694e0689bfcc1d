"""Folders and checkpoints from before a setting was there open, and go on as they were."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.errors import InputError
from hpsearch.shipped_files import find_shipped
from hpsearch.study.config import StudyConfig
from hpsearch.study.plan import plan_study, save_plan
from hpsearch.training.checkpoint import Checkpoint

ASSETS = Path(__file__).parents[1] / "assets"


def older_folder(name: str, folder: Path) -> Path:
    """Save a shipped study's folder as it was without the setting."""
    save_plan(plan_study(name, folder, {}), {"kind": "glyphs"})
    values = read_yaml(folder / "study.yaml")
    del values["trial"]["convolution"]
    (folder / "study.yaml").write_text(dump_yaml(values))
    (folder / "begun.json").unlink()
    return folder


@pytest.mark.parametrize("name", ["quickstart", "koch2015"])
def test_a_folder_opened_by_itself_goes_on_direct(name: str, tmp_path: Path) -> None:
    folder = older_folder(name, tmp_path / "study")
    assert plan_study(str(folder), None, {}).config.trial.convolution == "direct"


@pytest.mark.parametrize(("name", "way"), [("quickstart", "auto"), ("koch2015", "direct")])
def test_a_folder_continued_by_name_takes_what_the_study_says(
    name: str, way: str, tmp_path: Path
) -> None:
    folder = older_folder(name, tmp_path / "study")
    assert plan_study(name, folder, {}).config.trial.convolution == way


def test_another_setting_is_still_refused(tmp_path: Path) -> None:
    folder = older_folder("quickstart", tmp_path / "study")
    with pytest.raises(InputError, match=r"trial\.init"):
        plan_study("quickstart", folder, {"trial.init": "koch"})


@pytest.mark.parametrize("name", ["koch2015", "koch2015_35px"])
def test_the_papers_studies_convolve_as_published(name: str) -> None:
    values = read_yaml(find_shipped("studies", name))
    assert StudyConfig.from_values(values, name).trial.convolution == "direct"


def test_a_checkpoint_without_the_setting_belongs_to_its_configuration() -> None:
    values = read_yaml(find_shipped("studies", "koch2015_35px"))
    config = StudyConfig.from_values(values, "study").trial
    older = {k: v for k, v in config.plain().items() if k != "convolution"}
    assert Checkpoint({}, {"config": older}).belongs_to(config)
    assert not Checkpoint({}, {"config": older}).belongs_to(
        config.with_parameters({"drawers": 11})
    )
    other = {**older, "convolution": "auto"}
    assert not Checkpoint({}, {"config": other}).belongs_to(config)


def test_a_study_begun_under_another_default_goes_on_under_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    save_plan(plan_study("quickstart", folder, {}), {"kind": "glyphs"})
    values = read_yaml(folder / "study.yaml")
    values["sampler"]["start"], values["pruner"]["audit_share"] = "sobol", 0.2
    (folder / "study.yaml").write_text(dump_yaml(values))
    (folder / "begun.json").unlink()
    again = plan_study("quickstart", folder, {}).config
    assert (again.sampler.start, again.pruner.audit_share) == ("sobol", 0.2)
    with pytest.raises(InputError, match=r"sampler\.start: the study was begun with sobol"):
        plan_study("quickstart", folder, {"sampler.start": "recentred"})
    with pytest.raises(InputError, match=r"sampler\.name"):
        plan_study("quickstart", folder, {"sampler.name": "gp"})


OF_0_1_0 = {
    "sampler.name": "tpe", "sampler.startup_trials": 8, "pruner.name": "asha",
    "pruner.reduction_factor": 2,
}  # fmt: skip
"""What shipped studies said of their search in version 0.1.0."""


@pytest.mark.parametrize("study", ["quickstart", "koch2015_52px"])
@pytest.mark.parametrize("by_name", [True, False])
def test_a_study_of_0_1_0_goes_on_with_tpe_and_asha(
    study: str, by_name: bool, tmp_path: Path
) -> None:
    """By the shipped study's name, which searches otherwise now, and by its folder."""
    folder = tmp_path / "study"
    begun = plan_study(study, folder, OF_0_1_0)
    save_plan(begun, {"kind": "glyphs"})
    name, output = (study, folder) if by_name else (str(folder), None)
    again = plan_study(name, output, {}).config
    assert (again.sampler, again.pruner) == (begun.config.sampler, begun.config.pruner)
    assert (again.sampler.name, again.sampler.startup_trials) == ("tpe", 8)
    assert (again.pruner.name, again.pruner.reduction_factor) == ("asha", 2)


def test_the_folder_that_0_1_0_wrote_goes_on_as_it_says(tmp_path: Path) -> None:
    shutil.copytree(ASSETS / "images-0.1.0" / "study", tmp_path / "study")
    said = read_yaml(tmp_path / "study" / "study.yaml")
    config = plan_study(str(tmp_path / "study"), None, {}).config
    assert config.sampler.name == said["sampler"]["name"] == "tpe"
    for part in ("sampler", "pruner"):
        assert {**config.plain()[part], **said[part]} == config.plain()[part]


@pytest.mark.parametrize(
    ("said", "sampler", "pruner"),
    [
        ({}, "bayes", "expected"),
        ({"sampler": {"start": "sobol"}}, "bayes", "expected"),
        ({"sampler": {"name": "tpe"}}, "tpe", "asha"),
        ({"sampler": {"name": "random"}, "pruner": {"min_resource": 2}}, "random", "asha"),
        ({"sampler": {"name": "tpe"}, "pruner": {"name": "expected"}}, "tpe", "expected"),
        ({"pruner": {"name": "asha"}}, "bayes", "asha"),
    ],
)
def test_a_study_gets_the_pruner_of_its_sampler(
    said: dict[str, Any], sampler: str, pruner: str
) -> None:
    values = {**read_yaml(find_shipped("studies", "quickstart")), "pruner": {}, **said}
    config = StudyConfig.from_values(values, "study")
    assert (config.sampler.name, config.pruner.name) == (sampler, pruner)
    assert config.pruner.min_resource == values["pruner"].get("min_resource", 1)
    assert StudyConfig.from_values(config.plain(), "saved").plain() == config.plain()


def test_a_pruner_that_followed_from_the_sampler_may_be_left_out_again(tmp_path: Path) -> None:
    """A study begun with another pruner keeps it where none is named."""
    folder = tmp_path / "study"
    begun = {"sampler.name": "tpe", "pruner.name": "median"}
    save_plan(plan_study("koch2015_52px", folder, begun), {"kind": "glyphs"})
    again = plan_study("koch2015_52px", folder, {"sampler.name": "tpe"}).config
    assert again.pruner.name == "median"
