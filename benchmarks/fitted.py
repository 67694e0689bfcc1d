"""Fitted regressions, evaluated element by element: the same answers on every machine.

No BLAS and no LAPACK routine is called, because their rounding depends on the processor. Knows no
table and no scikit-learn: `benchmarks.regression` fits, `benchmarks.surrogate` keeps the result.
Letters: R rows to answer, T rows fitted on, C columns, N nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CHUNK = 512
"""Rows answered at once: what is held in memory is this times the rows fitted on, or the trees."""
LEAF = -1


class Fitted(Protocol):
    """Answers new rows, and can be stored."""

    def mean(self, inputs: Array) -> Array:
        """Return the expected value of each row, float64 [R]."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return what is stored of it."""
        ...


@dataclass(frozen=True)
class ProcessMean:
    """Posterior mean of a Gaussian process with a Matérn kernel of smoothness 5/2.

    Args:
        rows: Rows it was fitted on, float64 [T, C]; not stored, because the table holds them.
        lengths: One length scale, or one a column, in standard deviations of the column.
        weights: What each fitted row adds, times its covariance with the new one, float64 [T].
        mean: Mean of the fitted values.

    Reference:
        Rasmussen and Williams (2006), "Gaussian Processes for Machine Learning", equations 2.25
        and 4.17.
    """

    rows: Array
    lengths: tuple[float, ...]
    weights: Array
    mean_value: float

    def mean(self, inputs: Array) -> Array:
        """Return the posterior mean, float64 [R]."""
        centre, spread = self.rows.mean(axis=0), self.rows.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0) * np.array(self.lengths)
        known, asked = (self.rows - centre) / spread, (inputs - centre) / spread
        parts = [self._mean(known, asked[k : k + CHUNK]) for k in range(0, len(asked), CHUNK)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _mean(self, known: Array, asked: Array) -> Array:
        squares = np.zeros((len(asked), len(known)))  # [R, T]
        for column in range(known.shape[1]):
            squares += np.square(asked[:, column, None] - known[None, :, column])
        scaled = np.sqrt(5.0 * squares)
        covariance = (1.0 + scaled + scaled * scaled / 3.0) * np.exp(-scaled)
        answer: Array = (covariance * self.weights).sum(axis=1) + self.mean_value
        return answer

    def to_json(self) -> dict[str, Any]:
        """Return lengths, weights (twelve digits: large ones cancel) and mean."""
        return {
            "kind": "process",
            "lengths": _short(self.lengths, 9),
            "weights": _short(self.weights, 12),
            "mean": float(f"{self.mean_value:.9g}"),
        }


@dataclass(frozen=True)
class TreeSum:
    """Sum of decision trees plus a constant. A row goes left where column <= threshold.

    Nodes of all trees stand in one list, every tree in preorder: a left child follows its parent.

    Args:
        roots: First node of each tree.
        column: Column a node splits by; `LEAF` where it does not.
        threshold: Where it splits, or a leaf's value, float64 [N].
        right: Right child of a node; a leaf is its own, and its own left child too.
        constant: Added to the sum.
    """

    roots: NDArray[np.int64]
    column: NDArray[np.int64]
    threshold: Array
    right: NDArray[np.int64]
    constant: float

    @classmethod
    def of(cls, trees: Sequence[Mapping[str, Sequence[float]]], constant: float) -> TreeSum:
        """Build it from each tree's `columns` and `numbers` in preorder; the rest follows."""
        columns, numbers, rights, roots = [], [], [], []
        for tree in trees:
            first = len(columns)
            roots.append(first)
            columns += [int(c) for c in tree["columns"]]
            numbers += [float(n) for n in tree["numbers"]]
            rights += [first + place for place in _right_children(columns[first:])]
        return cls(
            np.array(roots, np.int64),
            np.array(columns, np.int64),
            np.array(numbers, np.float64),
            np.array(rights, np.int64),
            constant,
        )

    def mean(self, inputs: Array) -> Array:
        """Return the sum of the leaves each row ends in, float64 [R]."""
        # scikit-learn compares single precision columns with double precision thresholds.
        asked = inputs.astype(np.float32).astype(np.float64)
        parts = [self._mean(asked[k : k + CHUNK]) for k in range(0, len(asked), CHUNK)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _mean(self, asked: Array) -> Array:
        node = np.broadcast_to(self.roots, (len(asked), len(self.roots)))  # [R, trees]
        row = np.arange(len(asked))[:, None]
        while True:
            column = self.column[node]
            inner = column != LEAF
            if not inner.any():
                break
            left = asked[row, np.maximum(column, 0)] <= self.threshold[node]
            node = np.where(inner, np.where(left, node + 1, self.right[node]), node)
        answer: Array = self.threshold[node].sum(axis=1) + self.constant
        return answer

    def to_json(self) -> dict[str, Any]:
        """Return each tree's columns and numbers (seven digits) in preorder."""
        ends = [*self.roots[1:].tolist(), len(self.column)]
        trees = [
            {
                "columns": self.column[first:end].tolist(),
                "numbers": _short(self.threshold[first:end], 7),
            }
            for first, end in zip(self.roots.tolist(), ends, strict=True)
        ]
        return {"kind": "trees", "constant": float(f"{self.constant:.9g}"), "trees": trees}


@dataclass(frozen=True)
class NetworkMean:
    """Mean of small networks of one hidden layer of rectified units, as one wide network.

    H hidden units in all.

    Args:
        hidden: Weights of the hidden units, float64 [C, H].
        bias: Their biases, float64 [H].
        output: What each unit adds, float64 [H].
        constant: Added to the sum.
    """

    hidden: Array
    bias: Array
    output: Array
    constant: float

    def mean(self, inputs: Array) -> Array:
        """Return the networks' mean, float64 [R]."""
        parts = [self._mean(inputs[k : k + CHUNK]) for k in range(0, len(inputs), CHUNK)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _mean(self, asked: Array) -> Array:
        units = np.repeat(self.bias[None], len(asked), axis=0)  # [R, H]
        for column, weights in zip(asked.T, self.hidden, strict=True):
            units += column[:, None] * weights
        answer: Array = (np.maximum(units, 0.0) * self.output).sum(axis=1) + self.constant
        return answer

    def to_json(self) -> dict[str, Any]:
        """Return the weights (six digits) and the constant."""
        return {
            "kind": "network",
            "hidden": [_short(row, 6) for row in self.hidden],
            "bias": _short(self.bias, 6),
            "output": _short(self.output, 6),
            "constant": float(f"{self.constant:.9g}"),
        }


@dataclass(frozen=True)
class Share:
    """Answers every row with one number."""

    value: float

    def mean(self, inputs: Array) -> Array:
        """Return the number, float64 [R]."""
        return np.full(len(inputs), self.value)

    def to_json(self) -> dict[str, Any]:
        """Return the number."""
        return {"kind": "share", "value": self.value}


def fitted_from_json(stored: Mapping[str, Any], rows: Array) -> Fitted:
    """Return a regression as it was stored.

    Args:
        stored: What `to_json` returned.
        rows: The rows it was fitted on, float64 [T, C].

    Raises:
        ValueError: It is of no known kind, or fitted on other rows.
    """
    kind = stored["kind"]
    if kind == "share":
        return Share(float(stored["value"]))
    if kind == "trees":
        return TreeSum.of(stored["trees"], float(stored["constant"]))
    if kind == "network":
        hidden, bias, output = (np.array(stored[k]) for k in ("hidden", "bias", "output"))
        if hidden.shape != (rows.shape[1], len(bias)):
            raise ValueError(f"a network of shape {hidden.shape}, a row has {rows.shape[1]}")
        return NetworkMean(hidden, bias, output, float(stored["constant"]))
    if kind != "process":
        raise ValueError(f"kind {kind!r} is none of share, trees, network, process")
    weights = np.array(stored["weights"], np.float64)
    if len(weights) != len(rows):
        raise ValueError(f"a process of {len(weights)} rows, the table has {len(rows)}")
    return ProcessMean(rows, tuple(stored["lengths"]), weights, float(stored["mean"]))


def _right_children(columns: Sequence[int]) -> list[int]:
    """Return the right child of each node of a tree in preorder; a leaf's is itself."""
    rights = list(range(len(columns)))
    waiting: list[int] = []  # inner nodes whose right child is still to come
    for place, column in enumerate(columns):
        if place and columns[place - 1] == LEAF:
            rights[waiting.pop()] = place
        if column != LEAF:
            waiting.append(place)
    return rights


def _short(values: Any, digits: int) -> list[float]:
    return [float(f"{value:.{digits}g}") for value in values]
