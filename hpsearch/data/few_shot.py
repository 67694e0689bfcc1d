"""Few-shot runs on any data: some classes, support images of each, and a query of each.

They are drawn like Lake's runs (Lake et al. 2011), from one group of classes or from all. Must not
know networks.

Letters: W ways, K shots, Q queries of a run (at most W), T tasks, N images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Characters
from hpsearch.data.tasks import OneShotTasks
from hpsearch.errors import InputError
from hpsearch.seeding import generator

Rows = NDArray[np.int64]
Within = Literal["group", "any"]
"""Whether the classes of a run are of one group, or of any."""
SEED = 0
"""Fixed: two models are scored on the same tasks."""
NAMED = 3
"""Classes and groups that are named where some are left out."""


@dataclass(frozen=True, eq=False)
class FewShotRun:
    """The tasks that share one set of support images."""

    query: Rows
    """[Q] image rows, each of another class."""
    support: Rows
    """[W, K] image rows, a class in each row; none of them is a query."""
    target: Rows
    """[Q] the row of `support` that holds the query's class."""
    groups: tuple[str, ...]
    """[Q] the group of each query."""

    @property
    def rows(self) -> Rows:
        """All image rows of the run."""
        return np.concatenate([self.query, self.support.ravel()])


@dataclass(frozen=True, eq=False)
class FewShotTasks:
    """Runs of W ways and K shots; every query of a run is one task."""

    runs: tuple[FewShotRun, ...]
    classes: int
    """The number of classes that the runs are drawn from."""
    groups: int
    """The number of their groups."""
    left_out: tuple[str, ...] = ()
    """Which classes can be in no run, and why, in lines."""

    @property
    def ways(self) -> int:
        """The number of candidates W; chance is 1 / W."""
        return len(self.runs[0].support)

    @property
    def shots(self) -> int:
        """The number of support images K of each class."""
        return int(self.runs[0].support.shape[1])

    def one_by_one(self) -> OneShotTasks:
        """Return T runs of a single query, each candidate by its first support image."""
        counts = [len(run.query) for run in self.runs]
        support = np.stack([run.support[:, 0] for run in self.runs])  # [R, W]
        return OneShotTasks(
            query=np.concatenate([run.query for run in self.runs])[:, None],
            support=np.repeat(support, counts, axis=0),
            target=np.concatenate([run.target for run in self.runs])[:, None],
            alphabet=tuple(name for run in self.runs for name in run.groups),
        )


def as_few_shot(tasks: OneShotTasks, characters: Characters) -> FewShotTasks:
    """Return one-shot runs on some characters as few-shot runs of one shot."""
    parts = zip(tasks.query, tasks.support, tasks.target, tasks.alphabet, strict=True)
    runs = tuple(
        FewShotRun(query, support[:, None], target, (name,) * len(query))
        for query, support, target, name in parts
    )
    return FewShotTasks(runs, len(characters.names), len(characters.alphabets))


@dataclass(frozen=True, eq=False)
class Joined:
    """The classes of several roles as one, without the images that they hold twice."""

    labels: Characters
    """Labels only: its images are [N, 0, 0]; `images` returns them."""
    _roles: tuple[Characters, ...]
    _kept: Rows
    """[N] where the images lie; rows count on from role to role."""

    @classmethod
    def of(cls, roles: Sequence[Characters]) -> Joined:
        """Join roles. A class that is in two of them becomes one class.

        Classes and groups are ordered by name, so that tasks do not depend on the split.

        With unknown drawers (own images), equal images of a class count once: a role may show
        images of another one, and a query must not be its own support image.
        """
        several, people = len(roles) > 1, all(role.people for role in roles)
        names = sorted({name for role in roles for name in role.names})
        group_of: dict[str, str] = {}
        for role in roles:
            for name, group in zip(role.names, role.alphabet_of.tolist(), strict=True):
                whole = role.alphabets[group]
                group_of[name] = _own_group(name, whole) if several else whole
        groups = sorted(set(group_of.values()))
        place = {name: number for number, name in enumerate(names)}
        character = np.concatenate(
            [np.array([place[n] for n in role.names], np.int64)[role.character] for role in roles]
        )
        drawer, kept = np.concatenate([role.drawer for role in roles]), np.arange(len(character))
        if not people:
            images = (image for role in roles for image in role.images)
            marks = [hashlib.sha256(image.tobytes()).digest() for image in images]
            first: dict[tuple[int, bytes], int] = {}
            for row, key in enumerate(zip(character.tolist(), marks, strict=True)):
                first.setdefault(key, row)
            kept = np.array(list(first.values()), np.int64)
            drawer[kept] = _rank_in_class(character[kept])
        labels = Characters(
            images=np.empty((len(kept), 0, 0), np.uint8),
            character=character[kept],
            drawer=drawer[kept],
            alphabet_of=np.array([groups.index(group_of[name]) for name in names], np.int64),
            names=tuple(names),
            alphabets=tuple(groups),
            people=people,
        )
        return cls(labels, tuple(roles), kept)

    def images(self, rows: Rows) -> NDArray[np.uint8]:
        """Return the images [M, S, S] of ascending rows."""
        places = self._kept[rows]
        ends = np.cumsum([len(role.character) for role in self._roles])
        parts = np.split(places, np.searchsorted(places, ends[:-1]))
        starts = [0, *ends[:-1].tolist()]
        found = zip(self._roles, parts, starts, strict=True)
        return np.concatenate([role.images[part - start] for role, part, start in found])


def _own_group(name: str, group: str) -> str:
    """Return the group of a class "GROUP/CLASS"; a role may have joined small groups."""
    return group if name.startswith(f"{group}/") else name.split("/")[0]


def _rank_in_class(character: Rows) -> Rows:
    """Return each image's rank among those of its class."""
    order = np.argsort(character, kind="stable")
    counts = np.bincount(character)
    rank = np.empty(len(character), np.int64)
    rank[order] = np.arange(len(character)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank


def draw_tasks(
    characters: Characters, *, ways: int, shots: int, n_tasks: int, within: Within | None
) -> FewShotTasks:
    """Draw runs by a fixed seed, from every group equally often.

    A run asks for each of its classes once; the last runs ask for fewer if T is no multiple of W.
    If drawers are known, one drawer drew all queries of a run, and other ones the support images.

    Args:
        characters: The labels of the classes to draw from.
        ways: Classes of a run, at least 2.
        shots: Support images of a class, at least 1.
        n_tasks: T, at least 1.
        within: "group" draws the classes of a run from one group, "any" from all classes; None
            is "any" where no group has W classes.

    Raises:
        InputError: No group has enough classes with one image more than `shots`.
    """
    pools = _Pools(characters, ways, shots)
    small = within is None and not pools.of_groups()
    within = "any" if small else within or "group"
    kept, left_out = pools.kept(within)
    if small:
        left_out = (f"no group has {ways} classes, so candidates are of any group", *left_out)
    rng = generator(SEED, "few-shot tasks", ways, shots, within)
    n_runs = -(-n_tasks // ways)
    base, more = divmod(n_tasks, n_runs)
    turn = rng.permutation(len(kept)).tolist()
    runs = [
        pools.run(kept[turn[run % len(turn)]], base + (run < more), rng) for run in range(n_runs)
    ]
    order = sorted(range(n_runs), key=lambda run: turn[run % len(turn)])  # a group's runs together
    classes = np.unique(np.concatenate([part for pool in kept for part in pool.values()]))
    groups = len(np.unique(characters.alphabet_of[classes]))
    return FewShotTasks(tuple(runs[run] for run in order), len(classes), groups, left_out)


_Pool = dict[int | None, Rows]
"""By the drawer of the queries, or None for any drawer: the classes of which a run may consist."""


class _Pools:
    """The classes of some data with enough images, and runs of them."""

    def __init__(self, characters: Characters, ways: int, shots: int) -> None:
        self._characters, self._ways, self._shots = characters, ways, shots
        order = np.argsort(characters.character, kind="stable")
        counts = np.bincount(characters.character, minlength=len(characters.names))
        self._rows = np.split(order, np.cumsum(counts)[:-1])
        self._enough = counts > shots  # [C]

    def of_groups(self) -> list[_Pool]:
        """Return the pools of single groups that allow a run."""
        pools = (self._pool(members) for members in self._by_group().values())
        return [pool for pool in pools if pool]

    def _by_group(self) -> dict[str, Rows]:
        """Return the classes of each group that have enough images."""
        of = self._characters.alphabet_of
        return {n: np.flatnonzero(self._enough & (of == g)) for g, n in enumerate(self._groups)}

    def kept(self, within: Within) -> tuple[list[_Pool], tuple[str, ...]]:
        """Return the pools that allow a run, and what is left out."""
        every = np.flatnonzero(self._enough)
        parts = self._by_group() if within == "group" else {"all groups": every}
        pools = {name: self._pool(members) for name, members in parts.items()}
        kept = {name: pool for name, pool in pools.items() if pool}
        if not kept:
            raise InputError(self._too_few(parts, within))
        few = np.array(self._characters.names, object)[~self._enough].tolist()
        small = [name for name in parts if name not in kept]
        reasons = (
            (few, "classes", f"fewer than {self._shots + 1} pictures each"),
            (small, "groups", f"fewer than {self._ways} classes each"),
        )
        lines = [
            f"{len(names)} {what} left out, {why} ({', '.join(sorted(names)[:NAMED])}"
            f"{', ...' if len(names) > NAMED else ''})"
            for names, what, why in reasons
            if names
        ]
        return list(kept.values()), tuple(lines)

    @property
    def _groups(self) -> tuple[str, ...]:
        return self._characters.alphabets

    def _too_few(self, parts: dict[str, Rows], within: Within) -> str:
        name, members = max(parts.items(), key=lambda item: len(item[1]))
        where = "the data have" if within == "any" else f"the largest group, {name}, has"
        advice = "give fewer ways or shots"
        if within == "group" and len(parts) > 1:
            advice += ", or --within any"
        return (
            f"--ways {self._ways} --shots {self._shots}: {where} {len(members)} classes of "
            f"{self._shots + 1} pictures or more; {advice}"
        )

    def _pool(self, members: Rows) -> _Pool:
        """Return the ways to choose classes among some; none if they are too few."""
        if not self._characters.people:
            return {None: members} if len(members) >= self._ways else {}
        by: dict[int, list[int]] = {}
        for one in members.tolist():
            for drawer in set(self._characters.drawer[self._rows[one]].tolist()):
                by.setdefault(drawer, []).append(one)
        return {d: np.array(by[d], np.int64) for d in sorted(by) if len(by[d]) >= self._ways}

    def run(self, pool: _Pool, n_queries: int, rng: np.random.Generator) -> FewShotRun:
        """Draw a run of a pool's classes."""
        drawer = list(pool)[int(rng.integers(len(pool)))]
        chosen = rng.permutation(pool[drawer])[: self._ways].tolist()
        drawn = np.stack([self._pictures(one, drawer, rng) for one in chosen])  # [W, 1 + K]
        shuffled = rng.permutation(self._ways)
        groups = (self._groups[self._characters.alphabet_of[one]] for one in chosen[:n_queries])
        return FewShotRun(
            query=drawn[:n_queries, 0],
            support=drawn[shuffled, 1:],
            target=np.argsort(shuffled)[:n_queries],
            groups=tuple(groups),
        )

    def _pictures(self, one: int, drawer: int | None, rng: np.random.Generator) -> Rows:
        """Return a query, by the drawer if one is given, and support images of a class."""
        rows = rng.permutation(self._rows[one])
        if drawer is not None:
            rows = rows[np.argsort(self._characters.drawer[rows] != drawer, kind="stable")]
        return np.asarray(rows[: 1 + self._shots])
