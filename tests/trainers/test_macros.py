"""Macros become words; what looks like a shell's does not."""

from __future__ import annotations

import pytest

from hpsearch.trainers.macros import check_words, expand, named_parameters

PARAMETERS = {"lr": 0.001, "layers": 3, "wide": True, "kind": "a b; $HOME"}
SINGLE = {"trial": 4, "seed": 7, "checkpoint": "/c", "max_steps": 5, "device": "cpu"}


@pytest.mark.parametrize(
    ("word", "words"),
    [
        (
            "${args}",
            ["--lr", "0.001", "--layers", "3", "--wide", "true", "--kind", "a b; $HOME"],
        ),
        ("${args_equals}", ["--lr=0.001", "--layers=3", "--wide=true", "--kind=a b; $HOME"]),
        ("x=${args_json}", ['x={"lr": 0.001, "layers": 3, "wide": true, "kind": "a b; $HOME"}']),
        ("${trial}-${seed}-${checkpoint}/${max_steps}/${device}", ["4-7-/c/5/cpu"]),
        ("${parameter:kind}", ["a b; $HOME"]),
        ("[${parameter:not_active}]", ["[]"]),
        ("$HOME `ls` $(ls) *", ["$HOME `ls` $(ls) *"]),
    ],
)
def test_a_macro_becomes_words(word: str, words: list[str]) -> None:
    check_words([word])
    assert expand([word], PARAMETERS, SINGLE) == words


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("${arg}", "unknown macro; known: ${args}"),
        ("${}", "unknown macro"),
        ("${parameter:}", "unknown macro"),
        ("--all=${args}", "several words"),
    ],
)
def test_a_wrong_macro_is_named(word: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as error:
        check_words([word])
    assert why in str(error.value)


def test_a_variable_cannot_hold_several_words() -> None:
    with pytest.raises(ValueError, match="several words"):
        check_words(["${args}"], several=False)
    assert named_parameters(["${parameter:lr}${parameter:x.y}", "${seed}"]) == ["lr", "x.y"]
