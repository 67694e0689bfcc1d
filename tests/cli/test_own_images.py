"""Own images from the first command to the last; what is refused before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import Done, run
from tests.support.drawings import TWO_EACH, UNEVEN, write_drawings

STUDY = """\
name: own
description: A first search on a laptop.
space: space.yaml
trial:
  input_size: 20
  layers:
    conv1: {filter_size: 5, filter_count: 4}
    fc: {width: 16}
    output: {bias: true}
  pairs: batch
  init: he
  images_per_epoch: 192
  max_epochs: 2
sampler: {name: random}
pruner: {name: none}
budget: {trials: 3}
device: cpu
workers: 2
"""
SPACE = """\
name: space
parameters:
  fc.learning_rate: {type: float, low: 0.01, high: 0.1, log: true}
  fc.width: {type: int, low: 8, high: 32, step: 8}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small study file, and a cache of its own."""
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(STUDY)
    (tmp_path / "space.yaml").write_text(SPACE)
    return tmp_path


def _done(*arguments: object) -> Done:
    done = run(*arguments)
    assert done.code == 0, done
    return done


@pytest.mark.slow
def test_ob6_the_whole_way_with_5_to_60_drawings_a_class(here: Path) -> None:
    """20 classes: no failed trial, every image of background and validation used"""
    write_drawings(here / "images", UNEVEN)
    done = _done("search", "own.yaml", "--data", "images", "--output", "study")
    assert "3 complete, 0 pruned, 0 failed" in done.out
    assert "are trained on" not in done.out
    assert "validation shows" not in done.out
    _done("export", "study")
    _done("retrain", "study/best.yaml")
    found = json.loads(_done("evaluate", "study/model", "--json").out)
    assert found["n_tasks"] == 400
    assert "own images" in _done("evaluate", "study/model").out
    query = here / "images/c03/000.png"
    done = _done("recognise", "study/model", "--support", "images", query, "--json")
    assert len(json.loads(done.out)[0]["ranked"]) == 20
    _done("report", "study")
    page = (here / "study/report.html").read_text()
    assert '<p class="lead"><bdi>Own images in images: ' in page
    assert "A first search on a laptop" not in page
    assert "ranked 2nd of 5" in page


REFUSED = {
    "turned": (("--set", "trial.quarter_turns=true"), "trial.quarter_turns: true"),
    "turned, dense": (
        ("--set", "trial.quarter_turns=true", "--set", "objective=dense"),
        "trial.quarter_turns: true",
    ),
    "another start": (("--set", "trial.start=shipped"), "trial.start: shipped"),
    "turned in the space": ((), "space turning.yaml, trial.quarter_turns: true"),
}


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("case", REFUSED)
def test_ob6_what_own_images_do_not_allow_is_refused_first(
    here: Path, case: str, dry: bool
) -> None:
    write_drawings(here / "images", TWO_EACH)
    settings, words = REFUSED[case]
    if case.endswith("space"):
        turning = f"{SPACE}  quarter_turns: {{type: categorical, choices: [false, true]}}\n"
        (here / "turning.yaml").write_text(turning)
        settings = ("--set", "space=turning.yaml")
    flags = ("--dry-run",) if dry else ()
    done = run("search", "own.yaml", "--data", "images", "--output", "r", *settings, *flags)
    assert done.code == 2, done
    assert words in done.err
    assert len(done.err.strip().splitlines()[-1]) > len(words)
    assert not (here / "r").exists()


def test_ob6_retrain_refuses_before_it_makes_a_folder(here: Path) -> None:
    write_drawings(here / "images", TWO_EACH)
    from hpsearch.configfile import dump_yaml, parse_yaml

    trial = parse_yaml(STUDY.encode(), "study")["trial"]
    (here / "config.yaml").write_text(dump_yaml({**trial, "quarter_turns": True}))
    done = run("retrain", "config.yaml", "--data", "images", "--output", "model")
    assert done.code == 2, done
    assert "config.yaml: config.quarter_turns: true" in done.err
    assert not (here / "model").exists()


def test_ob6_a_parameter_that_does_nothing_on_these_images_is_named(here: Path) -> None:
    write_drawings(here / "images", TWO_EACH)
    idle = """\
  batch_characters: {type: int, low: 12, high: 20}
  drawers: {type: int, low: 4, high: 9}
  within_alphabet: {type: float, low: 0, high: 1}
"""
    (here / "space.yaml").write_text(SPACE + idle)
    done = _done("search", "own.yaml", "--data", "images", "--output", "r", "--dry-run")
    for name in ("batch_characters", "drawers", "within_alphabet"):
        assert f"NOTE: {name} is searched and changes nothing" in done.out


def test_a_study_says_how_own_images_are_converted(here: Path) -> None:
    write_drawings(here / "images", TWO_EACH)
    search = ("search", "own.yaml", "--data", "images", "--output", "r", "--dry-run")
    assert "5 ways; drawings on paper" in _done("data", "check", "--data", "images").out
    done = run(*search, "--set", "pictures=grey")
    assert done.code == 2
    assert "pictures" in done.err
    _done(*search, "--set", "pictures=plain")
    packed = [json.loads(path.read_text()) for path in here.glob("cache/packed/*/meta.json")]
    assert sorted(one["paper"] for one in packed) == [False, True]
