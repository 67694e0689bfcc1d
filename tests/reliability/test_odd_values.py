"""OD2: whatever stands where a value or a key stood, what is read back is believed or refused."""

from __future__ import annotations

import pytest

from benchmarks.fuzz_written import Parser, make_written, odd_ones
from hpsearch.errors import HpsearchError
from tests.support.slow import rest_slow

WRITTEN = (
    "attempts", "epochs", "provenance", "dataset", "run", "metrics", "evaluation", "baselines",
    "prior", "openings", "packed meta.json", "packed background-20.json", "result", "certificate",
)  # fmt: skip


@pytest.fixture(scope="module")
def parsers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Parser]:
    """A good file of each kind, and what reads it."""
    return make_written(tmp_path_factory.mktemp("written"))


def test_OD2_every_json_file_is_among_them(parsers: dict[str, Parser]) -> None:
    assert {name for name, parser in parsers.items() if parser.json} == set(WRITTEN)


def refusal(parser: Parser) -> HpsearchError | None:
    try:
        parser.read()
    except HpsearchError as error:
        return error
    return None


@pytest.mark.parametrize("name", rest_slow(WRITTEN, 6))
def test_OD2_odd_values_and_keys_are_believed_or_refused(
    parsers: dict[str, Parser], name: str
) -> None:
    parser = parsers[name]
    good = parser.path.read_bytes()
    for odd in odd_ones(good):
        parser.path.write_bytes(odd)
        refused = refusal(parser)
        if refused is not None:
            assert refused.exit_code in (2, 3), odd
            assert "\n" not in str(refused), odd
    parser.path.write_bytes(good)
    assert refusal(parser) is None
