"""The page of the three arms, from studies made by hand."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from scipy.stats import binomtest

from benchmarks import arms
from hpsearch.configfile import read_yaml
from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder
from hpsearch.shipped_files import find_shipped
from hpsearch.storage.view import StudyView
from hpsearch.study.config import StudyConfig
from hpsearch.trial import TrialRecord


def view(errors: list[float], states: list[str]) -> StudyView:
    path = find_shipped("studies", arms.STUDY)
    trials = [
        TrialRecord(n, state, {}, {1: 0.9, 2: error}, error)  # type: ignore[arg-type]
        for n, (error, state) in enumerate(zip(errors, states, strict=True))
    ]
    return StudyView(
        StudyFolder(Path()), "s", StudyConfig.from_values(read_yaml(path), path),
        {"n_tasks": 320}, trials, {n: {"multiply_adds": 100} for n in range(len(trials))}, 3600.0,
    )  # fmt: skip


@pytest.fixture
def made() -> StudyView:
    states = ["complete", "pruned", "complete", "complete", "failed"]
    return view([0.5, 0.1, 0.6, 0.4, 0.9], states)


def test_a_curve_falls_where_a_complete_trial_is_better(made: StudyView) -> None:
    found = [(s.compute, s.error) for s in arms.steps(arms.Arm.from_view(made, 2))]
    assert found == [(100, 0.5), (400, 0.4), (500, 0.4)]
    assert arms.steps(arms.Arm.from_view(view([], []), 2)) == []


def test_the_table_has_a_row_an_arm_with_its_interval(made: StudyView) -> None:
    empty = arms.Arm.from_view(view([], []), 2)
    text = arms.page({"default": arms.Arm.from_view(made, 2), "without pruning": empty})
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({row.count("|") for row in rows}) == 1
    assert "| default | 1.00 | 5 | 3 | 1 | 0 | 1 | 10 |" in text
    interval = binomtest(128, 320).proportion_ci(method="wilson")
    assert f"0.400 [{interval.low:.3f}, {interval.high:.3f}] on 320 tasks" in text
    assert "unknown" in rows[2]


def test_the_figure_has_a_line_an_arm_and_a_dot_a_trial(made: StudyView) -> None:
    found = {
        name: arms.Arm.from_view(v, 2) for name, v in {"full": made, "empty": view([], [])}.items()
    }
    root = ElementTree.fromstring(arms.curves(found))
    space = "{http://www.w3.org/2000/svg}"
    assert len([e for e in root.iter(f"{space}path") if e.get("stroke-width")]) == 1
    dots = list(root.iter(f"{space}circle"))
    assert len(dots) == 5
    assert sum(dot.get("fill") == "white" for dot in dots) == 2
    assert all(
        0 <= float(dot.get(axis) or -1) <= arms.WIDTH for dot in dots for axis in ("cx", "cy")
    )
    assert {"full", "empty"} <= {e.text for e in root.iter(f"{space}text")}


def test_no_arm_begun_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = ["--output", str(tmp_path / "none"), "--docs", str(tmp_path / "docs")]
    assert arms.main(["--table", *nowhere]) == 2
    assert "no arm has begun" in capsys.readouterr().err


def test_arms_of_other_days_stay_on_the_page(
    made: StudyView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(only: str) -> Callable[[StudyFolder], StudyView]:
        def read(folder: StudyFolder) -> StudyView:
            if folder.root != arms.folder_of(tmp_path, only):
                raise InputError("no study")
            return made

        return read

    (tmp_path / "docs" / "results").mkdir(parents=True)
    (tmp_path / "docs" / "images").mkdir()
    (tmp_path / "docs" / "internals").mkdir()
    given = argparse.Namespace(output=tmp_path, docs=tmp_path / "docs", workers=2)
    for name in ("random, without pruning", "default"):
        monkeypatch.setattr(arms, "read_study", begun(name))
        assert arms.write(given)
    assert list(arms.recorded(given.docs)) == ["default", "random, without pruning"]
    assert arms.recorded(given.docs)["default"] == arms.Arm.from_view(made, 2)
    text = (given.docs / "internals" / "arms.md").read_text()
    assert "| default |" in text
    assert "| random, without pruning |" in text
