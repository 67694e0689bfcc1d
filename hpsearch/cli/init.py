"""The command init: writes a study file to begin with."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from hpsearch.errors import InputError
from hpsearch.output import notice, say
from hpsearch.paths import shell_word


class OwnWords(TyperCommand):
    """Leaves what follows the program of --command to that program, its options too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options before the program."""
        for at, word in enumerate(args):
            option, equals, program = word.partition("=")
            left = args[at + 1 :]
            if option != "--command" or not (equals or left):
                continue
            if not equals:
                program, *left = left[1:] if left[0] == "--" and left[1:] else left
            if not any(map(str.isspace, program)):  # else the whole command is one word
                args = [*args[:at], f"--command={program}", "--", *left]
            break
        return super().parse_args(ctx, args)


def init(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORDS]...", help="The command's other words.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="A folder of images to recognise.")] = None,
    command: Annotated[
        str | None,
        typer.Option(metavar="PROGRAM", help="A program and its words; write it last."),
    ] = None,
    from_: Annotated[Path | None, typer.Option("--from", help="A W&B sweep file.")] = None,
    output: Annotated[Path | None, typer.Option(help="The study file [NAME.yaml].")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write a commented study file and its space, for images, a command or a sweep."""
    from hpsearch.drafts.command import draft_command
    from hpsearch.drafts.draft import draft_images, write
    from hpsearch.drafts.sweep import draft_sweep

    if sum(one is not None for one in (data, command, from_)) != 1:
        raise InputError("init: name one of --data FOLDER, --command PROGRAM, --from SWEEP")
    if words and command is None:
        raise InputError(f"init: {words[0]}: only a --command has words of its own; remove it")
    if data is not None:
        draft = draft_images(data)
    elif from_ is not None:
        draft = draft_sweep(from_)
    else:
        typed = [command, *words] if words and command else _split(command or "")
        draft = draft_command(typed)
    study, space = write(draft, output, force=force)
    for text in draft.notes:
        notice(text, err=False)
    say(f"wrote {study} and {space}: read them, and correct the ranges")
    named = shell_word(study)
    if data is not None:
        say(f"next: hpsearch search {named} --data {shell_word(data)}")
    else:
        say(f"next: hpsearch check {named}, then hpsearch search {named}")


def _split(typed: str) -> list[str]:
    """Split a command that was quoted as one word."""
    try:
        found = shlex.split(typed)
    except ValueError as error:
        raise InputError(f"--command {typed}: {error}; write it without quotes, last") from None
    if not found:
        raise InputError("--command: names no program, e.g. --command python train.py --lr 0.01")
    return found
