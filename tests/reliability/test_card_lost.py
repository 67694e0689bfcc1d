"""F20: a card of two, each shared by four trials, fails or hangs; a search goes on without it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpsearch.errors import EnvironmentFailure
from hpsearch.execution import local
from hpsearch.execution.local import LocalExecutor
from hpsearch.paths import StudyFolder
from hpsearch.storage.view import read_study
from tests.support import fake_worker
from tests.support.cases import ENQUEUED, Silent, search

See = Callable[[object], None]


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[LocalExecutor]]:
    """Return the executors made, all closed in the end."""
    made: list[LocalExecutor] = []
    monkeypatch.setattr(local, "device_names", lambda: ("5", "7"))
    yield made
    for executor in made:
        executor.close()


def on_cards(made: list[LocalExecutor], behaviour: str, slots: int) -> LocalExecutor:
    command = (sys.executable, str(fake_worker.__file__), behaviour)
    made.append(LocalExecutor(slots, "cuda", threads=1, command=command))
    return made[-1]


@pytest.mark.parametrize("behaviour", ["dead 5", "hangs 5"])
def test_F20_a_search_goes_on_without_a_card(
    tmp_path: Path, cards: list[LocalExecutor], behaviour: str, see: See
) -> None:
    """the budget ends, no trial is lost, the card is named"""
    executor, observer = on_cards(cards, behaviour, 8), Silent()
    view = search(
        tmp_path / "s", executor, observer=observer, enqueue=ENQUEUED[:30], budget__trials=30
    )
    assert [trial.state for trial in view.trials] == ["complete"] * 30
    said = [line for line in observer.messages if "set aside" in line]
    assert len(said) == 1
    assert "device 5 failed 2 times and is set aside" in said[0]
    assert executor.slots == 4
    assert not any(view.folder.trial(n).attempts.exists() for n in range(30))
    see(said[0])


def test_F20_with_the_only_card_dead_the_search_ends_and_goes_on_later(
    tmp_path: Path, cards: list[LocalExecutor], see: See
) -> None:
    """exit 3 names the card; the same command goes on"""
    with pytest.raises(EnvironmentFailure, match="no device is left") as caught:
        search(
            tmp_path / "s", on_cards(cards, "dead 5", 1), enqueue=ENQUEUED[:2], budget__trials=2
        )
    assert caught.value.exit_code == 3
    states = [trial.state for trial in read_study(StudyFolder(tmp_path / "s")).trials]
    assert set(states) == {"running"}
    again = search(
        tmp_path / "s", on_cards(cards, "dead 7", 1), enqueue=ENQUEUED[:2], budget__trials=2
    )
    assert [trial.state for trial in again.trials] == ["complete"] * 2
    see(str(caught.value))
