"""F02: killed once at each named point; and the drill that does the same to a real search."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch

from benchmarks.kill_points import POINTS, arm, start_workers_with
from hpsearch.app.executors import find_workplace
from hpsearch.execution import Job
from hpsearch.study.plan import plan_study
from hpsearch.training.checkpoint import Checkpoint, load, save
from tests.support.cases import in_child, search, write_study

from .test_writes import SETTINGS, assert_survives, straight

See = Callable[[object], None]
__all__ = ["straight"]  # the fixture of test_writes

DRIVER = [name for name, point in POINTS.items() if not point.in_worker]
FILES = [
    name for name, point in POINTS.items() if point.in_worker and "worker:" not in point.target
]


@pytest.mark.parametrize("name", DRIVER)
def test_F02_F03_the_driver_killed_at(
    tmp_path: Path, straight: list[tuple[object, ...]], name: str
) -> None:
    """no acknowledged result is lost; the same command ends with the same trials"""
    output, token = tmp_path / "study", tmp_path / "token"
    token.touch()

    def child() -> None:
        arm(POINTS[name], 2, token)
        search(output, **SETTINGS)

    assert in_child(child) == -9
    assert not token.exists()
    assert_survives(output, straight)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("nth", [1, 2])
def test_F02_a_worker_killed_in_a_checkpoint(tmp_path: Path, name: str, nth: int) -> None:
    """the checkpoint is the old one or the new one, whole"""
    path, token = tmp_path / "checkpoint", tmp_path / "token"
    token.touch()
    for epoch in (1, 2):
        save(checkpoint(epoch), path)

    def child() -> None:
        arm(POINTS[name], nth, token)
        save(checkpoint(3), path)

    assert in_child(child) == -9
    found = load(path)
    assert found is not None
    assert found.state["epoch"] in (2, 3)
    save(checkpoint(4), path)
    again = load(path)
    assert again is not None
    assert again.state["epoch"] == 4


def checkpoint(epoch: int) -> Checkpoint:
    return Checkpoint({"weights.x": torch.full((9,), float(epoch))}, {"epoch": epoch, "curve": []})


def test_a_search_starts_the_workers_that_die(tmp_path: Path) -> None:
    program = tmp_path / "worker"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)

    def child() -> None:
        start_workers_with([str(program)])
        plan = plan_study(str(write_study(tmp_path / "file")), tmp_path / "study", {})
        with closing(find_workplace(plan).make()) as executor:
            executor.submit(Job(0, {}, 1, tmp_path, 0, tmp_path / "checkpoint"))
            while not (tmp_path / "started").exists():
                time.sleep(0.01)
        os._exit(7)

    assert in_child(child) == 7


def test_a_token_lets_a_point_kill_once(tmp_path: Path) -> None:
    assert in_child(lambda: arm_twice(tmp_path / "absent")) == 0


def arm_twice(token: Path) -> None:
    arm(POINTS["before a file is renamed"], 1, token)
    (token.parent / "a").touch()
    (token.parent / "a").replace(token.parent / "b")
    os._exit(0)
