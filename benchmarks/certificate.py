"""How good certificates are on synthetic studies: `python -m benchmarks.certificate [STUDIES]`.

Fifty arms are searched once each, the lowest five measured again with three seeds. One arm is
truly better than the others, which are equal.
"""

from __future__ import annotations

import sys

import numpy as np

from hpsearch.confirm.shrinkage import predicted_optimism, shrink

ARMS, TOP, SEEDS = 50, 5, 3
TRUTH = 0.1
SEARCH_SD = 0.017
"""Of an error of 0.1 on 320 tasks."""
TRAINING_SD = 0.009
"""Of one training's error on all tasks of fresh drawers."""
PREDICTED = 200
"""Studies whose optimism is also predicted from the search's figures alone."""


def main() -> None:
    """Print one row for each size of the difference."""
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print("better  covers   error  lowest  optimism  measured  predicted")  # noqa: T201
    for better in (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05):
        covers, error, lowest, *optimism = summarise(better, studies)
        points = "".join(f"{100 * value:10.2f}" for value in optimism)
        print(f"{better:6.3f} {covers:7.1%} {error:+7.2f} {lowest:+7.2f}{points}")  # noqa: T201


def summarise(better: float, studies: int) -> list[float]:
    """Return means over studies: of the winner and of the search's best.

    Returns:
        Share of intervals that cover, error of the estimate in standard errors, error of the
        lowest plain mean in its own, then optimism of the search's best: true, measured,
        predicted.
    """
    rng = np.random.default_rng([7, round(better * 1e4)])
    rows = []
    for study in range(studies):
        truth = np.full(ARMS, TRUTH)
        if better:
            truth[rng.integers(ARMS)] -= better
        figures = truth + rng.normal(0, SEARCH_SD, ARMS)
        top = np.argsort(figures)[:TOP]
        again = truth[top, None] + rng.normal(0, TRAINING_SD, (TOP, SEEDS))
        found = shrink(again.tolist(), study)
        best, naive = found.best, int(again.mean(axis=1).argmin())
        low, high = found.interval(best)
        predicted = np.nan
        if study < PREDICTED:
            predicted = predicted_optimism(figures.tolist(), SEARCH_SD, study)
        rows.append(
            (
                low <= truth[top[best]] <= high,
                (found.mean[best] - truth[top[best]]) / found.sd[best],
                (again[naive].mean() - truth[top[naive]]) / (TRAINING_SD / np.sqrt(SEEDS)),
                truth[top[0]] - figures[top[0]],
                found.mean[0] - figures[top[0]],
                predicted,
            )
        )
    means: list[float] = np.nanmean(rows, axis=0).tolist()
    return means


if __name__ == "__main__":
    main()
