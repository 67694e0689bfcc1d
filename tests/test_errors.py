"""The hierarchy of errors: exit codes, and messages that are one printable line."""

from __future__ import annotations

import pytest

from hpsearch.errors import EnvironmentFailure, HpsearchError, InputError


@pytest.mark.parametrize(
    ("kind", "code"), [(HpsearchError, 1), (InputError, 2), (EnvironmentFailure, 3)]
)
def test_each_kind_has_its_exit_code(kind: type[HpsearchError], code: int) -> None:
    assert kind("x").exit_code == code
    assert issubclass(kind, HpsearchError)


def test_a_message_is_one_line_and_cannot_rule_the_terminal() -> None:
    error = InputError("a\x1b[31m file\r\nof\ttwo\u2028lines \ud800 — naïve  spaces")
    assert str(error) == "a?[31m file  of two lines ? — naïve  spaces"
    assert str(error).isprintable()
