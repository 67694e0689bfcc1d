"""A Ray cluster whose head or own daemon has died is given up in one line, within a minute."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from hpsearch.errors import EnvironmentFailure

pytest.importorskip("ray", reason="the extra hpsearch[ray] is not installed")

from hpsearch.execution import ray_cluster
from hpsearch.execution.ray_cluster import Cluster


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Return a cluster that this process is not connected to, on node 1."""
    made = object.__new__(Cluster)
    made.dead, made._own = False, "1"
    monkeypatch.setattr(ray_cluster, "ANSWER_S", 30.0)
    return made


def test_ob7_a_head_that_does_not_answer_is_given_up(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "ANSWER_S", 0.05)
    never = threading.Event()
    with pytest.raises(EnvironmentFailure, match=r"its head has not answered for 0.05 s"):
        cluster.ask(never.wait)
    assert cluster.dead
    never.set()


def test_ob7_the_limit_is_below_the_minute_after_which_ray_ends_this_process() -> None:
    assert ray_cluster.ANSWER_S < 60


@pytest.mark.parametrize(
    "nodes",
    [[], [{"NodeID": "1", "Alive": False}], [{"NodeID": "2", "Alive": True}]],
    ids=["none", "dead", "another's"],
)
def test_ob7_a_daemon_of_this_machine_that_died_is_given_up(
    cluster: Cluster, nodes: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster.ray, "nodes", lambda: nodes)
    with pytest.raises(EnvironmentFailure, match="its daemon on this machine"):
        cluster.nodes()
    assert cluster.dead


def test_another_node_may_come_and_go(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"NodeID": "1", "Alive": True}, {"NodeID": "2", "Alive": False}]
    monkeypatch.setattr(ray_cluster.ray, "nodes", lambda: nodes)
    assert cluster.nodes() == nodes[:1]


def test_an_error_of_a_question_is_its_own(cluster: Cluster) -> None:
    with pytest.raises(ZeroDivisionError):
        cluster.ask(lambda: 1 // 0)
    assert cluster.ask(lambda: 7) == 7
    assert not cluster.dead
