"""Measure the surrogate on trials it was not fitted on: `python -m benchmarks.surrogate_check`.

Repeated configurations stay together in one fold, so none is predicted from its own repetition.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from benchmarks.surrogate import FEWEST, FIRST, SECOND, Family, Surrogate
from benchmarks.table import RecordedTrial, Table, read_space, read_table
from hpsearch.seeding import generator
from hpsearch.space.space import SearchSpace

FOLDS = 10
RESAMPLES = 1000


def check(
    table: Table, space: SearchSpace, folds: int = FOLDS, family: Family = FIRST
) -> dict[str, Any]:
    """Compare held-out trials with what a surrogate of the others says of them.

    Returns:
        rank_correlation of the objective, its ceiling (the correlation between two seeds of the
        same configurations), each with a 95 % interval, and the AUC of divergence where enough
        trials of both kinds are there.
    """
    predicted, divergence = held_out(table, space, folds, family)
    complete = [k for k, t in enumerate(table.trials) if t.complete]
    told = predicted[complete]
    observed = np.array([table.trials[k].best for k in complete])
    pairs = [(a.best, b.best) for a, b in table.repeated() if a.complete and b.complete]
    diverged = np.array([not t.complete for t in table.trials])
    report: dict[str, Any] = {
        "trials": len(table.trials),
        "diverged": int(diverged.sum()),
        "repeated": len(pairs),
        "rank_correlation": _correlation(told, observed),
    }
    if len(pairs) >= FEWEST:
        first, second = np.array(pairs).T
        report["ceiling"] = _correlation(first, second)
    if 2 * FEWEST <= diverged.sum() <= len(diverged) - 2 * FEWEST:  # each fold's rest has enough
        report["divergence_auc"] = round(auc(divergence, diverged), 4)
    return report


def held_out(
    table: Table, space: SearchSpace, folds: int, family: Family
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return objective and probability of divergence of each trial, from folds without it."""
    groups = _groups(table.trials)
    order = generator(0, "folds").permutation(max(groups) + 1)
    fold_of = np.array([order[g] % folds for g in groups])
    objective, divergence = np.zeros(len(groups)), np.zeros(len(groups))
    for fold in range(folds):
        inside = np.flatnonzero(fold_of == fold)
        if not inside.size:
            continue
        rest = Table(tuple(t for k, t in enumerate(table.trials) if fold_of[k] != fold))
        surrogate = Surrogate.fit(rest, space, family)
        params = [table.trials[k].params for k in inside]
        objective[inside] = surrogate.curves(params).min(axis=1)
        divergence[inside] = surrogate.divergence(params)
    return objective, divergence


def _groups(trials: Sequence[RecordedTrial]) -> list[int]:
    """Return the number of each trial's configuration; repetitions share theirs."""
    known: dict[tuple[Any, ...], int] = {}
    return [known.setdefault(tuple(t.params.values()), len(known)) for t in trials]


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> dict[str, float]:
    """Return Spearman's correlation with a bootstrap interval of 95 %."""
    rng = generator(0, "bootstrap")
    resampled = []
    for _ in range(RESAMPLES):
        rows = rng.integers(len(first), size=len(first))
        if np.ptp(first[rows]) and np.ptp(second[rows]):
            resampled.append(spearmanr(first[rows], second[rows]).statistic)
    low, high = np.quantile(resampled, [0.025, 0.975])
    value = spearmanr(first, second).statistic
    found = zip(("value", "low", "high"), (value, low, high), strict=True)
    return {key: round(float(number), 4) for key, number in found}


def auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the chance that a positive scores above a negative, ties counted half."""
    ranks = rankdata(scores)
    n, m = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, default=Path("benchmarks/tables/siamese35.csv.gz"))
    parser.add_argument("--space", default="benchmarks/tables/siamese35.space.yaml")
    parser.add_argument("--second", action="store_true", help="the surrogate of the second family")
    options = parser.parse_args()
    space, family = read_space(options.space), SECOND if options.second else FIRST
    for name, value in check(read_table(options.table, space), space, family=family).items():
        sys.stdout.write(f"{name}: {value}\n")


if __name__ == "__main__":
    main()
