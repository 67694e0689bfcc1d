"""The benchmark of curves that stay at chance first."""

import numpy as np
import pytest

from benchmarks import plateaus
from benchmarks.plateaus import CHANCE, EPOCHS, KINDS, LOWEST, Planted, main, picks
from benchmarks.setups import setups

RANDOM = setups()["random-none"]


@pytest.mark.parametrize("kind", KINDS)
def test_curves_stay_at_chance_and_end_where_they_are_planted(kind):
    planted = Planted(kind, 3)
    best = planted.answer(planted.best, 0)
    assert planted.answer(planted.best, 0) == best != planted.answer(planted.best, 1)
    assert len(best.errors) == len(best.truth) == planted.epochs == EPOCHS
    assert np.abs(np.subtract(best.errors, best.truth)).max() < 0.1
    far = planted.answer({**planted.best, "c": 1.0}, 0)
    assert far.truth[-1] >= best.truth[-1] >= LOWEST
    if kind == "at once":
        assert best.truth[0] < 0.75
    else:
        assert best.truth[3] == CHANCE
    never = planted.answer({**planted.best, "b": 0.1}, 0)
    assert (min(never.truth) == CHANCE) == (kind == "some never")


def test_a_pick_is_better_after_more_of_the_budget():
    early, _, late = picks("all alike", RANDOM, 1000)
    assert LOWEST < late < early <= CHANCE
    assert picks("all alike", RANDOM, 1000) == picks("all alike", RANDOM, 1000)


def test_the_command_prints_a_row_for_each_kind_and_set_up(capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    main(["random-none", "--kinds", "at once", "by luck", "--seeds", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[:2] for line in lines[2:]] == [
        ["| at once", "random-none"], ["| by luck", "random-none"]
    ]  # fmt: skip
    with pytest.raises(SystemExit):
        main(["nobody"])
    assert "nobody: no such set-up" in capsys.readouterr().err
    assert plateaus.TRAININGS == 20
