"""Where results come from: versions, commit, machine, and what of two records differs."""

from __future__ import annotations

import importlib.metadata
import socket
import subprocess
from pathlib import Path

import pytest

from hpsearch import provenance
from hpsearch.provenance import PACKAGES, differences, machine, software


def git(folder: Path, *arguments: str) -> None:
    names = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", str(folder), *names, *arguments], check=True, capture_output=True)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkout of its own with the program's file in it."""
    folder = tmp_path / "hpsearch"
    folder.mkdir()
    (folder / "provenance.py").write_text("x = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    monkeypatch.setattr(provenance, "__file__", str(folder / "provenance.py"))
    return folder


def test_software_names_every_package_that_is_installed() -> None:
    versions = software()["versions"]
    assert {name: versions[name] for name in PACKAGES} == {
        name: importlib.metadata.version(name) for name in PACKAGES
    }
    assert machine("cpu", 3) == {"host": socket.gethostname(), "device": "cpu", "threads": 3}


def test_the_commit_is_the_sources_and_a_change_makes_it_dirty(source: Path) -> None:
    found = provenance._commit()
    assert len(found["commit"]) == 40
    assert found["dirty"] is False
    (source / "provenance.py").write_text("x = 2\n")
    assert provenance._commit() == {**found, "dirty": True}


def test_somebody_elses_repository_is_not_named(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual environment may lie inside a repository that is not the program's."""
    inside = source.parent / "venv" / "hpsearch"
    inside.mkdir(parents=True)
    monkeypatch.setattr(provenance, "__file__", str(inside / "provenance.py"))
    assert provenance._commit() == {"commit": None, "dirty": None}


def test_differences_are_named_and_equal_records_have_none() -> None:
    then = {"versions": {"torch": "2.0", "numpy": "1.0", "gone": "3"}, "commit": "a" * 40}
    same = {**then, "dirty": False}
    assert differences(then, same) == []
    now = {"versions": {"torch": "2.1", "numpy": "1.0"}, "commit": "b" * 40}
    assert differences({**then, "dirty": True}, now) == [
        "torch 2.0, here 2.1",
        "gone 3, here none",
        "commit aaaaaaaaaaaa, here bbbbbbbbbbbb",
        "source changed since its commit",
    ]
    assert differences({}, now) == []
