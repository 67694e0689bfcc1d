"""The command migrate: a study goes on in a changed search space."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from hpsearch.paths import shell_word


def migrate(
    study: Annotated[str, typer.Argument(help="A study's folder, file or shipped name.")],
    space: Annotated[Path, typer.Option(help="The changed search space, a file.")],
) -> None:
    """Move a study to a changed space; its trials stay, with the values they were trained with."""
    from hpsearch.maintenance.migrate import migrate as move
    from hpsearch.study.plan import find_study

    folder = find_study(study)
    done = move(folder, space)
    for what, names in (("added", done.added), ("removed", done.removed)):
        if names:
            typer.echo(f"{what}: {', '.join(names)}")
    typer.echo(
        f"{folder.root}: {done.inside} trials lie in the new space, {done.moved} are seen at the "
        f"nearest point of it, {done.unseen} are not seen by the sampler; the old database is "
        f"{done.backup}"
    )
    typer.echo(f"next: hpsearch search {shell_word(folder.root)}")


COMMANDS: tuple[Callable[..., Any], ...] = (migrate,)
