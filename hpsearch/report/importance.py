"""The share of the errors' variance that each parameter explains, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.report.figure import DOTTED, INTERVAL, Figure, axis, packed, shown, whiskers
from hpsearch.report.surrogate import Array, thin
from hpsearch.wording import count

FORESTS = 40
"""Bootstrap samples; each gets its own forest."""
TREES = 8
SHUFFLES = 20
SHUFFLED_TREES = 64
MOST_TRIALS = 600
LEAST_TRIALS = 8
SHOWN = 8
"""Parameters of the first figure."""


@dataclass(frozen=True, eq=False)
class Importances:
    """Shares of the explained variance, D free parameters.

    Args:
        names: D parameters, the most important first.
        mean: [D], they add up to 1.
        low: [D], 2.5 % of the bootstrap samples lie below.
        high: [D], 2.5 % lie above.
        chance: The 95 % quantile of the largest share on shuffled errors; less is no finding.
        trials: Number of trials that the forests were fitted to.
    """

    names: tuple[str, ...]
    mean: Array
    low: Array
    high: Array
    chance: float
    trials: int

    @property
    def found(self) -> tuple[str, ...]:
        """The parameters whose importance exceeds `chance`."""
        return tuple(n for n, m in zip(self.names, self.mean, strict=True) if m > self.chance)


def importances(
    points: Array, errors: Array, names: tuple[str, ...], seed: int
) -> Importances | None:
    """Grow extremely randomised trees on bootstrap samples of the trials.

    A parameter's share is the decrease of the squared error by its splits. Trees split on noise
    too, so forests on shuffled errors measure what chance alone reaches.

    Args:
        points: [N, D] in the unit cube.
        errors: [N].
        names: D parameters.
        seed: Seed of samples and trees.

    Returns:
        None with fewer than 8 trials, or if all errors are equal.

    Reference:
        Geurts et al. (2006), "Extremely randomized trees"; Efron (1979) for the bootstrap.
    """
    if len(errors) < LEAST_TRIALS or not names or np.ptp(errors) == 0:
        return None
    kept = thin(errors, MOST_TRIALS, seed)
    x, y = points[kept], errors[kept]
    rng = np.random.default_rng(seed)
    samples = [rng.integers(len(y), size=len(y)) for _ in range(FORESTS)]
    shares = np.array([_shares(x[s], y[s], seed + k, TREES) for k, s in enumerate(samples)])
    shuffled = [_shares(x, rng.permutation(y), seed + k, SHUFFLED_TREES) for k in range(SHUFFLES)]
    mean = shares.mean(axis=0)
    order = np.argsort(-mean, kind="stable")
    low, high = np.quantile(shares, [0.025, 0.975], axis=0)
    return Importances(
        names=tuple(names[k] for k in order),
        mean=mean[order],
        low=np.minimum(low, mean)[order],
        high=np.maximum(high, mean)[order],
        chance=float(np.quantile(np.max(shuffled, axis=1), 0.95)),
        trials=len(y),
    )


def _shares(x: Array, y: Array, seed: int, trees: int) -> Array:
    from sklearn.ensemble import ExtraTreesRegressor

    settings = {"min_samples_leaf": 3, "max_features": 1.0, "n_jobs": 1}
    forest = ExtraTreesRegressor(trees, random_state=seed, **settings)
    return np.asarray(forest.fit(x, y).feature_importances_, np.float64)


def draw_importances(found: Importances) -> list[Figure]:
    """Draw a bar with its interval for each parameter, and the level that chance reaches.

    Returns:
        A figure of the largest, and one of the rest if there are more.
    """
    parts = (
        ("importances", "Importance of each parameter", slice(0, SHOWN)),
        ("importances-rest", "Importance of the other parameters", slice(SHOWN, None)),
    )
    return [_bars(found, part, key, title) for key, title, part in parts if found.names[part]]


def _bars(found: Importances, part: slice, key: str, title: str) -> Figure:
    mean, low, high = found.mean[part], found.low[part], found.high[part]
    colours = ["var(--accent)" if m > found.chance else "var(--pruned)" for m in mean]
    bar: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "x": packed(mean),
        "y": [shown(name) for name in found.names[part]],
        "marker": {"color": colours},
        "error_x": whiskers(mean, low, high, "var(--soft)", thickness=1.2, width=3),
        "customdata": np.column_stack([low, high]).tolist(),
        "hovertemplate": f"%{{y}}: %{{x:.1%}} {INTERVAL}<extra></extra>",
    }
    most = 1.05 * max(float(found.high.max()), found.chance)
    ends = {"x0": found.chance, "x1": found.chance, "y0": 0, "y1": 1, "yref": "paper"}
    layout = {
        "xaxis": axis("share of the explained variance", tickformat=".0%", range=[0, most]),
        "yaxis": {"autorange": "reversed", "ticksuffix": " "},
        "bargap": 0.35,
        "shapes": [{"type": "line", "xref": "x", **ends, "line": DOTTED}],
    }
    note = (
        f"From {count(found.trials, 'scored trial')}, with 95 % bootstrap intervals. The dotted "
        "line is the importance that a parameter without any effect reaches by chance."
    )
    return Figure(key, title, [bar], layout, 90 + 22 * len(mean), note)


def standing_out(found: Importances) -> str:
    """Return a sentence that names the parameters whose importance exceeds chance."""
    total = len(found.names)
    if not found.found:
        return (
            f"No parameter stands out: none of the {total} explains more of these "
            f"{count(found.trials, 'trial')} than a parameter without any effect would by chance. "
            "The order below is random."
        )
    verb = "stands" if len(found.found) == 1 else "stand"
    names = ", ".join(found.found)
    return f"{len(found.found)} of {total} parameters {verb} out from chance: {names}."
