"""Every example runs as it stands, as a program of its own, from another folder."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hpsearch
from hpsearch import Study, trainer
from hpsearch.recognition.onnx_file import write_onnx
from tests.support.command_line import run
from tests.support.models import draw, write_model, write_support

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str, *words: str | Path, cwd: Path) -> list[str]:
    """Run an example; return the lines it printed."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *words], cwd=cwd, capture_output=True, text=True,
        timeout=600, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder in which the first example has searched, and what it printed."""
    folder = tmp_path_factory.mktemp("examples") / "a folder #1?"
    folder.mkdir()
    return folder, example("search.py", cwd=folder)


def test_every_example_is_run_here() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    run = r'(?:example\(|EXAMPLES / )"(\w+\.\w+)"'
    assert names == set(re.findall(run, Path(__file__).read_text()))


@pytest.mark.slow
def test_search_prints_the_trials_best_first(searched: tuple[Path, list[str]]) -> None:
    _, lines = searched
    trials = [line for line in lines if re.match(r"trial +\d+ (complete|pruned) ", line)]
    assert len(trials) == 4
    errors = [min(map(float, re.findall(r"0\.\d{3}|1\.000", line))) for line in trials]
    assert errors == sorted(errors)
    assert any(re.fullmatch(r"best trial: \d, confirmed: False", line) for line in lines)
    assert any(re.match(r"  conv1\.learning_rate = ", line) for line in lines)


@pytest.mark.slow
def test_optuna_reads_the_same_study(searched: tuple[Path, list[str]]) -> None:
    folder, printed = searched
    lines = example("read_with_optuna.py", cwd=folder)
    counted = dict(line.split(": ") for line in lines[:5])
    assert int(counted["complete"]) + int(counted["pruned"]) == 4
    (best,) = [line for line in printed if line.startswith("best trial: ")]
    assert lines[5].split(",")[0] == best.split(",")[0]
    assert [line.split(":")[0] for line in lines[6:]] == [f"trial {n}" for n in range(4)]


def test_recognise_ranks_the_classes(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    kinds = {"cross": ("cross", 1), "roof": ("roof", 1), "bar": ("bar", 1)}
    support = write_support(tmp_path / "support", kinds)
    images = [support / name / "0.png" for name in ("roof", "bar")]
    first, second = example("recognise.py", tmp_path / "model", support, *images, cwd=tmp_path)
    assert first.startswith(f"{images[0]}: roof ")
    assert second.startswith(f"{images[1]}: bar ")


def test_an_exported_model_ranks_as_recognise_does(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra hpsearch[onnx] is not installed")
    write_model(tmp_path / "model")
    kinds = {"cross": ("cross", 2), "roof": ("roof", 1), "bar": ("bar", 3)}
    support = write_support(tmp_path / "support", kinds)
    images = [tmp_path / name for name in ("grey.png", "dark.png", "wide.png")]
    draw("roof", 2).point(lambda grey: 40 + grey // 2).save(images[0])
    draw("bar", 1).point(lambda grey: 255 - grey).convert("RGBA").save(images[1])
    draw("cross", 1, (300, 200)).save(images[2])
    onnx_file, model = tmp_path / "m.onnx", hpsearch.load(tmp_path / "model")
    write_onnx(model, onnx_file)
    lines = example("recognise_onnx.py", onnx_file, support, *images, cwd=tmp_path)
    ranked = model.rank(images, support)
    for image, line, candidates in zip(images, lines, ranked, strict=True):
        best = ", ".join(f"{name} {score:.3f}" for name, score in candidates)
        assert line == f"{image}: {best}"


def test_the_notebook_names_the_signs_it_draws() -> None:
    path = EXAMPLES / "recognise.ipynb"
    stored = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert [(cell["outputs"], cell["execution_count"]) for cell in cells] == [([], None)] * 4
    client = pytest.importorskip("nbclient", reason="nbclient comes with the extra dev")
    pytest.importorskip("ipykernel", reason="ipykernel comes with the extra dev")
    nbformat = pytest.importorskip("nbformat", reason="nbformat comes with the extra dev")
    notebook = nbformat.read(path, as_version=4)
    client.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    named, vectors = (
        cell["outputs"][0]["text"] for cell in notebook["cells"] if cell.get("outputs")
    )
    lines = [re.fullmatch(r"(\w+): (\w+) [01]\.\d+, then .*", line) for line in named.splitlines()]
    assert [line and line.group(1) == line.group(2) for line in lines] == [True] * 4
    assert vectors.startswith("(4, ")


@pytest.mark.slow
def test_a_model_of_scikit_learn_is_chosen(tmp_path: Path) -> None:
    lines = example("digits_sklearn.py", "4", cwd=tmp_path)
    found = re.fullmatch(
        r"best of 4: (0\.\d{4}) with \{'model': '(svm|forest)', (.*)\}", lines[-1]
    )
    assert found, lines
    assert float(found[1]) > 0.9
    assert ("gamma" in found[3]) is (found[2] == "svm")
    assert ("depth" in found[3]) is (found[2] == "forest")


@pytest.mark.slow
def test_a_network_of_torch_is_searched(tmp_path: Path) -> None:
    lines = example("digits_cnn.py", "2", cwd=tmp_path)
    ends = [line for line in lines if re.fullmatch(r"trial \d \w+ after \d epochs", line)]
    assert len(ends) == 2
    assert re.match(r"best of 2: error 0\.\d{4} with \{'learning_rate': ", lines[-1])


@pytest.mark.slow
def test_the_network_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    cnn = runpy.run_path(str(EXAMPLES / "digits_cnn.py"))
    trial = trainer.Trial({}, seed=1, checkpoint=tmp_path, max_steps=4)
    begun = cnn["train"](0.01, 4, 0.0, trial)
    curve = [next(begun)[:2] for _ in range(3)]
    begun.close()  # as a kill after the third report: the second epoch's state is saved
    again = [step[:2] for step in cnn["train"](0.01, 4, 0.0, trial)]
    assert [epoch for epoch, _ in again] == [3, 4]
    assert again[0] == curve[2]  # without dropout, exactly


def test_a_shell_program_is_searched(tmp_path: Path) -> None:
    for name in (EXAMPLES / "descent.sh", EXAMPLES / "descent.yaml"):
        shutil.copy(name, tmp_path)
    words = ["--trials", "3", "--workers", "1", "--output", tmp_path / "r"]
    done = run("search", tmp_path / "descent.yaml", *words)
    assert done.code == 0, done.err
    assert re.search(r"best: trial \d, height \d", done.out)
    assert "trial 0 complete" in done.out


@pytest.mark.slow
def test_the_notebook_searches_a_function_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = pytest.importorskip("nbclient", reason="nbclient comes with the extra dev")
    pytest.importorskip("ipykernel", reason="ipykernel comes with the extra dev")
    nbformat = pytest.importorskip("nbformat", reason="nbformat comes with the extra dev")
    pytest.importorskip("pandas", reason="pandas comes with the extra pandas")
    notebook = nbformat.read(EXAMPLES / "function.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook["cells"])
    monkeypatch.chdir(tmp_path)
    resources = {"metadata": {"path": str(tmp_path)}}
    client.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources=resources
    ).execute()
    printed = ["".join(o.get("text", "") for o in c["outputs"]) for c in notebook["cells"]
               if c.get("outputs")]  # fmt: skip
    assert "######   6 of 6 trials" in printed[0]
    assert re.match(r"\d\.\d+ \{'rate': ", printed[1])
    assert (tmp_path / "runs/train/best.yaml").exists() is False
    assert len(Study.open(tmp_path / "runs/train").trials) == 6
