"""A trial of a function: how it is found, what it is given, and what its answer becomes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch import trainer
from hpsearch.app import run_function
from hpsearch.app.run_function import arguments, load, run


@pytest.fixture
def trial(tmp_path: Path) -> trainer.Trial:
    made = trainer.Trial({"lr": 0.1, "layers": 2}, seed=7, max_steps=3, number=4)
    made._report = tmp_path / "report"
    return made


def reported(trial: trainer.Trial) -> list[dict[str, Any]]:
    assert trial._report is not None
    text = trial._report.read_text() if trial._report.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what loading a function changes in this process."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def returns(lr: float, layers: int) -> float:
    return lr * layers


def yields(lr: float) -> Iterator[float]:
    yield lr
    yield np.float32(0.5)  # type: ignore[misc]


def yields_more(params: dict[str, float]) -> Iterator[Any]:
    yield 2, params["lr"]
    yield 5, 0.25, {"loss": 1.0}
    return 0.125


def reports(trial: trainer.Trial) -> None:
    trial.report(1, trial.parameters["lr"])


@pytest.mark.parametrize(
    ("function", "lines"),
    [
        (returns, [{"result": 0.2}]),
        (lambda **params: len(params), [{"result": 2.0}]),
        (lambda lr: (lr, {"ms": 3}), [{"result": 0.1, "metrics": {"ms": 3}}]),
        (lambda seed, trial, lr=0, **other: seed + trial.number + len(other), [{"result": 12.0}]),
        (yields, [{"step": 1, "value": 0.1}, {"step": 2, "value": 0.5}]),
        (
            yields_more,
            [
                {"step": 2, "value": 0.1},
                {"step": 5, "value": 0.25, "metrics": {"loss": 1.0}},
                {"result": 0.125},
            ],
        ),
        (reports, [{"step": 1, "value": 0.1}]),
        (lambda: None, []),
    ],
)
def test_what_a_function_says_is_reported(
    trial: trainer.Trial, function: Callable[..., Any], lines: list[dict[str, Any]]
) -> None:
    run(function, trial)
    assert reported(trial) == lines


def test_a_value_that_is_no_number_is_nan(trial: trainer.Trial) -> None:
    def nothing() -> Iterator[Any]:
        yield None

    run(nothing, trial)
    (line,) = reported(trial)
    assert math.isnan(line["value"])


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda: "good", "returned 'good', which is no number"),
        (lambda: [1, 2], "returned \\[1, 2\\], which is no number"),
        (lambda: iter_of("bad"), "yielded 'bad', which is no number"),
        (lambda: iter_of((1,)), "yielded \\(1,\\); yield VALUE, or STEP, VALUE"),
    ],
)
def test_another_answer_ends_the_trial(
    trial: trainer.Trial, function: Callable[..., Any], why: str
) -> None:
    with pytest.raises(SystemExit, match=why):
        run(function, trial)


def iter_of(*items: Any) -> Iterator[Any]:
    yield from items


def test_a_generator_is_closed_when_the_search_stops_it(
    trial: trainer.Trial, tmp_path: Path
) -> None:
    closed = []

    def endless() -> Iterator[float]:
        try:
            while True:
                yield 0.5
        finally:
            closed.append(True)

    trial._verdict = tmp_path / "verdict"
    trial._verdict.write_text('{"step": 1, "verdict": "stop"}')
    run(endless, trial)
    assert (closed, reported(trial)) == ([True], [{"step": 1, "value": 0.5}])


def test_a_parameter_named_like_an_argument_wins(trial: trainer.Trial) -> None:
    trial.parameters["seed"] = 99
    assert arguments(lambda seed, layers: None, trial) == {"seed": 99, "layers": 2}


@pytest.mark.usefixtures("imports")
def test_a_function_is_found_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("VALUE = 3\n")
    script = tmp_path / "my-script.py"
    script.write_text(
        "import beside, os\nLOADED = os.environ['HPSEARCH_LOADING']\n"
        "def train():\n    return beside.VALUE\n"
        "assert __name__ != '__main__'\n"
    )
    function = load(str(script), "__main__", "train", tmp_path)
    assert function() == 3
    assert run_function.LOADING not in os.environ
    assert sys.path[0] == str(tmp_path)
    with pytest.raises(SystemExit, match=r"gone: no function of this name in .*my-script\.py"):
        load(str(script), "__main__", "gone", tmp_path)


SPAWNS = """\
import multiprocessing
import os


def half(x):
    return x / 2


def train():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(half, (3,))


if __name__ == "__main__":
    raise SystemExit("it searches")
"""


def test_a_function_of_a_script_starts_processes_that_import_it(tmp_path: Path) -> None:
    script = tmp_path / "my_script.py"
    script.write_text(SPAWNS)
    words = ["-P", "-m", "hpsearch.app.run_function", str(script), "__main__", "train"]
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, timeout=30, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"] == 1.5


@pytest.mark.parametrize("use", ["from circling import VALUE", "import circling\ncircling.VALUE"])
@pytest.mark.usefixtures("imports")
def test_a_script_that_its_own_modules_import_is_loaded(tmp_path: Path, use: str) -> None:
    script = "import circled\nVALUE = 3\ndef train():\n    return VALUE\n"
    (tmp_path / "circling.py").write_text(script)
    (tmp_path / "circled.py").write_text(f"{use}\n")
    assert load(str(tmp_path / "circling.py"), "__main__", "train", tmp_path)() == 3
    (tmp_path / "failing.py").write_text("from json import nonesuch\n")
    with pytest.raises(ImportError, match="nonesuch"):
        load(str(tmp_path / "failing.py"), "__main__", "train", tmp_path)


@pytest.mark.parametrize("stem", ["json", "time", "my-script", "__main__"])
@pytest.mark.usefixtures("imports")
def test_a_script_named_as_another_module_hides_none(tmp_path: Path, stem: str) -> None:
    script = tmp_path / f"{stem}.py"
    script.write_text("def train():\n    return 3\n")
    before = sys.modules.get(stem)
    assert load(str(script), "__main__", "train", tmp_path).__module__ == "hpsearch_function"
    assert sys.modules.get(stem) is before


@pytest.mark.usefixtures("imports")
def test_a_function_of_a_package_keeps_its_relative_imports(tmp_path: Path) -> None:
    package = tmp_path / "inner_package"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from .one import VALUE\ndef whole():\n    return VALUE\n"
    )
    (package / "one.py").write_text("VALUE = 5\n")
    (package / "deep" / "__init__.py").touch()
    (package / "deep" / "two.py").write_text(
        "from ..one import VALUE\ndef train():\n    return VALUE\n"
    )
    file = str(package / "deep" / "two.py")
    assert load(file, "inner_package.deep.two", "train", tmp_path)() == 5
    assert sys.path[0] == str(tmp_path)
    assert load(str(package / "__init__.py"), "inner_package", "whole", tmp_path)() == 5
    assert sys.path[0] == str(tmp_path)


@pytest.mark.usefixtures("imports")
def test_a_function_without_a_file_is_loaded_from_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = tmp_path / "beside the notebook"
    beside.mkdir()
    (beside / "given_by_notebook.py").write_text("VALUE = 2\n")
    source = "from given_by_notebook import VALUE\ndef train(x):\n    return VALUE * x\n"
    monkeypatch.setenv(run_function.SOURCE, source)
    monkeypatch.chdir(beside)  # where the program of a trial is started
    assert load("-", "__main__", "train", tmp_path)(4) == 8
