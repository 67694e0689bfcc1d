"""Commands around a search space: show, explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
SpaceArgument = Annotated[str, typer.Argument(help="A search space file or a shipped name.")]
StudyOption = Annotated[
    str | None, typer.Option(help="A study file, name or folder: its trial and limits count.")
]


@app.command()
def show(space: SpaceArgument, study: StudyOption = None) -> None:
    """Show a space's parameters, the share of sizes that fit, and what networks cost."""
    from hpsearch.app.describe_space import describe_space
    from hpsearch.space.space import SearchSpace
    from hpsearch.study.plan import read_config

    config = None if study is None else read_config(study)
    typer.echo(describe_space(SearchSpace.from_yaml(space), config))


@app.command()
def explain(
    space: SpaceArgument,
    config: Annotated[Path, typer.Argument(help="best.yaml, config.yaml, or PATH: VALUE lines.")],
    study: StudyOption = None,
) -> None:
    """Say whether a configuration lies in a space, why not, and which is the nearest that does."""
    from hpsearch.app.describe_space import explain_config
    from hpsearch.configfile import read_yaml
    from hpsearch.space.space import SearchSpace
    from hpsearch.study.plan import read_config

    settings = None if study is None else read_config(study)
    found = SearchSpace.from_yaml(space)
    typer.echo(explain_config(found, read_yaml(config), config, settings))
