"""The command migrate: continues a study in a changed search space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.options import StudyArgument
from hpsearch.output import say
from hpsearch.paths import shell_word


def migrate(
    study: StudyArgument,
    space: Annotated[Path, typer.Option(help="The changed search space, a file.")],
) -> None:
    """Move a study to a changed space; its trials keep the values they were trained with."""
    from hpsearch.maintenance.migrate import migrate as move
    from hpsearch.study.plan import find_study

    folder = find_study(study)
    done = move(folder, space)
    for what, names in (("added", done.added), ("removed", done.removed)):
        if names:
            say(f"{what}: {', '.join(names)}")
    say(
        f"{folder.root}: {done.inside} trials lie in the new space, {done.moved} are seen at the "
        f"nearest point of it, {done.unseen} are not seen by the sampler; the old database is "
        f"{done.backup}"
    )
    say(f"next: hpsearch search {shell_word(folder.root)}")
