"""What a model sees of configurations, in any space."""

from __future__ import annotations

import numpy as np
import pytest

from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem
from tests.support.problems import base_config, random_params, shipped_problem, space_of


@pytest.mark.parametrize("name", ["koch2015", "koch2015_35px", "quickstart", "modern", "aligned"])
def test_points_and_their_parameters_have_the_same_columns(name: str) -> None:
    problem = shipped_problem(name, Limits())
    shares = np.random.default_rng(1).random((40, len(problem.free)))
    columns = problem.columns
    fast = columns.of(columns.decoded(shares), len(shares))
    params = [problem.cube.params(row) for row in shares.tolist()]
    np.testing.assert_allclose(fast, columns.matrix(params), atol=1e-9)
    np.testing.assert_allclose(problem.features(params[3]), fast[3], atol=1e-9)
    assert fast.shape[1] == len(columns.groups) > len(problem.free)
    assert 0.5 < np.median(fast.std(axis=0)) < 2


def test_columns_tell_the_step_the_decay_and_the_cost() -> None:
    problem = shipped_problem("koch2015_35px", Limits())
    params = random_params(problem, 60)
    columns = problem.columns.matrix(params)

    def seen(values: list[float]) -> float:
        """Return the highest correlation of values with a column."""
        return max(abs(np.corrcoef(values, column)[0, 1]) for column in columns.T)

    steps = [p["fc.learning_rate"] / (1 - min(p["fc.momentum"], 0.99)) for p in params]
    assert seen(np.log(steps).tolist()) > 0.999
    decays = np.multiply(steps, [max(p["fc.l2"], 1e-12) for p in params])
    assert seen(np.log(decays).tolist()) > 0.999
    assert seen(np.log([problem.shape(p).multiply_adds for p in params]).tolist()) > 0.999
    assert seen(np.log([problem.shape(p).features for p in params]).tolist()) > 0.999


def test_any_space_has_columns_choices_and_missing_values_too() -> None:
    space = space_of(
        {
            "init": {"type": "categorical", "choices": ["koch", "he"]},
            "batch_pairs": {"type": "int", "low": 1, "high": 1000, "log": True},
            "label_smoothing": {"type": "float", "low": 0, "high": 0.3, "step": 0.1},
            "fc.width": {"type": "int", "low": 8, "high": 8},
        }
    )
    problem = SearchProblem(space, base_config([3], [True], 35), Limits())
    he = {"init": "he", "batch_pairs": 1, "label_smoothing": 0.0, "fc.width": 8}
    koch = {**he, "init": "koch", "batch_pairs": 1000}
    rows = problem.columns.matrix([he, koch, {"batch_pairs": 1}, {}])  # type: ignore[list-item]
    assert rows.shape == (4, 4)
    assert np.isfinite(rows).all()
    assert (np.sign(rows[0, :2]) == -np.sign(rows[1, :2])).all()
    assert np.allclose(rows[2, [0, 1, 3]], 0, atol=0.2)
    assert rows[2, 2] == rows[0, 2]
    assert np.allclose(rows[3], 0, atol=0.2)


def test_a_space_without_freedom_has_no_column() -> None:
    space = space_of({"fc.width": {"type": "int", "low": 8, "high": 8}})
    problem = SearchProblem(space, base_config([3], [True], 35), Limits())
    assert problem.features({"fc.width": 8}).shape == (0,)
