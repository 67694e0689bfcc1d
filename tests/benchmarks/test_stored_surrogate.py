"""The stored surrogates answer the same on every machine, and as scikit-learn's own models do."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import search_bench
from benchmarks import surrogate as fitting
from benchmarks.cells import Source, feasible_points, load_problem
from benchmarks.fitted import fitted_from_json
from benchmarks.regression import forest, process, trees
from benchmarks.stored_surrogate import load, save, stored_path, surrogate_of
from benchmarks.surrogate import Surrogate
from benchmarks.table import write_table
from hpsearch.errors import InputError
from tests.benchmarks.made import SPACE, made_params, made_table

ROOT = Path(__file__).parents[2]
TABLES = {
    "siamese35": Source(search_bench.TABLE, search_bench.SPACE, search_bench.STUDY),
    "modern35": Source(
        Path("benchmarks/tables/modern35.csv.gz"), "benchmarks/tables/modern35.space.yaml"
    ),
}
RECORDED = json.loads((ROOT / "tests/assets/surrogate_answers.json").read_bytes())
KERNELS = {
    "native": {},
    "Haswell without AVX-512": {
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    },
}


def answers(name: str) -> dict[str, object]:
    """What a surrogate says of the goal, of the middle of its box and of twenty points."""
    problem, goal = load_problem(TABLES[name])
    cube = problem.search_problem.cube
    middle = cube.params([0.5] * len(cube.names))
    told = [problem.model.answer(p, seed) for seed, p in enumerate(feasible_points(problem, 20))]
    return {
        "goal": goal.threshold,
        "middle": float(problem.model.objective([middle])[0]),
        "errors": [answer.errors for answer in told],
        "seconds": [answer.seconds[-1] for answer in told],
    }


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
def test_OA1_the_stored_surrogates_answer_as_recorded_on_every_kernel(kernel):
    """To the last bit: nothing of an answer comes from BLAS or LAPACK."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS_", "NPY_"))}
    script = "import json; from tests.benchmarks.test_stored_surrogate import TABLES, answers; "
    script += "print(json.dumps({name: answers(name) for name in TABLES}))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**plain, **KERNELS[kernel]},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == RECORDED


def test_OA1_no_headline_rests_on_the_first_trial():
    """The middle of the box, which a search begins with, is not among the best 5 %."""
    for told in RECORDED.values():
        assert told["middle"] > told["goal"] + 1e-3


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "made.csv.gz"
    write_table(path, made_table().trials)
    return path


@pytest.fixture(scope="module")
def plain():
    """A surrogate whose regressions are not chosen, for what does not ask it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "choose", lambda *_: process)
        return Surrogate.fit(made_table(), SPACE)


@pytest.mark.slow
def test_what_is_stored_answers_as_what_was_fitted(table, surrogate):
    rng = np.random.default_rng(3)
    points = [made_params(rng) for _ in range(50)]
    save(surrogate, table)
    stored = surrogate_of(table, made_table(), SPACE)
    assert stored.curves(points) == pytest.approx(surrogate.curves(points), abs=2e-6)
    assert stored.divergence(points) == pytest.approx(surrogate.divergence(points), abs=2e-6)
    assert stored.answer(points[0], 5).seconds == pytest.approx(
        surrogate.answer(points[0], 5).seconds
    )
    again = save(stored, table).read_bytes()
    assert save(surrogate_of(table, made_table(), SPACE), table).read_bytes() == again


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-20], lambda b: gzip.compress(b"[]"), lambda b: gzip.compress(b'{"a": 1}')],
)
def test_a_damaged_stored_surrogate_is_refused_in_one_line(table, plain, damage):
    path = save(plain, table)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        InputError, match=r"made\.surrogate\.json\.gz: is damaged .*; delete it, or"
    ):
        load(path, table, made_table(), SPACE)


def test_a_surrogate_of_another_table_is_refused(table, plain):
    save(plain, table)
    write_table(table, made_table(40).trials)
    with pytest.raises(InputError, match="table_sha256: was fitted on another"):
        surrogate_of(table, made_table(40), SPACE)
    assert stored_path(table).name == "made.surrogate.json.gz"


def test_fitted_regressions_answer_as_scikit_learn_does():
    """The reference is scikit-learn's own prediction, which goes through BLAS."""
    from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor
    from sklearn.gaussian_process import GaussianProcessRegressor

    rng = np.random.default_rng(1)
    inputs, new = rng.uniform(size=(80, 4)), rng.uniform(size=(40, 4))
    values = inputs[:, 0] + 0.1 * rng.normal(size=80)
    made = []
    with pytest.MonkeyPatch.context() as patch:
        for kind in (GaussianProcessRegressor, GradientBoostingRegressor, ExtraTreesRegressor):
            fit = kind.fit
            patch.setattr(
                kind, "fit", lambda self, x, y, fit=fit: made.append(self) or fit(self, x, y)
            )
        ours = [kind(inputs, values) for kind in (process, trees, forest)]
    place = (new - inputs.mean(axis=0)) / inputs.std(axis=0)
    theirs = [
        made[0].predict(place) * values.std() + values.mean(),
        np.mean([model.predict(new) for model in made[1:4]], axis=0),
        made[4].predict(new),
    ]
    for one, other in zip(ours, theirs, strict=True):
        assert one.mean(new) == pytest.approx(other, abs=1e-9)
        stored = fitted_from_json(one.to_json(), inputs)
        assert stored.mean(new) == pytest.approx(other, abs=1e-5)
