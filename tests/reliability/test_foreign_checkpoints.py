"""A checkpoint that is whole but another trial's is set aside by name, and the trial goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hpsearch.maintenance.invariants import check_invariants
from hpsearch.paths import StudyFolder
from hpsearch.training.checkpoint import Checkpoint, load, save
from hpsearch.training.checkpoint_file import MAGIC, previous, set_aside_foreign
from tests.support.cases import ENQUEUED, Silent, search
from tests.support.fake_executor import FakeExecutor
from tests.support.trainings import tiny_config

CONFIG, SEED = tiny_config(drawers=2), 7
NEWER = MAGIC.replace(b"1", b"2") + b"what nobody here can read"


def written(path: Path, epoch: int = 1, **changes: object) -> bytes:
    """Write a checkpoint of CONFIG with SEED, or of what is changed."""
    state = {"config": CONFIG.plain(), "seed": SEED, "epoch": epoch, "curve": [], **changes}
    save(Checkpoint({"weights.x": torch.zeros(3)}, state), path)
    return path.read_bytes()


OTHER = CONFIG.with_parameters({"fc.width": 9}).plain()
FOREIGN: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "another configuration": (lambda p: written(p, config=OTHER), "is of another trial"),
    "another seed": (lambda p: written(p, seed=8), "is of another trial"),
    "a newer version": (
        lambda p: p.write_bytes(NEWER) and NEWER,
        "was written by a newer version",
    ),
    "a newer setting": (
        lambda p: written(p, config={**CONFIG.plain(), "warp": 1}),
        "has settings that this version of hpsearch does not know",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_OB4_a_foreign_checkpoint_is_set_aside_with_a_name(tmp_path: Path, name: str) -> None:
    write, reason = FOREIGN[name]
    path = tmp_path / "checkpoint"
    (tmp_path / "checkpoint.aside-1").write_bytes(b"of an earlier time")
    content = write(path)
    told = set_aside_foreign(path, CONFIG.plain(), SEED)
    assert told is not None
    assert told.startswith(f"{path} {reason}")
    assert told.endswith("and is kept as checkpoint.aside-2")
    assert (tmp_path / "checkpoint.aside-2").read_bytes() == content
    assert load(path) is None
    assert set_aside_foreign(path, CONFIG.plain(), SEED) is None


def test_OB4_the_trials_own_checkpoint_before_is_gone_on_from(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    written(path, epoch=1)
    written(path, seed=8)
    assert set_aside_foreign(path, CONFIG.plain(), SEED) is not None
    found = load(path)
    assert found is not None
    assert found.state["seed"] == SEED


@pytest.mark.parametrize("content", [b"", b"hpsearch", MAGIC, MAGIC + bytes(32) + b"\xff" * 99])
def test_a_damaged_checkpoint_is_left_to_who_loads_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(content)
    assert set_aside_foreign(path, CONFIG.plain(), SEED) is None
    assert path.read_bytes() == content


def test_a_trials_own_checkpoints_stay(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    written(path, epoch=1)
    written(path, epoch=2)
    older = {name: value for name, value in CONFIG.plain().items() if name != "convolution"}
    written(previous(path), config=older)
    assert set_aside_foreign(path, CONFIG.plain(), SEED) is None


def test_OB4_the_search_says_it_once_and_the_trial_is_spent_on_nothing(tmp_path: Path) -> None:
    output, settings = tmp_path / "study", {"enqueue": ENQUEUED[:2], "budget__trials": 2}
    with pytest.raises(KeyboardInterrupt):
        search(output, FakeExecutor(die_after_epochs=2), **settings)
    path = StudyFolder(output).trial(0).checkpoint
    path.write_bytes(NEWER)
    observer = Silent()
    view = search(output, observer=observer, **settings)
    assert [trial.state for trial in view.trials] == ["complete"] * 2
    told = [text for text in observer.messages if "checkpoint is" in text or "aside" in text]
    assert told == [
        f"trial 0: {path} was written by a newer version of hpsearch and is kept as "
        "checkpoint.aside-1; the trial starts again"
    ]
    assert path.with_name("checkpoint.aside-1").read_bytes() == NEWER
    assert {v.standing for v in check_invariants(view.folder)} == {"holds"}
