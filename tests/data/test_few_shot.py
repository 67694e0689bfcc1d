"""Few-shot runs on any data: whom they ask for, by whose pictures, and what is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpsearch.data.dataset import Characters
from hpsearch.data.few_shot import FewShotTasks, Joined, Within, draw_tasks
from hpsearch.errors import InputError


def role(groups: dict[str, list[int]], *, people: bool = False) -> Characters:
    """Return the labels of groups of classes, each with a number of pictures."""
    counts = [count for group in groups.values() for count in group]
    names = [f"{g}/{n}" for g, group in groups.items() for n in range(len(group))]
    return Characters(
        images=np.empty((sum(counts), 0, 0), np.uint8),
        character=np.repeat(np.arange(len(counts)), counts),
        drawer=np.concatenate([np.arange(count) for count in counts]),
        alphabet_of=np.repeat(np.arange(len(groups)), [len(group) for group in groups.values()]),
        names=tuple(names),
        alphabets=tuple(groups),
        people=people,
    )


def shown(tasks: FewShotTasks) -> list[list[object]]:
    return [[run.query.tolist(), run.support.tolist(), run.target.tolist()] for run in tasks.runs]


@pytest.mark.parametrize("people", [False, True])
@pytest.mark.parametrize("within", ["group", "any"])
def test_a_query_is_another_picture_of_the_targets_class(within: Within, people: bool) -> None:
    labels = role({"A": [4] * 7, "B": [5] * 6, "C": [4] * 9}, people=people)
    drawn = {"ways": 5, "shots": 3, "n_tasks": 93, "within": within}
    tasks = draw_tasks(labels, **drawn)
    group_of = labels.alphabet_of[labels.character]
    mixed = 0
    for run in tasks.runs:
        assert run.support.shape == (5, 3)
        assert len(np.unique(run.rows)) == len(run.rows)
        of = labels.character[run.support]
        assert (of == of[:, :1]).all()
        assert len(np.unique(of[:, 0])) == 5
        np.testing.assert_array_equal(of[run.target, 0], labels.character[run.query])
        assert [labels.alphabets[g] for g in group_of[run.query]] == list(run.groups)
        mixed += len(np.unique(group_of[run.support])) > 1
        if people:
            (drawer,) = set(labels.drawer[run.query].tolist())
            assert drawer not in labels.drawer[run.support]
    assert sum(len(run.query) for run in tasks.runs) == 93 == tasks.one_by_one().n_tasks
    assert bool(mixed) == (within == "any")
    targets = np.concatenate([run.target for run in tasks.runs])
    assert np.bincount(targets, minlength=5).min() > 8  # no place is preferred
    assert shown(tasks) == shown(draw_tasks(labels, **drawn))
    if within == "group":
        per_group = np.bincount([labels.alphabets.index(run.groups[0]) for run in tasks.runs])
        assert per_group.max() - per_group.min() <= 1


def test_what_is_too_small_is_left_out_and_said() -> None:
    labels = role({"A": [3] * 6, "B": [3] * 4, "C": [1, 2, 2, *[3] * 5]})
    tasks = draw_tasks(labels, ways=5, shots=2, n_tasks=200, within="group")
    assert {name for run in tasks.runs for name in run.groups} == {"A", "C"}
    assert (tasks.classes, tasks.groups) == (6 + 5, 2)
    assert tasks.left_out == (
        "3 classes left out, fewer than 3 pictures each (C/0, C/1, C/2)",
        "1 groups left out, fewer than 5 classes each (B)",
    )
    every = draw_tasks(labels, ways=5, shots=2, n_tasks=200, within="any")
    assert (every.classes, every.groups) == (6 + 4 + 5, 3)
    small = draw_tasks(labels, ways=8, shots=2, n_tasks=9, within=None)
    assert small.left_out[0] == "no group has 8 classes, so candidates are of any group"
    large = draw_tasks(labels, ways=5, shots=2, n_tasks=200, within=None)
    assert (shown(large), large.left_out) == (shown(tasks), tasks.left_out)
    with pytest.raises(InputError, match=r"--ways 7 --shots 2.*A, has 6 classes.*--within any"):
        draw_tasks(labels, ways=7, shots=2, n_tasks=10, within="group")
    with pytest.raises(InputError, match=r"--ways 2 --shots 3.*have 0 classes of 4 pictures"):
        draw_tasks(labels, ways=2, shots=3, n_tasks=10, within="any")


def test_roles_are_joined_and_an_image_in_two_of_them_counts_once() -> None:
    """A role may show a class's images of another role, and may have joined its small groups."""
    first = role({"A": [2, 2], "B": [3]})
    second = role({"B": [3], "C": [2]})
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (7, 4, 4), np.uint8)
    other = np.concatenate([images[[5, 6]], rng.integers(0, 256, (3, 4, 4), np.uint8)])
    mixed = replace(second, alphabets=("B+C",), alphabet_of=np.zeros(2, np.int64))
    joined = Joined.of([replace(first, images=images), replace(mixed, images=other)])
    labels = joined.labels
    assert labels.names == ("A/0", "A/1", "B/0", "C/0")
    assert [labels.alphabets[group] for group in labels.alphabet_of] == ["A", "A", "B", "C"]
    assert [int((labels.character == n).sum()) for n in range(4)] == [2, 2, 4, 2]
    assert labels.index().shape == (4, 4)
    everything = np.concatenate([images, other])
    rows = np.array([0, 4, 6, 7, 9])
    np.testing.assert_array_equal(joined.images(rows), everything[[0, 4, 6, 9, 11]])
    turned = Joined.of([replace(mixed, images=other), replace(first, images=images)]).labels
    assert (turned.names, turned.alphabets) == (labels.names, labels.alphabets)
    alone = Joined.of([replace(mixed, images=other)])
    assert alone.labels.alphabets == ("B+C",)
    people = Joined.of([replace(first, images=images * 0, people=True)])
    assert len(people.labels.character) == 7
    np.testing.assert_array_equal(people.labels.drawer, first.drawer)
