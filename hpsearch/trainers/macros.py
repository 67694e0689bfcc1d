"""Macros in a command: ${args}, ${parameter:NAME} and others, replaced without a shell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from hpsearch.interpreter import this_python
from hpsearch.trial import Value

MACRO = re.compile(r"\$\{([^}]*)\}")
SEVERAL = ("args", "args_equals")
"""Macros that become several words, so that each must be a word of its own."""
SINGLE = ("args_json", "python", "trial", "seed", "checkpoint", "max_steps", "device")
PARAMETER = "parameter:"
KNOWN = ", ".join(f"${{{name}}}" for name in (*SEVERAL, *SINGLE, "parameter:NAME"))


def check_words(words: Iterable[str], *, several: bool = True) -> None:
    """Refuse unknown macros, and one of several words inside another word.

    Args:
        words: The words of a command, or the values of variables.
        several: Whether a macro may become several words.

    Raises:
        ValueError: The first such macro.
    """
    for word in words:
        for found in MACRO.finditer(word):
            name = found[1]
            if name in SEVERAL and (not several or found[0] != word):
                raise ValueError(
                    f"{word!r}: {found[0]} becomes several words; write it as a word of its own "
                    "in the command, or use ${args_json}"
                )
            named = name.startswith(PARAMETER) and len(name) > len(PARAMETER)
            if name not in (*SEVERAL, *SINGLE) and not named:
                raise ValueError(f"{found[0]}: unknown macro; known: {KNOWN}")


def named_parameters(words: Iterable[str]) -> list[str]:
    """Return the parameters that the words name by ${parameter:NAME}, in order."""
    macros = (found[1] for word in words for found in MACRO.finditer(word))
    return [name.removeprefix(PARAMETER) for name in macros if name.startswith(PARAMETER)]


def as_text(value: Value) -> str:
    """Return a parameter's value as a word: true, 0.001, sgd."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def expand(
    words: Sequence[str], parameters: Mapping[str, Value], single: Mapping[str, object]
) -> list[str]:
    """Return the words with their macros replaced.

    Args:
        words: Words that `check_words` accepts.
        parameters: The trial's parameters; one that is left out becomes an empty text.
        single: The text of each macro of `SINGLE`, except args_json and python.
    """
    known = {**single, "args_json": json.dumps(dict(parameters)), "python": this_python()}

    def text(found: re.Match[str]) -> str:
        name = found[1]
        if name.startswith(PARAMETER):
            name = name.removeprefix(PARAMETER)
            return as_text(parameters[name]) if name in parameters else ""
        return str(known[name])

    done: list[str] = []
    for word in words:
        if word == "${args}":
            done += [part for n, v in parameters.items() for part in (f"--{n}", as_text(v))]
        elif word == "${args_equals}":
            done += [f"--{name}={as_text(value)}" for name, value in parameters.items()]
        else:
            done.append(MACRO.sub(text, word))
    return done
