"""Imports point down: which part of the program stands on which floor, and what it must not know.

Read by AST, so that imports inside functions and under TYPE_CHECKING count too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = "hpsearch"

GROUND = (
    "allocation", "awake", "configfile", "errors", "extensions", "interpreter", "intervals",
    "json_files", "json_process", "measure", "output", "paths", "provenance", "records",
    "seeding", "shipped_files", "sqlite_file", "trainer", "trial", "waiting", "wording",
    "yaml_parser",
)  # fmt: skip
FLOORS = {
    **dict.fromkeys(GROUND, 0),
    "data": 1,
    "network": 1,
    "backbones": 2,
    "pictures": 3,
    "training": 3,
    "sources": 4,
    "front": 4,
    "recognition": 4,
    "trainers": 4,
    "execution": 5,
    "scoring": 5,
    "serving": 5,
    "cluster": 6,
    "space": 5,
    "belief": 6,
    "pruners": 7,
    "samplers": 7,
    "study": 8,
    "drafts": 9,
    "storage": 9,
    "driver": 10,
    "maintenance": 11,
    "confirm": 11,
    "results": 12,
    "report": 13,
    "app": 14,
    "cli": 15,
    "__main__": 16,
}
MUST_NOT_KNOW = {
    "hpsearch.data": ("optuna", "torch"),
    "hpsearch.pictures": ("optuna", "torch"),
    "hpsearch.sources": ("optuna", "torch"),
    "hpsearch.network": ("optuna",),
    "hpsearch.backbones": ("optuna",),
    "hpsearch.training": ("optuna",),
    "hpsearch.recognition": ("optuna",),
    "hpsearch.trainers": ("optuna", "torch"),
    "hpsearch.execution": ("optuna",),
    "hpsearch.scoring": ("optuna",),
    "hpsearch.serving": ("optuna",),
    "hpsearch.front": ("optuna", "torch"),
    "hpsearch.cluster": ("optuna", "torch"),
    "hpsearch.space": ("torch",),
    "hpsearch.belief": ("optuna", "torch"),
    "hpsearch.samplers": ("torch",),
    "hpsearch.pruners": ("torch",),
    "hpsearch.study": ("torch",),
    "hpsearch.drafts": ("torch",),
    "hpsearch.storage": ("torch",),
    "hpsearch.driver": ("torch",),
    "hpsearch.maintenance": ("torch",),
}
"""Packages that no module of a part imports itself."""

MUST_NOT_REACH_TORCH = (
    "hpsearch.training.config",
    "hpsearch.training.epoch",
    "hpsearch.network.geometry",
    "hpsearch.trainers.*",
    "hpsearch.execution",
    "hpsearch.execution.devices",
    "hpsearch.execution.local",
    "hpsearch.front.*",
    "hpsearch.space.*",
    "hpsearch.belief.*",
    "hpsearch.samplers.*",
    "hpsearch.pruners.*",
    "hpsearch.study.*",
    "hpsearch.storage.*",
    "hpsearch.driver.*",
    "hpsearch.maintenance.*",
)
"""Modules that torch must not come into by any chain of imports, however late."""

INTERFACE = {"hpsearch.execution", "hpsearch.execution.blame", "hpsearch.execution.devices"}
"""What all but app may know of execution: no concrete executor."""
APART = ("execution", "cluster", "app", "cli")
"""Rooms that know concrete executors."""

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
            named = first.value if constant else "?"  # type: ignore[union-attr]
            yield Import(name, node.lineno, named)  # type: ignore[misc]


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


def circles(root: Path) -> list[str]:
    """Return the circles of imports, those under TYPE_CHECKING too: of modules, and of rooms."""
    known = set(modules(root))
    by_module: dict[str, set[str]] = {name: set() for name in known}
    by_room: dict[str, set[str]] = {}
    for one in imports(root):
        # The package itself is lazy: it imports what is asked of it.
        if one.target not in known or ROOT in (one.importer, one.target):
            continue
        if one.target != one.importer:
            by_module[one.importer].add(one.target)
        if _part(one.importer) != _part(one.target):
            by_room.setdefault(_part(one.importer), set()).add(_part(one.target))
    found = []
    for graph in (by_module, by_room):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            found.append(" > ".join(error.args[1]))
    return found


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
            return f"{part!r} stands on no floor; give it one in tests/test_floors.py"
    if FLOORS[other] < FLOORS[own] or {own, other} <= set(GROUND):
        return None
    return f"floor {FLOORS[own]} must not know {other!r} on floor {FLOORS[other]}"


def _must_not_know(one: Import) -> str | None:
    for package, forbidden in MUST_NOT_KNOW.items():
        if _within(one.importer, package):
            for name in forbidden:
                if _within(one.target, name):
                    return f"{package} must not know {name}"
    outer = _part(one.importer) not in APART
    concrete = any(_within(one.target, f"hpsearch.{room}") for room in ("execution", "cluster"))
    if outer and concrete and one.target not in INTERFACE:
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


LATE = "def f():\n    {}\n"
CHECKING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {}\n"
PACKAGE = Path(__file__).parent.parent / ROOT


def test_every_import_points_down() -> None:
    assert violations(PACKAGE) == []


def test_there_is_no_circle() -> None:
    assert circles(PACKAGE) == []


@pytest.mark.parametrize(
    ("first", "second", "circle"),
    [
        ("import hpsearch.data.b", "import hpsearch.data.a", "hpsearch.data.b > hpsearch.data.a"),
        ("import hpsearch.data.b", CHECKING.format("from hpsearch.data.a import x"), "data.a"),
        (LATE.format("from hpsearch.data import b"), "from . import a", "hpsearch.data.b"),
        ("import hpsearch.data", "import hpsearch.data.a", ""),
        ("import hpsearch.errors", "import hpsearch.errors", ""),
    ],
)
def test_a_planted_circle_is_found(tmp_path: Path, first: str, second: str, circle: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "__init__.py").touch()
    (tmp_path / "errors.py").touch()
    (tmp_path / "data" / "a.py").write_text(first)
    (tmp_path / "data" / "b.py").write_text(second)
    found = circles(tmp_path)
    assert (circle in found[0]) if circle else not found, found


def test_a_circle_of_rooms_is_found(tmp_path: Path) -> None:
    for room, other in (("data", "network"), ("network", "data")):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").touch()
        (tmp_path / room / "one.py").write_text(f"import hpsearch.{other}.two")
        (tmp_path / room / "two.py").touch()
    assert circles(tmp_path) == ["data > network > data"] or circles(tmp_path) == [
        "network > data > network"
    ]


def test_the_checker_sees_the_program() -> None:
    found = {(one.importer, one.target) for one in imports(PACKAGE)}
    assert ("hpsearch.driver.driver", "hpsearch.execution") in found
    assert ("hpsearch.cli.search", "hpsearch.app.search") in found  # inside a function
    assert ("hpsearch.samplers.prior", "hpsearch.space.problem") in found  # under TYPE_CHECKING
    parts = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir()}
    assert parts - {"__init__", "__pycache__", "py"} == set(FLOORS)


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("data/bad.py", "import hpsearch.driver", "floor 1 must not know 'driver' on floor 10"),
        ("data/bad.py", "from hpsearch import driver", "floor 1 must not know 'driver'"),
        ("data/bad.py", "from hpsearch.network import geometry", "must not know 'network'"),
        ("network/bad.py", "import hpsearch.data as d", "must not know 'data'"),
        ("training/bad.py", LATE.format("import hpsearch.execution"), "'execution' on floor 5"),
        ("training/bad.py", "from hpsearch.recognition import x", "'recognition' on floor 4"),
        ("execution/bad.py", CHECKING.format("from hpsearch.space import x"), "'space'"),
        ("execution/bad.py", "from ..space import x", "'space' on floor 5"),
        ("execution/__init__.py", "from .. import cli", "'cli' on floor 15"),
        ("driver/bad.py", "import hpsearch.results", "'results' on floor 12"),
        ("results/bad.py", "import hpsearch.cli", "'cli' on floor 15"),
        ("errors.py", "from hpsearch.data import x", "'data' on floor 1"),
        ("seeding.py", "import hpsearch.data", "'data' on floor 1"),
        ("seeding.py", "import torch", "floor 0 knows the standard library and numpy"),
        ("paths.py", "from pydantic import BaseModel", "floor 0 knows the standard library"),
        ("driver/bad.py", "import torch.nn", "hpsearch.driver must not know torch"),
        ("driver/deep/bad.py", LATE.format("from torch import nn"), "must not know torch"),
        ("driver/bad.py", CHECKING.format("import torch"), "must not know torch"),
        ("driver/bad.py", "import hpsearch.training.loop", "hpsearch.training.loop > torch"),
        ("driver/bad.py", LATE.format("import hpsearch.training.loop"), "loop > torch"),
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
        ("driver/bad.py", "from hpsearch.execution.local import x", "only the Executor interface"),
        ("results/bad.py", "import hpsearch.cluster.executor", "only the Executor interface"),
        ("execution/bad.py", "import hpsearch.cluster.node", "'cluster' on floor 6"),
        ("extra/bad.py", "import hpsearch.errors", "'extra' stands on no floor"),
        ("data/bad.py", "import importlib\nimportlib.import_module(name)", "a computed name"),
        ("data/bad.py", "__import__('hpsearch.cli')", "must not know 'cli'"),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, module: str, source: str, reason: str) -> None:
    for part in set(FLOORS) - set(GROUND) - {"__main__"}:
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
        ("driver/good.py", "import hpsearch.execution\nfrom hpsearch import __version__"),
    ],
)
def test_an_import_that_points_down_is_not_found(tmp_path: Path, module: str, source: str) -> None:
    planted = tmp_path / module
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(source)
    assert violations(tmp_path) == []
