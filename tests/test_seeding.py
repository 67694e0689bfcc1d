"""Seeds: the same for ever and everywhere, and another one for every purpose."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from hpsearch.seeding import derive_seed, generator

KNOWN = {
    (0,): 3456079177858693020,
    (0, "pairs"): 3453125101971305421,
    (0, "pairs", 3): 6391619691963984671,
    (2015, "glyphs", "test", 4): 1020673209339286931,
    (4294967295, "trial", 12): 2558889824385383498,
}
"""Changing one of these would change every study there is."""


@pytest.mark.parametrize(("arguments", "seed"), list(KNOWN.items()))
def test_seeds_are_those_of_every_release(arguments: tuple[int, ...], seed: int) -> None:
    assert derive_seed(*arguments) == seed


def test_a_seed_is_the_head_of_a_sha256() -> None:
    digest = hashlib.sha256(b"5\x1fstr:pairs\x1fint:3").hexdigest()
    assert derive_seed(5, "pairs", 3) == int(digest[:16], 16) // 2


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_seeds_do_not_depend_on_the_process(hash_seed: str) -> None:
    program = (
        "from hpsearch.seeding import derive_seed, generator\n"
        "print(derive_seed(0, 'pairs', 3), *generator(7, 'pairs').integers(1000, size=4))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["6391619691963984671", "445", "784", "974", "622"]


def test_purposes_do_not_share_a_seed() -> None:
    purposes: list[tuple[str | int, ...]] = [(), ("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",)]
    purposes += [("a", 1), ("a", "1"), ("a1",), ("a", 11), ("a", 1, 1), (1,), ("1",), (11,)]
    purposes += [("suggest", n, k) for n in range(40) for k in range(40)]
    seeds = {derive_seed(seed, *purpose) for seed in (0, 1, 11) for purpose in purposes}
    assert len(seeds) == 3 * len(purposes)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_are_spread_evenly() -> None:
    bits = np.array([[derive_seed(s, "x") >> b & 1 for b in range(63)] for s in range(2000)])
    assert np.abs(bits.mean(0) - 0.5).max() < 0.06  # five standard deviations


def test_generators_of_two_purposes_are_independent_and_each_repeats() -> None:
    first, again = (generator(3, "pairs").random(2000) for _ in range(2))
    other = generator(3, "weights").random(2000)
    assert (first == again).all()
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.12  # five standard deviations


def test_a_numpy_seed_gives_the_same_as_pythons() -> None:
    assert derive_seed(np.uint32(7), "pairs") == derive_seed(7, "pairs")  # type: ignore[arg-type]
