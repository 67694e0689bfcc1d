"""`hpsearch space`: the feasible share, and why a configuration is impossible."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hpsearch.cli.space import app
from hpsearch.configfile import dump_yaml
from hpsearch.errors import InputError
from hpsearch.search.explain import describe_space, explain_config
from hpsearch.search.space import SearchSpace
from tests.search.problems import shipped_problem, shipped_study, space_of


def test_show_prints_the_papers_feasible_share() -> None:
    result = CliRunner().invoke(app, ["show", "koch2015"])
    assert result.exit_code == 0
    assert "feasible share: 11.7 % (12308 of 104976" in result.output
    assert "conv4.filter_size     int          3 to 20\n" in result.output
    assert "smallest cost: 8.21e+06 multiply-adds" in result.output
    assert "largest cost: 2.72e+10 multiply-adds" in result.output


def test_a_space_without_a_network_says_that_its_share_is_unknown() -> None:
    text = describe_space(space_of({"fc.l2": {"type": "float", "low": 0, "high": 1}}))
    assert "feasible share: unknown" in text


def test_explain_gives_the_reason_and_the_nearest_possible(tmp_path: Path) -> None:
    values = shipped_study("koch2015").trial.plain()
    for layer in ("conv1", "conv2", "conv3"):
        values["layers"][layer]["filter_size"] = 20
    path = tmp_path / "config.yaml"
    path.write_text(dump_yaml(values))
    result = CliRunner().invoke(app, ["explain", "koch2015", str(path)])
    assert result.exit_code == 0
    assert (
        "impossible: the filters do not fit 105 px: 105 > 86 > 43 > 24 > 12 > -7" in result.output
    )
    assert "nearest possible:" in result.output
    assert "(instead of 20)" in result.output


def test_explain_says_when_all_is_well(tmp_path: Path) -> None:
    study = {"trial": shipped_study("koch2015").trial.plain()}
    space = SearchSpace.from_yaml("koch2015")
    assert "possible: " in explain_config(space, study, tmp_path / "study.yaml")
    params = shipped_problem("koch2015").cube.params([0.5] * 27)
    assert explain_config(space, params, tmp_path).startswith("possible: ")


def test_explain_refuses_what_is_no_configuration(tmp_path: Path) -> None:
    space = SearchSpace.from_yaml("koch2015")
    with pytest.raises(InputError, match=r"conv1\.filter_size: missing"):
        explain_config(space, {"a": 1}, tmp_path)
    values = shipped_study("koch2015").trial.plain()
    values["layers"]["conv1"]["filter_size"] = "big"
    with pytest.raises(InputError, match="no number"):
        explain_config(space, values, tmp_path)
