"""Search a model of scikit-learn and its parameters: which of two, and how.

    python examples/digits_sklearn.py [TRIALS]

The space is conditional: `c` and `gamma` belong to a support vector machine, `trees` and `depth`
to a forest.
"""

from __future__ import annotations

import sys

import hpsearch

SPACE = {
    "model": {"type": "categorical", "choices": ["svm", "forest"]},
    "c": {"type": "float", "low": 0.1, "high": 1000, "log": True, "when": {"model": "svm"}},
    "gamma": {"type": "float", "low": 1e-5, "high": 0.1, "log": True, "when": {"model": "svm"}},
    "trees": {"type": "int", "low": 10, "high": 200, "log": True, "when": {"model": "forest"}},
    "depth": {"type": "int", "low": 2, "high": 20, "when": {"model": "forest"}},
}


def accuracy(
    model: str, seed: int, c: float = 1, gamma: float = 1, trees: int = 1, depth: int = 1
) -> float:
    """Return the share of digits that a model names right, over three folds."""
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import cross_val_score
    from sklearn.svm import SVC

    images, labels = load_digits(return_X_y=True)
    if model == "svm":
        classifier = SVC(C=c, gamma=gamma)
    else:
        classifier = RandomForestClassifier(trees, max_depth=depth, random_state=seed)
    return float(cross_val_score(classifier, images, labels, cv=3).mean())


def main(trials: str = "20") -> None:
    """Search, and print the best model."""
    study = hpsearch.search(
        accuracy, SPACE, trials=int(trials), direction="maximize", measure="accuracy"
    )
    best = study.best
    if best is not None:
        print(f"best of {len(study.trials)}: {best.value:.4f} with {dict(best.params)}")


if __name__ == "__main__":  # trials load this file; they must not search
    main(*sys.argv[1:])
