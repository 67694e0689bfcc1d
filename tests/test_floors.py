"""Imports point down: which part of the program stands on which floor, and what it must not know.

Read by AST, so that imports inside functions and under TYPE_CHECKING count too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = "hpsearch"

FLOORS = {
    "allocation": 0,
    "awake": 0,
    "errors": 0,
    "interpreter": 0,
    "output": 0,
    "waiting": 0,
    "seeding": 0,
    "paths": 0,
    "configfile": 0,
    "wording": 0,
    "provenance": 0,
    "records": 0,
    "written": 0,
    "data": 1,
    "network": 1,
    "training": 2,
    "recognition": 2,
    "execution": 3,
    "search": 4,
    "results": 5,
    "app": 6,
    "cli": 7,
    "__main__": 8,
}
NEIGHBOURS = {("paths", "errors"), ("configfile", "errors"), ("recognition", "training")}
NEIGHBOURS |= {("waiting", "errors"), ("output", "waiting"), ("configfile", "paths")}
NEIGHBOURS |= {("records", "errors"), ("records", "paths"), ("configfile", "records")}
NEIGHBOURS |= {("written", "records"), ("written", "errors")}
"""Who may import whom on its own floor."""

MUST_NOT_KNOW = {
    "hpsearch.data": ("optuna", "torch"),
    "hpsearch.network": ("optuna",),
    "hpsearch.training": ("optuna",),
    "hpsearch.recognition": ("optuna",),
    "hpsearch.execution": ("optuna",),
    "hpsearch.search": ("torch",),
}
"""Packages that no module of a part imports itself."""

MUST_NOT_REACH_TORCH = (
    "hpsearch.training.config",
    "hpsearch.training.epoch",
    "hpsearch.network.geometry",
    "hpsearch.execution",
    "hpsearch.execution.devices",
    "hpsearch.execution.local",
    "hpsearch.search.*",
)
"""Modules that torch must not come into by any chain of imports, however late."""

INTERFACE = {"hpsearch.execution", "hpsearch.execution.blame", "hpsearch.execution.devices"}
"""What search and results may know of execution: no concrete executor."""

PLAIN = {"hpsearch.errors", "hpsearch.seeding", "hpsearch.paths", "hpsearch.provenance"}
"""Modules that know the standard library and numpy only."""


@dataclass(frozen=True)
class Import:
    """One import of one module, by absolute name."""

    importer: str
    line: int
    target: str


def modules(root: Path) -> dict[str, Path]:
    """Return every module of a package by its dotted name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = [ROOT, *path.relative_to(root).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path) -> list[Import]:
    """Return all imports of a package: those inside functions and under TYPE_CHECKING too."""
    known = modules(root)
    return [one for name, path in known.items() for one in _imports_of(name, path, known)]


def _imports_of(name: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(name, node.lineno, inner if inner in known else base)
        elif isinstance(node, ast.Call) and _dynamic(node.func):
            first = node.args[0] if node.args else None
            constant = isinstance(first, ast.Constant) and isinstance(first.value, str)
            yield Import(name, node.lineno, first.value if constant else "?")  # type: ignore[union-attr,misc]


def _dynamic(function: ast.expr) -> bool:
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return called in ("import_module", "__import__")


def violations(root: Path) -> list[str]:
    """Return one line for each import that breaks the order."""
    found = imports(root)
    broken = []
    for one in found:
        reason = _points_up(one) or _must_not_know(one)
        if reason:
            broken.append(f"{one.importer}:{one.line} imports {one.target}: {reason}")
    return broken + _torch_by_chains(found, set(modules(root)))


def _part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def _points_up(one: Import) -> str | None:
    own, other = _part(one.importer), _part(one.target)
    if one.target == "?":
        return "a computed name hides what it imports"
    if not _within(one.target, ROOT) or own == other or not other or not own:
        return None  # the package itself is lazy, see test_lazy
    for part in (own, other):
        if part not in FLOORS:
            return f"{part!r} stands on no floor; give it one in tests/floors.py"
    if FLOORS[other] < FLOORS[own] or (own, other) in NEIGHBOURS:
        return None
    return f"floor {FLOORS[own]} must not know {other!r} on floor {FLOORS[other]}"


def _must_not_know(one: Import) -> str | None:
    for package, forbidden in MUST_NOT_KNOW.items():
        if _within(one.importer, package):
            for name in forbidden:
                if _within(one.target, name):
                    return f"{package} must not know {name}"
    outer = _within(one.importer, "hpsearch.search") or _within(one.importer, "hpsearch.results")
    if outer and _within(one.target, "hpsearch.execution") and one.target not in INTERFACE:
        return "only the Executor interface is known here"
    top = one.target.split(".")[0]
    plain = top in sys.stdlib_module_names or top in ("numpy", ROOT)
    if one.importer in PLAIN and not plain:
        return "floor 0 knows the standard library and numpy"
    return None


def _torch_by_chains(found: list[Import], known: set[str]) -> list[str]:
    """Return the chains by which torch comes into what must not load it.

    Importing a.b.c also runs a.b; the package itself is lazy, see test_lazy.
    """
    edges: dict[str, set[str]] = {name: set() for name in known}
    for one in found:
        parts = one.target.split(".")
        reached = {".".join(parts[: n + 1]) for n in range(len(parts))}
        edges[one.importer] |= reached - {ROOT}
    broken = []
    for start in sorted(known):
        if any(fnmatchcase(start, pattern) for pattern in MUST_NOT_REACH_TORCH):
            chain = _chain(edges, start)
            if chain:
                broken.append(f"{' > '.join(chain)}: torch must not come in here")
    return broken


def _chain(edges: dict[str, set[str]], start: str) -> list[str] | None:
    waiting, seen = [[start]], {start}
    while waiting:
        path = waiting.pop(0)
        if path[-1] == "torch":
            return path
        for following in sorted(edges.get(path[-1], set()) - seen):
            seen.add(following)
            waiting.append([*path, following])
    return None


PACKAGE = Path(__file__).parent.parent / ROOT


def test_every_import_points_down() -> None:
    assert violations(PACKAGE) == []


def test_the_checker_sees_the_program() -> None:
    found = {(one.importer, one.target) for one in imports(PACKAGE)}
    assert ("hpsearch.search.driver", "hpsearch.execution") in found
    assert ("hpsearch.cli.search", "hpsearch.app.search") in found  # inside a function
    assert ("hpsearch.search.prior", "hpsearch.search.coordinates") in found  # under TYPE_CHECKING
    parts = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir()}
    assert parts - {"__init__", "__pycache__", "py.typed"} == set(FLOORS)


LATE = "def f():\n    {}\n"
CHECKING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {}\n"


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("data/bad.py", "import hpsearch.search", "floor 1 must not know 'search' on floor 4"),
        ("data/bad.py", "from hpsearch import search", "floor 1 must not know 'search'"),
        ("data/bad.py", "from hpsearch.network import geometry", "must not know 'network'"),
        ("network/bad.py", "import hpsearch.data as d", "must not know 'data'"),
        ("training/bad.py", LATE.format("import hpsearch.execution"), "'execution' on floor 3"),
        ("training/bad.py", "from hpsearch.recognition import x", "'recognition' on floor 2"),
        ("execution/bad.py", CHECKING.format("from hpsearch.search import x"), "'search'"),
        ("execution/bad.py", "from ..search import x", "'search' on floor 4"),
        ("execution/__init__.py", "from .. import cli", "'cli' on floor 7"),
        ("search/bad.py", "import hpsearch.results", "'results' on floor 5"),
        ("results/bad.py", "import hpsearch.cli", "'cli' on floor 7"),
        ("errors.py", "from hpsearch.data import x", "'data' on floor 1"),
        ("seeding.py", "import hpsearch.paths", "'paths' on floor 0"),
        ("seeding.py", "import torch", "floor 0 knows the standard library and numpy"),
        ("paths.py", "from pydantic import BaseModel", "floor 0 knows the standard library"),
        ("search/bad.py", "import torch.nn", "hpsearch.search must not know torch"),
        ("search/deep/bad.py", LATE.format("from torch import nn"), "must not know torch"),
        ("search/bad.py", CHECKING.format("import torch"), "must not know torch"),
        ("search/bad.py", "import hpsearch.training.loop", "hpsearch.training.loop > torch"),
        ("search/bad.py", LATE.format("import hpsearch.training.loop"), "loop > torch"),
        ("training/config.py", "import torch", "hpsearch.training.config > torch"),
        ("network/geometry.py", "import torch", "hpsearch.network.geometry > torch"),
        ("execution/__init__.py", "import torch", "hpsearch.execution > torch"),
        ("execution/bad.py", "import optuna", "hpsearch.execution must not know optuna"),
        ("training/bad.py", LATE.format("import optuna"), "training must not know optuna"),
        ("recognition/bad.py", "from optuna import x", "recognition must not know optuna"),
        ("data/bad.py", "import optuna.study", "hpsearch.data must not know optuna"),
        ("network/bad.py", "import optuna", "hpsearch.network must not know optuna"),
        ("results/bad.py", "import hpsearch.execution.local", "only the Executor interface"),
        ("results/bad.py", "from hpsearch.execution import local", "only the Executor interface"),
        ("results/bad.py", CHECKING.format("import hpsearch.execution.local"), "only the Exec"),
        ("search/bad.py", "from hpsearch.execution.local import x", "only the Executor interface"),
        ("extra/bad.py", "import hpsearch.errors", "'extra' stands on no floor"),
        ("data/bad.py", "import importlib\nimportlib.import_module(name)", "a computed name"),
        ("data/bad.py", "__import__('hpsearch.cli')", "must not know 'cli'"),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, module: str, source: str, reason: str) -> None:
    parts = ("data", "network", "training", "recognition", "execution", "search", "results", "cli")
    for part in parts:
        (tmp_path / part).mkdir()
        (tmp_path / part / "__init__.py").touch()
    (tmp_path / "execution" / "local.py").touch()
    (tmp_path / "training" / "loop.py").write_text("import torch\n")
    assert violations(tmp_path) == []
    planted = tmp_path / module
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(source)
    found = violations(tmp_path)
    assert any(reason in line for line in found), found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("data/good.py", "from hpsearch.errors import InputError\nimport hpsearch.data.pack"),
        ("results/good.py", "from hpsearch.execution import Executor\nimport torch, optuna"),
        ("cli/good.py", LATE.format("import hpsearch.execution.local, hpsearch.results")),
        ("recognition/good.py", "from hpsearch.training.config import TrialConfig\nimport torch"),
        ("configfile.py", "import pydantic\nfrom hpsearch.errors import InputError"),
        ("execution/worker.py", LATE.format("import torch, hpsearch.training.loop")),
        ("search/good.py", "import hpsearch.execution\nfrom hpsearch import __version__"),
    ],
)
def test_an_import_that_points_down_is_not_found(tmp_path: Path, module: str, source: str) -> None:
    planted = tmp_path / module
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(source)
    assert violations(tmp_path) == []
