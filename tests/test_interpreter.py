"""Where processes of ours begin: nothing comes from where the user stands, and threads sleep."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.interpreter import (
    CHOSEN_BY_HAND,
    THREAD_VARIABLES,
    WAITING,
    child_environment,
    python_command,
    wait_passively,
)
from tests.support.slow import rest_slow

PACKAGE = Path(__file__).parent.parent / "hpsearch"
OURS = ("hpsearch.execution.worker", "hpsearch.samplers.ask_process", "hpsearch.cli.main")


def set_traps(folder: Path) -> Path:
    """Write a module under every name that a process of ours may import."""
    for name in {*sys.stdlib_module_names, "torch", "numpy", "optuna", "hpsearch", "ray"}:
        (folder / f"{name}.py").write_text(
            f"open({str(folder / 'caught')!r}, 'a').write(__name__ + ' ')\n"
        )
    return folder / "caught"


@pytest.mark.parametrize("module", OURS)
@pytest.mark.parametrize(
    "python_path", rest_slow([None, f"{os.pathsep}/nowhere", os.pathsep, ""], 2)
)
def test_oa5_nothing_is_imported_from_where_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, python_path: str | None
) -> None:
    caught = set_traps(tmp_path)
    if python_path is not None:
        monkeypatch.setenv("PYTHONPATH", python_path)
    done = subprocess.run(
        python_command(module, "--version"),
        cwd=tmp_path,
        env=child_environment(threads=1),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not caught.exists(), caught.read_text()
    assert f"No module named {module!r}" not in done.stderr


def test_oa5_nor_by_who_runs_the_package_as_a_module(tmp_path: Path) -> None:
    for name in ("random", "typer", "click", "json", "tempfile", "torch", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(__name__)")
    done = subprocess.run(
        [sys.executable, "-m", "hpsearch.cli.main", "--version"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout[:9]) == (0, "hpsearch "), done.stderr


@pytest.mark.parametrize(
    "then",
    [
        "from hpsearch.cli.main import main; sys.argv[1:] = ['--version']; main()",
        "import hpsearch, torch; from torch import nn, ones; "
        "print('hpsearch', nn.Linear(64, 64)(ones(64, 64)).shape)",
        "import hpsearch; hpsearch.interpreter.leave_deleted_folder(); os.mkdir('runs')",
    ],
    ids=["command", "training", "nothing is created elsewhere"],
)
def test_oa5_a_deleted_folder_is_no_hindrance(tmp_path: Path, then: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import os, sys; os.rmdir({str(gone)!r}); {then}"],
        cwd=gone,
        env=child_environment(threads=1),
        capture_output=True,
        text=True,
        check=False,
    )
    if "mkdir" in then:
        assert "FileNotFoundError" in done.stderr
        return
    assert (done.returncode, done.stdout[:9]) == (0, "hpsearch "), done.stderr


def starts_python(source: str) -> list[str]:
    """Return each place where a source could start Python by itself."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.executable":
            found.append(f"{node.lineno}: sys.executable")
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found += [
            f"{node.lineno}: {name}"
            for name in names
            if name.startswith(("multiprocessing", "concurrent.futures.Process", "sys.executable"))
            or name.endswith(".ProcessPoolExecutor")
        ]
    return found


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_oa5_one_place_starts_python(path: Path) -> None:
    found = starts_python(path.read_text(encoding="utf-8"))
    assert found == [] or path.name == "interpreter.py", "use hpsearch.interpreter.python_command"


@pytest.mark.parametrize(
    "source",
    [
        "import sys\nsys.executable",
        "from sys import executable",
        "import multiprocessing",
        "from concurrent.futures import ProcessPoolExecutor",
    ],
)
def test_a_place_that_starts_python_is_found(source: str) -> None:
    assert starts_python(source)


@pytest.mark.parametrize("name", [None, *CHOSEN_BY_HAND])
def test_oa4_threads_wait_passively_unless_the_user_chose(
    monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    for variable in CHOSEN_BY_HAND:
        monkeypatch.delenv(variable, raising=False)
    if name is not None:
        monkeypatch.setenv(name, "active")
    wait_passively()
    held = {n: os.environ[n] for n in CHOSEN_BY_HAND if n in os.environ}
    assert held == (WAITING if name is None else {name: "active"})
    told = child_environment(threads=3)
    assert held.items() <= told.items()
    assert {told[variable] for variable in THREAD_VARIABLES} == {"3"}


@pytest.mark.parametrize("package", ["hpsearch", "benchmarks"])
def test_oa4_waiting_is_chosen_before_torch_is_loaded(package: str) -> None:
    code = (
        f"import os, sys, {package}\n"
        "assert 'torch' not in sys.modules\n"
        "print(os.environ.get('OMP_WAIT_POLICY'))"
    )
    plain = {k: v for k, v in os.environ.items() if k not in CHOSEN_BY_HAND}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PACKAGE.parent,
        env=plain,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "passive"
