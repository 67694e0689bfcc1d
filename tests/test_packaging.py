"""What an installed hpsearch is made of, and what checks a change: hooks, workflow, template."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from hpsearch import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = ("ray", "backbones", "postgres", "onnx", "pandas", "tensorboard")
"""The extras that the package itself imports."""
OWN = {"hpsearch", "benchmarks", "tests", "examples"}
NO_SUCH_SYSTEM = "import sys\nsys.platform = 'win32'\n"


def distribution(name: str) -> str:
    """Return a distribution's name in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", name)[0]).lower()


def declared(*extras: str) -> set[str]:
    """Return the dependencies, and those of some extras."""
    project = PROJECT["project"]
    listed = [*project["dependencies"]]
    for extra in extras:
        listed += project["optional-dependencies"][extra]
    return {distribution(requirement) for requirement in listed}


def imported(source: str) -> Iterator[str]:
    """Yield the top-level package of every absolute import, wherever it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).split(".")[0]


def third_party(sources: Iterable[str]) -> set[str]:
    """Return the distributions that some sources import."""
    modules = {name for source in sources for name in imported(source)}
    known = packages_distributions()
    outside = modules - OWN - set(sys.stdlib_module_names)
    return {distribution(known.get(name, [name])[0]) for name in outside}


def sources(*folders: str) -> list[str]:
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    own = [path for path in paths if "outside_programs" not in path.parts]
    return [path.read_text(encoding="utf-8") for path in own]


def read(name: str) -> Any:
    return YAML(typ="safe").load((ROOT / name).read_text(encoding="utf-8"))


def test_every_package_that_is_imported_is_declared() -> None:
    assert third_party(sources("hpsearch")) == declared(*EXTRAS)
    extras = (*EXTRAS, "dev")
    assert third_party(sources("benchmarks", "examples", "tests")) <= declared(*extras)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f():\n    from sklearn.manifold import TSNE", {"scikit-learn"}),
        ("import PIL.Image, os", {"pillow"}),
        ("from ruamel.yaml import YAML\nfrom . import x\nimport hpsearch.trial", {"ruamel-yaml"}),
        ("import nowhere_installed", {"nowhere-installed"}),
    ],
)
def test_an_import_is_traced_to_its_distribution(source: str, found: set[str]) -> None:
    assert third_party([source]) == found


def test_every_dependency_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    pinned = {distribution(line) for line in lines}
    assert declared(*PROJECT["project"]["optional-dependencies"]) <= pinned


def test_the_version_stands_in_one_place() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    assert "version" not in PROJECT["project"]
    attribute = PROJECT["tool"]["setuptools"]["dynamic"]["version"]["attr"]
    assert attribute == "hpsearch.__version__"
    tree = ast.parse((ROOT / "hpsearch" / "__init__.py").read_text(encoding="utf-8"))
    values = [
        ast.literal_eval(node.value)  # a literal: else a build would import the package
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    ]
    assert values == [__version__]


def test_no_other_file_repeats_the_version() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("no git checkout")
    assigned = re.compile(rf"^_*version_*\s*[=:]\s*[\"']?{re.escape(__version__)}\b", re.I | re.M)
    found = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        text = path.suffix in (".py", ".toml", ".cfg", ".yaml", ".yml", ".cff") and path.is_file()
        if text and not name.startswith("tests/assets/"):
            found += [name] if assigned.search(path.read_text(encoding="utf-8")) else []
    assert found == ["CITATION.cff", "hpsearch/__init__.py"]


def test_the_citation_is_of_this_version() -> None:
    citation = read("CITATION.cff")
    assert citation["version"] == __version__
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    released = f"## [{__version__}] - {citation['date-released']}"
    assert released in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_types_are_shipped() -> None:
    assert (ROOT / "hpsearch" / "py.typed").read_bytes() == b""
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"]["hpsearch"]
    assert "Typing :: Typed" in PROJECT["project"]["classifiers"]


@pytest.mark.parametrize(
    "code",
    [
        "import hpsearch",
        "from hpsearch.training import config",
        "import sys; sys.argv = ['hpsearch', '--version']\nfrom hpsearch.cli.main import main",
        "import runpy; runpy.run_module('hpsearch', run_name='__main__')",
    ],
)
def test_windows_is_refused_in_one_line(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_SUCH_SYSTEM + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert done.stdout == ""
    assert re.fullmatch(r"hpsearch: Windows is not supported.* Linux.*macOS.*\n", done.stderr)


def test_the_supported_systems_are_named() -> None:
    systems = {c for c in PROJECT["project"]["classifiers"] if c.startswith("Operating System")}
    assert systems == {"Operating System :: MacOS", "Operating System :: POSIX :: Linux"}
    text = (ROOT / "docs" / "release.md").read_text(encoding="utf-8")
    assert all(system in text for system in ("Linux", "macOS", "Windows"))


def test_hooks_run_the_tools_of_the_environment() -> None:
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    tools = {hook["entry"].split()[0] for hook in repository["hooks"]}
    assert tools == {".venv/bin/ruff", ".venv/bin/mypy"}
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}


def test_the_workflow_only_calls_ci() -> None:
    (job,) = read(".github/workflows/ci.yml")["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^\.ci/wheel$", ci, re.MULTILINE)


def test_a_bug_report_asks_for_the_doctor() -> None:
    fields = {field["id"]: field for field in read(".github/ISSUE_TEMPLATE/bug.yml")["body"]}
    assert "hpsearch doctor STUDY" in fields["doctor"]["attributes"]["description"]
    assert fields["doctor"]["validations"]["required"]
