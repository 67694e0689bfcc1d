"""Divide own images into background, validation and test: by group, by class or by picture.

Works on numbers of pictures. Must not know images or files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpsearch.errors import InputError
from hpsearch.pictures.looks import counted
from hpsearch.seeding import generator

ROLES = ("background", "validation", "test")
SHARE = 0.2
"""Part of the classes, or of a class's pictures, in validation; the same in test."""
FEW_CLASSES = 15
"""Fewer classes are split by picture."""
LEAST_HELD = 5
"""Classes in validation and in test, at least."""
MANY_CLASSES = 60
LEAST_SEALED = 20
"""Classes in test, at least, where there are `MANY_CLASSES`."""
MOST_HELD = 300
"""Classes in validation and in test, at most; the others are trained on."""
MOST_HELD_PICTURES = 200
"""Pictures of a class that the program holds out for validation and for test, at most."""
MAX_WAYS = 20
_TRIES = 300
"""Random choices of groups, of which the best is taken."""
_SEED = 0
"""Fixed: the split belongs to the data set, not to a study."""

Class = tuple[str, str]
"""Group and label."""
Classes = dict[Class, list[int]]
"""The pictures of each class, by number."""


@dataclass(frozen=True)
class Division:
    """Which pictures are for which role."""

    roles: tuple[Classes, Classes, Classes]
    """Background, validation and test."""
    how: str
    """For the description: "split by group"."""
    notices: tuple[str, ...] = ()

    def parts(self, count: int) -> list[int]:
        """Return the first role that holds each of so many pictures, -1 where none does."""
        held = [-1] * count
        for part, classes in reversed([*enumerate(self.roles)]):
            for number in (one for pictures in classes.values() for one in pictures):
                held[number] = part
        return held


def divide(
    classes: Classes, roles: Mapping[int, str], said: str = "", *, by_group: bool = True
) -> Division:
    """Divide the pictures of two classes or more.

    A split that the source names is kept. Else whole groups are held out where that leaves half of
    the classes to train on; else classes where there are 15; else pictures of every class.

    Args:
        classes: The pictures of each class; each has two.
        roles: The role of each picture, where the source says it; else empty.
        said: How the source names its roles.
        by_group: Whether whole groups may be held out.

    Raises:
        InputError: A role of the source has fewer than two classes with pictures to compare.
    """
    if roles:
        return _as_said(classes, roles, said)
    groups = _by_group(classes) if by_group else None
    if groups is not None:
        return Division(groups, "split by group")
    if len(classes) >= FEW_CLASSES:
        return Division(_by_class(classes, sealed=True), "split by class")
    return _by_picture(classes)


def group_names(role: Classes, title: str) -> dict[str, Classes]:
    """Return the classes of a role by group; one group if they are too small for tasks.

    Args:
        role: The classes.
        title: Name of the group of classes without one.
    """
    groups: dict[str, Classes] = {}
    for (group, label), pictures in sorted(role.items()):
        groups.setdefault(group or title, {})[group, label] = pictures
    least = min(len(role), LEAST_HELD)
    if all(len(one) >= least for one in groups.values()):
        return groups
    return {"+".join(groups) if len(groups) <= 3 else title: dict(sorted(role.items()))}


def held(count: int, *, sealed: bool = False) -> int:
    """Return the number of classes in validation, or in test (`sealed`)."""
    least = LEAST_SEALED if sealed and count >= MANY_CLASSES else LEAST_HELD
    return min(MOST_HELD, max(least, round(SHARE * count)))


def _by_group(classes: Classes) -> tuple[Classes, Classes, Classes] | None:
    """Hold out whole groups; None where that would leave too few classes to train on.

    Of many random choices the one with the most ways, and then the shares nearest to a fifth, is
    taken.
    """
    sizes: dict[str, int] = {}
    for group, _ in classes:
        sizes[group] = sizes.get(group, 0) + 1
    large = sorted(group for group, size in sizes.items() if size >= LEAST_HELD)
    if len(sizes) < 3 or len(large) < 2:
        return None
    count, wanted = len(classes), SHARE * len(classes)
    least = max(LEAST_HELD, round(0.75 * wanted))
    sealed = max(least, LEAST_SEALED if count >= MANY_CLASSES else 0)
    rng = generator(_SEED, "own groups")
    best: tuple[tuple[float, ...], set[str], set[str]] | None = None
    for _ in range(_TRIES):
        order = rng.permutation(large).tolist()
        test = _until(order, sizes, sealed)
        validation = _until(order[len(test) :], sizes, least)
        n_test, n_validation = (sum(sizes[g] for g in part) for part in (test, validation))
        short = n_test < sealed or n_validation < least
        if short or 2 * (n_test + n_validation) > count:
            continue
        ways = [min(MAX_WAYS, *(sizes[g] for g in part)) for part in (validation, test)]
        score = (*ways, -abs(n_test - wanted) - abs(n_validation - wanted))
        if best is None or score > best[0]:
            best = score, set(validation), set(test)
    if best is None:
        return None
    _, validating, testing = best
    return (
        {key: one for key, one in classes.items() if key[0] not in validating | testing},
        {key: one for key, one in classes.items() if key[0] in validating},
        {key: one for key, one in classes.items() if key[0] in testing},
    )


def _until(groups: Sequence[str], sizes: Mapping[str, int], least: int) -> list[str]:
    """Return the first groups that hold so many classes together."""
    taken: list[str] = []
    while len(taken) < len(groups) and sum(sizes[group] for group in taken) < least:
        taken.append(groups[len(taken)])
    return taken


def _by_class(classes: Classes, *, sealed: bool) -> tuple[Classes, Classes, Classes]:
    """Hold out classes for validation and, with `sealed`, for test."""
    keys = sorted(classes)
    order = generator(_SEED, "own classes").permutation(len(keys)).tolist()
    testing = held(len(keys), sealed=True) if sealed else 0
    validating = held(len(keys))
    parts = (
        order[testing + validating :],
        order[testing : testing + validating],
        order[:testing],
    )
    background, validation, test = (
        {keys[number]: classes[keys[number]] for number in sorted(part)} for part in parts
    )
    return background, validation, test


def _by_picture(classes: Classes) -> Division:
    """Hold out pictures of every class, a fifth each, at least one; two stay to train on.

    A class with one held picture is compared with one to train on. With fewer than four pictures a
    class has too few to hold out one for validation and one for test.
    """
    rng = generator(_SEED, "own pictures")
    background, validation, test = Classes(), Classes(), Classes()
    for key, pictures in sorted(classes.items()):
        order = [pictures[place] for place in rng.permutation(len(pictures)).tolist()]
        count = min(MOST_HELD_PICTURES, max(1, round(SHARE * len(order))))
        own = max(2, len(order) - 2 * count)
        background[key] = sorted(order[:own])
        validation[key] = sorted(order[own : own + count] or order[:2])
        test[key] = sorted(order[own + count :] or order[-2:])
    notices = counted(
        {
            "too few pictures to keep some apart for validation and test, so the accuracy on "
            "these classes is not one of new pictures: give four or more": [
                _name(key) for key, pictures in sorted(classes.items()) if len(pictures) < 4
            ]
        }
    )
    roles = background, _paired(validation, background, 0), _paired(test, background, -1)
    return Division(roles, "split by picture, every class in each part", tuple(notices))


def _paired(role: Classes, background: Classes, place: int) -> Classes:
    """Add a picture to train on to each class of which a role has only one."""
    return {
        key: sorted({*pictures, background[key][place]})
        if len(pictures) == 1 and key in background
        else pictures
        for key, pictures in role.items()
    }


def _as_said(classes: Classes, roles: Mapping[int, str], said: str) -> Division:
    """Keep the split that the source names; take a missing part from what is to train on."""
    given = {
        name: {
            key: kept
            for key, pictures in classes.items()
            if (kept := [number for number in pictures if roles[number] == name])
        }
        for name in ROLES
    }
    how = f"split as the {said} say" + ("s" if said.startswith("column") else "")
    shared = _shared([one for one in given.values() if one])
    few: dict[str, list[str]] = {}
    for name in [name for name in ROLES if not given[name]]:  # one of validation and test
        rest, part = _taken_from(given["background"], by_picture=bool(shared))
        given["background"], given[name] = rest, part
        how += f", {name} taken from the training part"
        few[
            f"too few pictures to keep some apart for {name}, so the accuracy on these classes is "
            "not one of new pictures: give three or more to train on"
        ] = [_name(key) for key in sorted(part) if rest.get(key) == part[key]]
    background = given["background"]
    validation = _paired(given["validation"], background, 0)
    test = _paired(given["test"], background, -1)
    whole = [
        {key: one for key, one in role.items() if len(one) >= 2}
        for role in (background, validation, test)
    ]
    left = {
        f"left out of {name}, classes with only one image there": [
            _name(key) for key in sorted(role) if key not in kept
        ]
        for name, role, kept in zip(ROLES, (background, validation, test), whole, strict=True)
    }
    for name, role in zip(ROLES, whole, strict=True):
        if len(role) < 2:
            raise InputError(
                f"{said}: {name}: {len(role)} classes with two images or more; put at least two "
                "there, or leave the split to the program"
            )
    return Division((whole[0], whole[1], whole[2]), how + shared, tuple(counted(left | few)))


def _shared(parts: Sequence[Classes]) -> str:
    """Return the words for classes that lie in several parts of a split; empty without any."""
    everywhere = set.intersection(*(set(one) for one in parts))
    several = {key for one in parts for key in one if sum(key in other for other in parts) > 1}
    if all(len(one) == len(everywhere) for one in parts):
        return ": the same classes in each"
    return f": {len(several)} classes in more than one" if several else ""


def _taken_from(background: Classes, *, by_picture: bool) -> tuple[Classes, Classes]:
    """Return what stays to train on, and a part held out of it."""
    if not by_picture and len(background) >= FEW_CLASSES:
        rest, part, _ = _by_class(background, sealed=False)
        return rest, part
    rng = generator(_SEED, "own pictures")
    rest, part = Classes(), Classes()
    for key, pictures in sorted(background.items()):
        order = [pictures[place] for place in rng.permutation(len(pictures)).tolist()]
        count = min(MOST_HELD_PICTURES, max(1, round(SHARE * len(order)))) if order[2:] else 0
        rest[key], part[key] = sorted(order[count:]), sorted(order[:count] or order)
    return rest, part


def _name(key: Class) -> str:
    group, label = key
    return f"{group}/{label}" if group else label


def count_of(role: Classes) -> int:
    """Return the number of pictures of a role."""
    return int(np.sum([len(pictures) for pictures in role.values()], dtype=np.int64))
