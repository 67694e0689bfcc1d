"""What the documents show is run as it stands there."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import operator
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

import hpsearch
from hpsearch.cli.main import app
from hpsearch.configfile import parse_yaml, read_yaml
from hpsearch.recognition.onnx_file import write_onnx
from hpsearch.space.space import SearchSpace
from hpsearch.study.config import StudyConfig
from hpsearch.study.plan import plan_study
from tests.support.models import draw, write_model

DOCS = Path(__file__).parent.parent / "docs"


def blocks(document: str, language: str) -> list[str]:
    text = (DOCS / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(command: list[str], cwd: Path) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def options(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, list[str]]]:
    """Yield every command in words, and its options."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from options(inner, (*words, name))
    if not hasattr(command, "commands"):
        yield " ".join(words), [p.opts[-1] for p in command.params if p.opts[-1].startswith("--")]


def test_every_command_and_option_is_on_the_page_of_commands() -> None:
    lines = (DOCS / "commands.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    for command, known in options(typer.main.get_command(app)):
        (row,) = [r for r in rows if re.search(rf"`{command}[ `]", r)]
        missing = [option for option in known if not re.search(rf"{option}\b", row)]
        assert (command, missing) == (command, [])


def test_the_python_page_names_what_the_package_has() -> None:
    for block in blocks("python.md", "python"):
        tree = ast.parse(block)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        ours = [c for c in calls if ast.unparse(c.func).startswith("hpsearch.")]
        assert ours
        for call in ours:
            named = ast.unparse(call.func).removeprefix("hpsearch.")
            function = operator.attrgetter(named)(hpsearch)
            keywords = {word.arg: None for word in call.keywords}
            inspect.signature(function).bind(*call.args, **keywords)


def test_the_python_page_recognises(tmp_path: Path) -> None:
    for label, kind in {"cat": "cross", "house": "roof", "tree": "bar"}.items():
        draw(kind).save(tmp_path / f"{label}.png")
    draw("roof", 4).save(tmp_path / "query.png")
    recognise, *_ = blocks("python.md", "python")
    lines = run([sys.executable, "-c", recognise], tmp_path).splitlines()
    assert re.fullmatch(r"0\.\d{3} house|1\.000 house", lines[0])
    assert len(lines) == 4
    assert re.fullmatch(r"\(2, \d+\)", lines[3])


def test_the_python_page_searches_a_function_and_follows_it(tmp_path: Path) -> None:
    _, train, after, follow, *_ = blocks("python.md", "python")
    (tmp_path / "train.py").write_text(train)
    out = run([sys.executable, "train.py"], tmp_path)
    assert re.search(r"^trial \d: 0\.\d{3}, \{'lr': 0\.\d+, 'layers': \d\}$", out, re.MULTILINE), (
        out
    )
    lines = run([sys.executable, "-c", after], tmp_path).splitlines()
    assert len(lines) == 7
    assert len(list((tmp_path / "runs/train/requests").iterdir())) == 1
    (tmp_path / "follow.py").write_text(follow)
    out = run([sys.executable, "follow.py"], tmp_path)
    assert len(re.findall(r"^trial [01], step \d: 0\.\d{3}$", out, re.MULTILINE)) >= 4, out
    assert re.findall(r"^trial (\d) (?:complete|pruned)$", out, re.MULTILINE) in ([*"01"], [*"10"])


def test_the_onnx_page_finds_each_picture_again(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra hpsearch[onnx] is not installed")
    (shown,) = blocks("onnx.md", "python")
    write_onnx(hpsearch.load(write_model(tmp_path / "model")), tmp_path / "mine.onnx")
    kinds = ("bar", "cross", "roof", "box", "dash")
    known = np.stack([255 - np.asarray(draw(kind)) for kind in kinds])
    np.save(tmp_path / "known.npy", known)
    np.save(tmp_path / "new.npy", known[[3, 0, 4]])
    assert run([sys.executable, "-c", shown], tmp_path) == "[3 0 4]\n"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_python_page_does_what_it_says(tmp_path: Path) -> None:
    *_, search, rank = blocks("python.md", "python")
    (shell,) = blocks("python.md", "sh")
    (tmp_path / "search.py").write_text(search)
    out = run([sys.executable, "search.py"], tmp_path)
    assert re.search(r"trial \d: 0\.\d{3}, confirmed: False", out), out
    for line in shell.strip().splitlines():
        program, *arguments = line.split()
        assert program == "hpsearch"
        run([sys.executable, "-m", "hpsearch.cli.main", *arguments], tmp_path)
    rng = np.random.default_rng(0)
    support = tmp_path / "support"
    support.mkdir()
    for name in ("first", "second", "third", "fourth"):
        Image.fromarray(rng.integers(0, 256, (60, 60), np.uint8)).save(support / f"{name}.png")
    (tmp_path / "query.png").write_bytes((support / "third.png").read_bytes())
    (tmp_path / "rank.py").write_text(rank)
    lines = run([sys.executable, "rank.py"], tmp_path).splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r"[01]\.\d{3} (first|second|third|fourth)", line) for line in lines)


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The module that writes the tables of settings."""
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module
    spec.loader.exec_module(module)
    return module


def documented(reference: ModuleType, model: type) -> dict[str, set[str]]:
    """Return the keys that the tables of a file give, by section."""
    found: dict[str, set[str]] = {"": set()}
    section = ""
    for line in reference.tables(model).splitlines():
        if line.startswith("## "):
            section = line.strip("# `")
            found[section] = set()
        elif line.startswith("| `"):
            found[section].add(line.split("`")[1])
    return found


def written(values: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield section and key of everything that a configuration file sets."""
    for key, value in values.items():
        yield path, key
        named = re.sub(
            r"^trial\.layers\.conv\d+$", "trial.layers.conv1, conv2, ...", f"{path}.{key}"
        )
        named = re.sub(r"^\.", "", named)
        if path == "parameters":
            named = "parameters.PATH"
        if isinstance(value, dict) and named not in ("freeze", "sampler.options"):
            yield from written(value, named)


@pytest.mark.parametrize(
    ("folder", "model"), [("studies", StudyConfig), ("search_spaces", SearchSpace)]
)
def test_every_key_of_a_shipped_file_is_in_the_reference(
    reference: ModuleType, folder: str, model: type
) -> None:
    tables = documented(reference, model)
    files = sorted((DOCS.parent / folder).glob("*.yaml"))
    assert len(files) >= 5
    for path in files:
        for section, key in written(read_yaml(path)):
            if section != "parameters" and key not in ("conv1", "conv2", "conv3", "conv4"):
                assert key in tables[section], (path, section, key)


def test_every_setting_has_a_meaning_and_a_type(reference: ModuleType) -> None:
    for model in (StudyConfig, SearchSpace):
        rows = [
            (path, one)
            for path, section in reference.sections(model)
            for one in reference.settings(section)
        ]
        assert len(rows) > 10
        assert [(path, one.key) for path, one in rows if not (one.meaning and one.type)] == []


def test_the_reference_tells_defaults_and_bounds(reference: ModuleType) -> None:
    text = reference.tables(StudyConfig)
    for row in (
        "| `batch_pairs` | integer | `128` | 2 to 65,536 |",
        "| `scale` | number | `0.2` | at least 0, below 1 |",
        "| `space` | text or mapping | required |  |",
        "| `workers` | choice or integer | `auto` | `auto`, or 1 to 1,024 |",
        "| `learning_rate` | number | `0.01` | above 0, at most 1,000,000 |",
        "| `budget` | section | `trials: 20` |  |",
        "| `stop_when` | choice | none | `no expected gain` |",
    ):
        assert row in text, row
    assert "## `sampler.options of skopt-gp, skopt-rf, skopt-et`" in text


def test_the_files_that_the_reference_shows_are_valid(tmp_path: Path) -> None:
    (study,) = blocks("study-file.md", "yaml")
    space, free = blocks("space-file.md", "yaml")
    config = StudyConfig.from_values(parse_yaml(study.encode(), "study"), "study")
    shown = SearchSpace.from_values(parse_yaml(space.encode(), "space"))
    shown.check(config.recipe)
    (command,) = blocks("trainer.md", "yaml")
    (tmp_path / "study.yaml").write_text(command, encoding="utf-8")
    searched = plan_study(str(tmp_path / "study.yaml"), tmp_path / "s", {}).config
    SearchSpace.from_values(parse_yaml(free.encode(), "space")).check(searched.recipe)


def test_every_page_is_in_the_table_of_contents() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    named = {
        line
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", index, re.S)
        for line in tree.splitlines()
    }
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md")}
    assert pages - {"index"} - named == set()


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="Sphinx comes with the extra dev")
    options = ["-W", "--keep-going", "-q", "-d", str(tmp_path / "doctrees")]
    run([sys.executable, "-m", "sphinx", *options, str(DOCS), str(tmp_path / "site")], tmp_path)
    page = (tmp_path / "site" / "study-file.html").read_text(encoding="utf-8")
    assert "images_per_epoch" in page
    api = (tmp_path / "site" / "api.html").read_text(encoding="utf-8")
    assert "hpsearch.search" in api
