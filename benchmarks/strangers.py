"""Measures how often "none of these" lets strangers pass, on classes that no model has seen.

    python -m benchmarks.strangers --data PATH

In each group of classes, some are the candidates and others are unknown; the answers are those
of `hpsearch recognise --false-accept`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Characters, Dataset
from hpsearch.data.few_shot import Joined
from hpsearch.data.sealed import open_test_set
from hpsearch.intervals import around
from hpsearch.recognition.model import SHIPPED, Model, load_model
from hpsearch.recognition.rank import rank
from hpsearch.recognition.support import Support
from hpsearch.seeding import generator
from hpsearch.sources.find import find_dataset

QUERIES = 2
"""Images of each class that are asked."""
MOST_STRANGERS = 20


def unseen(model: Model, dataset: Dataset) -> Joined:
    """Return the classes that a model has not seen: of its own data the sealed part, else all."""
    test = open_test_set(dataset, "strangers", recorded=False).characters
    if model.description["dataset"]["fingerprint"] == dataset.fingerprint:
        return Joined.of([test])
    return Joined.of([dataset.background(), dataset.validation(), test])


def strangers(
    model: Model, joined: Joined, *, ways: int, shots: int, false_accept: float, sets: int
) -> dict[str, tuple[float, float]]:
    """Return by group the share of unknown queries accepted, and of known ones.

    Groups with fewer classes than `ways` and three more are left out.

    Args:
        model: Has a `rejection`.
        joined: Classes that the model was not trained on.
        ways: Candidates.
        shots: Support images of each.
        false_accept: The stated rate.
        sets: Support sets of each group.
    """
    held = joined.labels
    counts = np.bincount(held.character, minlength=len(held.names))
    found = {}
    for number, name in enumerate(held.alphabets):
        members = np.flatnonzero((held.alphabet_of == number) & (counts >= shots + QUERIES))
        if len(members) < ways + 3:
            continue
        rng = generator(0, "strangers", name, ways, shots)
        size = ways, shots
        both = [_ask(model, joined, members, size, false_accept, rng) for _ in range(sets)]
        found[name] = fmean(one for one, _ in both), fmean(one for _, one in both)
    return found


def _ask(
    model: Model,
    joined: Joined,
    members: NDArray[np.int64],
    size: tuple[int, int],
    false_accept: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return the shares of unknown and of known queries that one support set accepts."""
    ways, shots = size
    order = rng.permutation(members)[: ways + MOST_STRANGERS]
    rows = [_rows(joined.labels, one, shots + QUERIES, rng) for one in order.tolist()]
    support = Support(
        names=tuple(joined.labels.names[one] for one in order[:ways].tolist()),
        images=_images(joined, [row for part in rows[:ways] for row in part[:shots]]),
        class_of=np.repeat(np.arange(ways), shots),
    )
    asked = [row for part in rows for row in part[shots:]]
    queries = _images(joined, asked)
    ranking = rank(
        model.network, model.config.input_size, queries, support, rejection=model.rejection
    )
    assert model.rejection is not None
    assert ranking.setting is not None
    assert ranking.evidence is not None
    accepted = ranking.evidence > model.rejection.cut(ranking.setting, false_accept).evidence
    return float(accepted[ways * QUERIES :].mean()), float(accepted[: ways * QUERIES].mean())


def _rows(held: Characters, one: int, count: int, rng: np.random.Generator) -> list[int]:
    rows = np.flatnonzero(held.character == one)
    chosen: list[int] = rng.permutation(rows)[:count].tolist()
    return chosen


def _images(joined: Joined, rows: Sequence[int]) -> NDArray[np.uint8]:
    """Return the images of rows in any order, each row once."""
    ascending = np.sort(np.array(rows))
    return joined.images(ascending)[np.searchsorted(ascending, rows)]


def shares(found: dict[str, tuple[float, float]]) -> Iterator[tuple[float, tuple[float, float]]]:
    """Yield the mean shares of unknown and known queries with 95 % intervals over groups."""
    for values in zip(*found.values(), strict=True):
        mean = fmean(values)
        yield mean, around(mean, stdev(values) / len(values) ** 0.5)


def main() -> None:
    """Print the measured shares for several numbers of candidates and images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="own images in groups")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="a model folder")
    parser.add_argument("--false-accept", type=float, default=0.05)
    parser.add_argument("--sets", type=int, default=4, help="support sets of each group")
    given = parser.parse_args()
    dataset = find_dataset("folder", given.data, test=True)
    model = load_model(given.model)
    joined = unseen(model, dataset)
    for ways, shots in ((5, 1), (20, 1), (20, 3)):
        found = strangers(
            model, joined, ways=ways, shots=shots, false_accept=given.false_accept, sets=given.sets
        )
        words = [
            f"{100 * mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
            for mean, (low, high) in shares(found)
        ]
        sys.stdout.write(
            f"{ways} candidates of {shots}: {words[0]} of unknown images accepted, {words[1]} of "
            f"known ones; {len(found)} groups\n"
        )


if __name__ == "__main__":
    main()
