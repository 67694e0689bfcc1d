import json
import math
import operator
from argparse import Namespace

import pytest

from benchmarks import search_bench
from benchmarks.cells import Cells, Source, error_at, false_prune, median_interval
from benchmarks.search_bench import compare, summary, to_error
from benchmarks.setups import BASELINE, RANDOM, default_name, setups
from benchmarks.table import write_table
from benchmarks.yardstick import JUDGING
from hpsearch.pruners.config import PrunerConfig
from hpsearch.study.config import SamplerConfig, StudyConfig
from tests.benchmarks.made import SPACE, made_table
from tests.support.trainings import tiny_config


def test_the_default_is_what_a_study_does_that_says_nothing():
    known = setups()
    assert next(iter(known)) == default_name()
    assert known[default_name()].sampler == SamplerConfig()
    assert known[default_name()].pruner == PrunerConfig()
    assert known[RANDOM].pruner.name == "none"
    for name in ("tpe-expected", "random-expected", "bayes-expected"):
        one = known[name]
        study = StudyConfig(
            name="made", space="s", trial=tiny_config(), sampler=one.sampler, pruner=one.pruner
        )
        assert f"{study.sampler.name}-{study.pruner.name}" == name


def test_every_other_set_up_differs_from_the_default_or_the_baseline_in_one_thing():
    known = setups()
    bases = [(one.sampler, one.pruner, one.workers) for one in (known[default_name()],
             known[BASELINE])]  # fmt: skip
    for name, one in known.items():
        if name.startswith(RANDOM) or name in (default_name(), BASELINE):
            continue
        own = (one.sampler, one.pruner, one.workers)
        assert any(sum(map(operator.ne, own, base)) == 1 for base in bases), name


@pytest.mark.parametrize(("low", "ahead"), [(1.2, True), (0.9, False)])
def test_a_default_is_ahead_where_random_search_needs_longer_for_certain(low, ahead):
    span = {"ratio": 1.5, "low": low, "high": 2.0}
    report = {"tables": {"siamese35": {"ratio_to_default": {RANDOM: {"5_percent": span}}}}}
    assert search_bench.ahead_of_random(report) == ahead


@pytest.mark.slow
def test_results_are_kept_and_not_computed_again(tmp_path, monkeypatch):
    write_table(tmp_path / "table.csv", made_table(40).trials)
    (tmp_path / "space.yaml").write_text(SPACE.to_yaml())
    source = Source(tmp_path / "table.csv", str(tmp_path / "space.yaml"))
    monkeypatch.setattr("benchmarks.cells.ProcessPoolExecutor", AtOnce)
    told = []
    chosen = {RANDOM: setups()[RANDOM]}
    first = Cells(source, tmp_path / "kept").run(chosen, range(2), lambda *a: told.append(a))
    again = Cells(source, tmp_path / "kept").run(chosen, range(2), lambda *a: told.append(a))
    assert first == again
    assert told == [(RANDOM, 1, 2), (RANDOM, 2, 2)]
    assert all(run["path"] and run["epochs"] > 20 for run in first[RANDOM])


@pytest.mark.parametrize(("held", "live"), [(60, False), (59, True), (0, True)])
def test_the_baseline_is_replayed_unless_every_seed_of_it_is_recorded(monkeypatch, held, live):
    monkeypatch.setattr(search_bench, "default_name", lambda: RANDOM)  # some other default
    options = Namespace(cells=["tpe-none"], all=False)
    recorded = {BASELINE: dict.fromkeys(JUDGING[:held])} if held else {}
    chosen = search_bench._live(options, JUDGING, recorded)
    assert list(chosen) == [RANDOM, *([BASELINE] if live else []), "tpe-none"]


class AtOnce:
    """A pool that computes in this process."""

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *arguments):
        from concurrent.futures import Future

        future = Future()
        future.set_result(function(*arguments))
        return future


def test_the_median_has_the_interval_of_its_order_statistics():
    assert median_interval(range(1, 31)) == (15.5, 10, 21)  # Conover's table for n = 30
    assert median_interval([1.0, 2.0, 3.0, math.inf, math.inf, math.inf])[0] == math.inf


def test_a_summary_says_how_many_came_so_far():
    runs = [{"time_to": float(t)} for t in range(1, 30)] + [{"time_to": None}]
    assert summary(runs) == {"median": 15.5, "low": 10.0, "high": 21.0, "reached": 29, "seeds": 30}
    assert summary([{"time_to": None}] * 3)["median"] is None
    json.dumps(summary(runs), allow_nan=False)


def test_another_goal_is_read_off_the_paths():
    runs = [{"time_to": 2.0, "path": [[2.0, 0.5], [4.0, 0.3]]}, {"time_to": None, "path": []}]
    assert [run["time_to"] for run in to_error(runs, 0.3)] == [4.0, None]
    assert [run["time_to"] for run in to_error(runs, 0.5)] == [2.0, None]


def test_the_error_before_the_first_epoch_is_that_of_no_search():
    path = [[2.0, 0.5], [4.0, 0.3]]
    assert [error_at(path, s) for s in (1.0, 2.0, 3.9, 9.0)] == [1.0, 0.5, 0.5, 0.3]


def test_false_prunes_pool_audits_and_know_the_truth():
    run = {"false_prunes": {"audits": 5, "audits_lost": 1, "ended": 50, "ended_lost": 8}}
    pooled = false_prune([run, run])
    assert (pooled["estimate"], pooled["true"]) == (0.2, 0.16)
    assert pooled["low"] < 0.16 < pooled["high"]
    none = {"audits": 0, "audits_lost": 0, "ended": 0, "ended_lost": 0}
    assert false_prune([{"false_prunes": none}])["estimate"] is None


@pytest.mark.parametrize(("now", "lost"), [((5.0, 4.0, 6.0), 0), ((25.0, 20.0, 30.0), 1)])
def test_a_default_slower_beyond_both_intervals_is_told(now, lost):
    values = [
        dict(zip(("median", "low", "high"), v, strict=True)) for v in (now, (8.0, 5.0, 10.0))
    ]
    report = {"default": "tpe-asha", "time_to_best_5_percent": {"tpe-asha": values[0]}}
    committed = {"time_to_best_5_percent": {"tpe-asha": values[1]}}
    assert compare(report, committed) == lost
