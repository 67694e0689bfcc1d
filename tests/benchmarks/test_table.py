import gzip
from dataclasses import replace

import pytest

from benchmarks.cells import Source, load_problem
from benchmarks.table import read_table, write_table
from hpsearch.errors import InputError
from tests.benchmarks.made import EPOCHS, SPACE, made_table

ROW = "trial,epoch,validation_error,seconds,outcome,rate,share,units,kind\n"


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_a_table_reads_back_as_it_was_written(tmp_path, name):
    table = made_table(24)
    write_table(tmp_path / name, table.trials)
    read = read_table(tmp_path / name, SPACE)
    assert [t.trial for t in read.trials] == [t.trial for t in table.trials]
    for ours, theirs in zip(read.trials, table.trials, strict=True):
        assert ours.outcome == theirs.outcome
        assert ours.errors == pytest.approx(theirs.errors, rel=1e-5)
        assert ours.seconds == pytest.approx(theirs.seconds, abs=1e-3)
        kinds = [(p.pop("kind"), p) for p in (dict(ours.params), dict(theirs.params))]
        assert kinds[0][0] == kinds[1][0]
        assert kinds[0][1] == pytest.approx(kinds[1][1], rel=1e-8)
    assert read.epochs == EPOCHS


def test_the_same_trials_give_the_same_bytes(tmp_path):
    trials = made_table(12).trials
    write_table(tmp_path / "a.csv.gz", trials)
    write_table(tmp_path / "b.csv.gz", reversed(trials))
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).startswith(ROW.encode())


def test_repeated_configurations_are_paired():
    pairs = made_table(80).repeated()
    assert len(pairs) == 10
    assert all(a.params == b.params and a.trial != b.trial for a, b in pairs)
    assert any(a.errors != b.errors for a, b in pairs)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no row"),
        ("trial,epoch\n1,1\n", "'validation_error' is missing"),
        (ROW + "0,2,0.5,1,complete,0.1,0.5,3,plain\n", "row 2: epoch 2"),
        (ROW + "0,1,0.5,1,complete,0.1,half,3,plain\n", "trial 0"),
        (ROW + "0,1,0.5,1,complete,0.1,0.5,3,odd\n", "none of its choices"),
        (ROW + "0,1,0.5\n", "trial 0"),
        (ROW + "0,1,0.5,1,complete,0.1,,3,plain\n", "share: '' is no number"),
        *((ROW + f"0,1,0.5,{s},complete,0.1,0.5,3,plain\n", f"seconds {s}") for s in ("nan", "0")),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(tmp_path, text, told):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=told) as refused:
        read_table(path, SPACE)
    assert str(path) in str(refused.value)


def test_a_compressed_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "table.csv.gz"
    path.write_text(ROW)
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_table(path, SPACE)


def test_an_error_that_is_not_finite_counts_as_always_wrong(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(ROW + "0,1,nan,1,diverged,0.1,0.5,3,plain\n")
    assert read_table(path, SPACE).trials[0].errors == (1.0,)


def test_a_table_of_too_few_complete_trials_is_not_replayed(tmp_path):
    """Those that ended before the longest did are not whole."""
    table, space = tmp_path / "table.csv", tmp_path / "space.yaml"
    trials = [t for t in made_table().trials if t.complete]
    shorter = [replace(t, errors=t.errors[:3], seconds=t.seconds[:3]) for t in trials[9:]]
    write_table(table, [*trials[:9], *shorter])
    space.write_text(SPACE.to_yaml())
    with pytest.raises(
        InputError, match="complete trials of 6 epochs: 9; a replay needs at least"
    ):
        load_problem(Source(table, str(space)))
