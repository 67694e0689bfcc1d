"""How many trials share a card, on machines whose cards are made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hpsearch.app import card_share, executors
from hpsearch.app.card_share import CONTEXT_GB, largest_trial_gb, too_full, trials_a_card
from hpsearch.app.executors import find_workplace
from hpsearch.execution.devices import Devices
from hpsearch.study.plan import StudyPlan, plan_study

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return what makes a machine of cards by their gigabytes, and cores."""

    def make(*gigabytes: float, cores: int = 64) -> None:
        told = {"memory": [int(size * 1e9) for size in gigabytes]}
        found = Devices(tuple(map(str, range(len(gigabytes)))), torch=told)
        monkeypatch.setattr(card_share, "find_devices", lambda: found)
        monkeypatch.setattr(card_share, "count_cores", lambda: cores)
        monkeypatch.setattr(executors, "choose_device", lambda _: "cuda")
        monkeypatch.setattr(executors, "default_workers", lambda _: len(gigabytes))

    return make


def planned(folder: Path, study: str = "modern", **changes: object) -> StudyPlan:
    return plan_study(study, folder / "study", changes)


def test_the_largest_trial_is_the_spaces_or_the_limits(tmp_path: Path) -> None:
    open_ended = largest_trial_gb(planned(tmp_path, limits={}))
    assert 1.0 < open_ended < 2.0
    limited = largest_trial_gb(planned(tmp_path, limits={"memory_gb": 0.3}))
    assert limited == pytest.approx(0.3 + CONTEXT_GB)


@pytest.mark.parametrize(
    ("study", "gigabytes", "cores", "trials"),
    [
        ("modern", [80], 64, 4),
        ("modern", [80, 4], 64, 2),  # the smaller card counts
        ("modern", [1], 64, 1),
        ("modern", [80, 80], 5, 2),  # each trial needs a core
        ("koch2015", [80], 64, 1),  # its steps fill a card
        ("modern", [], 64, 1),  # torch did not say
    ],
)
def test_as_many_trials_share_a_card_as_fit(
    machine: Machine,
    tmp_path: Path,
    study: str,
    gigabytes: list[float],
    cores: int,
    trials: int,
) -> None:
    machine(*gigabytes, cores=cores)
    assert trials_a_card(planned(tmp_path, study), max(1, len(gigabytes))) == trials


@pytest.mark.parametrize(
    ("changes", "slots"),
    [({}, 8), ({"resources.gpu": 0.5}, 4), ({"resources.gpu": 1}, 2), ({"workers": 3}, 3)],
    ids=str,
)
def test_what_the_study_sets_counts_more(
    machine: Machine, tmp_path: Path, changes: dict[str, object], slots: int
) -> None:
    machine(80, 80)
    place = find_workplace(planned(tmp_path, **changes))
    assert (place.slots, place.device, place.notices) == (slots, "cuda", ())


def test_a_card_that_may_be_too_small_is_told(machine: Machine, tmp_path: Path) -> None:
    machine(24)
    plan = planned(tmp_path, "koch2015", workers=2)
    (told,) = find_workplace(plan).notices
    assert told.startswith("2 trials on a card of 24 GB, the largest of about 16.7 GB: they may ")
    assert "limits.memory_gb to 10.1 or less" in told
    fits = planned(tmp_path, "koch2015", workers=2, limits={"memory_gb": 10})
    assert too_full(fits, 1, 2) == []
    assert too_full(plan, 2, 2) == []  # one on each card
