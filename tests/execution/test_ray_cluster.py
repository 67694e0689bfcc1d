"""Ray beyond the contract: nodes that come and go, shares of cores, and the command line."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.data import open_packed
from hpsearch.driver.driver import Driver
from hpsearch.driver.progress import Progress
from hpsearch.errors import InputError
from hpsearch.execution import Ended, EpochEnded, Event, Lost, Started
from hpsearch.interpreter import python_command
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.paths import StudyFolder
from hpsearch.storage.view import read_study
from hpsearch.study.lock import study_lock
from hpsearch.study.plan import DataPlace, plan_study, save_plan
from tests.support.jobs import ENDLESS, Jobs, follow, points, wait_until
from tests.support.observer import Silent

pytestmark = pytest.mark.slow

NODE: dict[str, Any] = {"num_cpus": 1, "resources": {"spot": 1}, "node_ip_address": "127.0.0.2"}

LONE = {**NODE, "resources": {"lone": 1}}


class Chaos(Silent):
    """An observer under whose eyes nodes leave and join the cluster, at random."""

    def __init__(self, cluster: Any, seed: int) -> None:
        super().__init__()
        self._cluster, self._rng = cluster, np.random.default_rng(seed)
        self.nodes = [cluster.add_node(**NODE) for _ in range(3)]
        self._next = time.monotonic() + 3
        self.removed = 0

    def update(self, progress: Callable[[], Progress]) -> None:
        from ray._private.state import available_resources_per_node

        if self.removed < 2 and progress().running and time.monotonic() >= self._next:
            free = available_resources_per_node()
            busy = [n for n in self.nodes if free.get(n.node_id, {}).get("spot", 0) < 1]
            if not busy:
                return
            gone = busy[int(self._rng.integers(len(busy)))]
            self.nodes.remove(gone)
            self._cluster.remove_node(gone, allow_graceful=False)
            self.removed += 1
            self.nodes.append(self._cluster.add_node(**NODE))
            self._next = time.monotonic() + 2 + 2 * self._rng.random()


def test_ray_runs_as_many_trials_as_shares_of_cores_allow(
    ray_cluster: Any, jobs: Jobs, tmp_path: Path
) -> None:
    from hpsearch.cluster.executor import RayExecutor, RaySettings

    executor = RayExecutor(RaySettings(cpu=3.0), tmp_path / "study")
    try:
        wait_until(lambda: executor.slots == 2, "two slots of three cores on a node of six")
        executor.submit(jobs(images_per_epoch=ENDLESS))
        executor.submit(jobs(1, images_per_epoch=ENDLESS))
        with pytest.raises(RuntimeError):
            executor.submit(jobs(2))
    finally:
        executor.close()
    with pytest.raises(InputError, match=r"no node of the Ray cluster has 7 CPU"):
        RayExecutor(RaySettings(cpu=7.0), tmp_path / "study")
    with pytest.raises(InputError, match=r"has 1 CPU and 1 GPU"):
        RayExecutor(RaySettings(device="cuda"), tmp_path / "study")
    assert not list((tmp_path / "study").glob(".ray-*"))


def test_the_search_command_joins_a_ray_cluster(ray_cluster: Any, tmp_path: Path) -> None:
    settings = ["dataset=glyphs", "trial.max_epochs=1", "trial.images_per_epoch=64"]
    given = [word for setting in settings for word in ("--set", setting)]
    command = [
        "search",
        "quickstart",
        "--trials",
        "2",
        "--workers",
        "1",
        "--output",
        tmp_path / "s",
    ]
    traps = tmp_path / "traps"  # where the user stands: nothing is imported from there
    traps.mkdir()
    for name in ("hpsearch", "torch", "numpy", "optuna"):
        (traps / f"{name}.py").write_text(
            f"open({str(traps / 'caught')!r}, 'a').write(__name__)\n"
        )
    arguments = [*map(str, command), "--address", ray_cluster.address, *given]
    done = subprocess.run(
        python_command("hpsearch.cli.main", *arguments),
        cwd=traps,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert not (traps / "caught").exists()
    assert done.returncode == 0, done.stderr
    assert "the budget of 2 trials is spent" in done.stdout
    view = read_study(StudyFolder(tmp_path / "s"))
    assert (view.config.executor, view.config.address) == ("ray", ray_cluster.address)
    assert [t.state for t in view.trials] == ["complete", "complete"]


def test_a_lost_ray_node_is_nobodys_fault_and_its_trial_goes_on_elsewhere(
    ray_cluster: Any, jobs: Jobs, tmp_path: Path
) -> None:
    from hpsearch.cluster.executor import RayExecutor, RaySettings

    class OnOneNode(RayExecutor):
        def _actor_options(self) -> dict[str, Any]:
            return {**super()._actor_options(), "resources": {"lone": 1}}

    executor = OnOneNode(RaySettings(workers=1), tmp_path / "study")
    node = ray_cluster.add_node(**LONE)
    try:
        executor.submit(jobs())
        first = follow(executor, 0, hold=lambda e: isinstance(e, EpochEnded))
        ray_cluster.remove_node(node, allow_graceful=False)
        (lost,) = follow(executor, 0)
        assert isinstance(lost, Lost)
        assert lost.blameless
        assert "left the cluster" in lost.cause
        node = ray_cluster.add_node(**LONE)
        executor.submit(jobs())
        second = follow(executor, 0)
        assert isinstance(second[0], Started)
        assert len(second[0].curve) == 1
        assert points(first + second) == jobs.curve()
    finally:
        executor.close()
        ray_cluster.remove_node(node)


@pytest.mark.timeout(300)
def test_a_search_on_ray_ends_while_nodes_come_and_go(
    ray_cluster: Any, glyphs: Path, tmp_path: Path
) -> None:
    from hpsearch.cluster.executor import RayExecutor, RaySettings

    class OnSpotNodes(RayExecutor):
        """Keeps to the nodes that this test adds and removes."""

        def _actor_options(self) -> dict[str, Any]:
            return {**super()._actor_options(), "resources": {"spot": 0.5}}

    settings = {
        "dataset": "glyphs",
        "trial.max_epochs": 4,
        "trial.images_per_epoch": 1500,
        "sampler.name": "random",
        "budget.trials": 6,
        "executor": "ray",
    }
    plan = plan_study("quickstart", tmp_path / "s", settings)
    dataset = open_packed(glyphs)
    facts = {"kind": "glyphs", "fingerprint": dataset.fingerprint, "packed": str(glyphs)}
    chaos = Chaos(ray_cluster, seed=1)
    executor = OnSpotNodes(RaySettings(workers=2, cpu=0.5), plan.folder.root)
    events: list[Event] = []
    told = executor.events
    executor.events = (  # type: ignore[method-assign]
        lambda timeout_s: events.extend(new := told(timeout_s)) or new
    )
    try:
        with study_lock(plan.folder):
            save_plan(plan, {**facts, "source": None, "n_tasks": 320, "ways": 20})
            place = DataPlace(str(glyphs), dataset.fingerprint)
            reason = Driver(plan, place, executor, chaos, lambda: 0).run()
    finally:
        executor.close()
        for node in chaos.nodes:
            ray_cluster.remove_node(node)
    assert "6 trials" in reason
    assert chaos.removed == 2
    trials = read_study(StudyFolder(tmp_path / "s")).trials
    assert [t.number for t in trials] == list(range(6))
    assert {t.state for t in trials} <= {"complete", "pruned"}
    assert {v.key: v.seen for v in check_invariants(plan.folder) if v.standing != "holds"} == {}
    lost = [event for event in events if isinstance(event, Lost)]
    assert lost
    # Of a node that goes Ray may tell the worker's death before it calls the node dead.
    assert any(event.blameless for event in lost), lost
    assert max(Counter(e.trial for e in events if isinstance(e, Ended)).values()) == 1
