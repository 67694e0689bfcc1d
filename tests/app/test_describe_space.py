"""`hpsearch space`: the feasible share, and why a configuration is impossible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hpsearch.app.describe_space import describe_space, explain_config
from hpsearch.cli.space import app
from hpsearch.configfile import dump_yaml
from hpsearch.errors import InputError
from hpsearch.space.space import SearchSpace
from tests.support.problems import shipped_problem, shipped_study, space_of


def test_show_prints_the_papers_feasible_share() -> None:
    result = CliRunner().invoke(app, ["show", "koch2015"])
    assert result.exit_code == 0
    assert "feasible share: 11.7 % (12308 of 104976" in result.output
    assert "conv4.filter_size     int          3 to 20\n" in result.output
    smallest, largest = result.output.partition("largest network by")[::2]
    for line, part in (
        (
            "multiply-adds per image   8.21e+06  (filters 16 of 3, 16 of 3, 16 of 3, 16 of",
            smallest,
        ),
        ("weights and biases        3.09e+04", smallest),
        ("GB of memory                  0.63", smallest),
        ("multiply-adds per image   2.72e+10  (filters 256 of", largest),
        ("weights and biases        8.72e+07", largest),
        ("GB of memory                  17.5", largest),
    ):
        assert line in part


def test_show_measures_the_share_within_a_studys_limits() -> None:
    result = CliRunner().invoke(app, ["show", "koch2015_35px", "--study", "koch2015_35px"])
    assert result.exit_code == 0
    problem = shipped_problem("koch2015_35px")
    rng = np.random.default_rng(0)
    points = rng.random((4000, len(problem.free))).tolist()
    share = np.mean([problem.over_limits(problem.cube.params(p)) is None for p in points])
    shown = int(result.output.partition("within the limits: ")[2].split("%")[0])
    assert abs(shown / 100 - share) < 0.04
    smallest, largest = result.output.partition("largest network by")[::2]
    assert "over the study's limits" not in smallest
    assert "width 1024), over the study's limits: 3.94e+08 multiply-adds, limit 1e+08\n" in largest


def test_explain_names_a_studys_limit(tmp_path: Path) -> None:
    values = shipped_study("quickstart").trial.plain()
    for layer, count in (("conv1", 64), ("conv2", 96), ("conv3", 96)):
        values["layers"][layer]["filter_count"] = count
    path = tmp_path / "config.yaml"
    path.write_text(dump_yaml(values))
    result = CliRunner().invoke(app, ["explain", "quickstart", str(path)])
    assert result.output.startswith("possible: ")
    result = CliRunner().invoke(app, ["explain", "quickstart", str(path), "--study", "quickstart"])
    assert result.output.startswith("impossible: ")
    assert "multiply-adds, limit 1.2e+07" in result.output
    assert "(instead of 96)" in result.output


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


def test_explain_names_every_reason_and_unknown_parameters(tmp_path: Path) -> None:
    params = shipped_problem("koch2015").cube.params([0.5] * 27)
    params |= {f"conv{n}.filter_size": 20 for n in (1, 2, 3)}
    params |= {"fc.width": 9999, "fc.mass": 3}
    said = explain_config(SearchSpace.from_yaml("koch2015"), params, tmp_path / "c.yaml")
    assert "fc.mass is not a parameter" in said
    assert "fc.width 9999 is outside" in said
    assert "the filters do not fit 105 px" in said
    assert "nearest possible:" in said
