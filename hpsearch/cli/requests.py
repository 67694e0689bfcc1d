"""Commands that ask a study for something while its search runs: enqueue, stop."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from hpsearch.cli.options import StudyArgument
from hpsearch.errors import InputError
from hpsearch.output import say
from hpsearch.wording import figure


def enqueue(
    study: StudyArgument,
    params: Annotated[
        list[str], typer.Argument(metavar="PARAMS...", help="NAME=VALUE for each parameter.")
    ],
) -> None:
    """Try a configuration next; what PARAMS leave out is as in the study file's enqueue."""
    from hpsearch.app.requests import enqueue as ask
    from hpsearch.app.requests import when
    from hpsearch.study.plan import find_begun

    folder = find_begun(study)
    asked = ask(folder, _parameters(params))
    shown = ", ".join(f"{name} {figure(value, 4)}" for name, value in asked.items())
    say(f"{shown}: {when(folder)}")


def stop(
    study: StudyArgument,
    trial: Annotated[int, typer.Argument(min=0, help="The trial's number.")],
) -> None:
    """End a trial after its next report, as pruned; the search goes on."""
    from hpsearch.app.requests import stop_trial, when
    from hpsearch.study.plan import find_begun

    folder = find_begun(study)
    stop_trial(folder, trial)
    say(f"trial {trial} is to stop after its next report; {when(folder)}")


def _parameters(words: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE words, or one word with a mapping; values are read as YAML."""
    from hpsearch.configfile import parse_yaml

    if len(words) == 1 and words[0].lstrip().startswith("{"):
        return parse_yaml(os.fsencode(words[0]), "PARAMS")
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise InputError(f"{word}: write NAME=VALUE, e.g. lr=0.01")
        if name.strip() in found:
            raise InputError(f"{word}: {name.strip()} is there twice; keep one")
        found[name.strip()] = parse_yaml(os.fsencode(f"value: {value}"), word)["value"]
    return found
