"""Commands around a search space: show, explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
SpaceArgument = Annotated[str, typer.Argument(help="A search space file or a shipped name.")]


@app.command()
def show(space: SpaceArgument) -> None:
    """Show a space's parameters, the share of sizes that fit, and what networks cost."""
    from hpsearch.search.explain import describe_space
    from hpsearch.search.space import SearchSpace

    typer.echo(describe_space(SearchSpace.from_yaml(space)))


@app.command()
def explain(
    space: SpaceArgument,
    config: Annotated[Path, typer.Argument(help="best.yaml, config.yaml, or PATH: VALUE lines.")],
) -> None:
    """Say whether a configuration lies in a space, why not, and which is the nearest that does."""
    from hpsearch.configfile import read_yaml
    from hpsearch.search.explain import explain_config
    from hpsearch.search.space import SearchSpace

    typer.echo(explain_config(SearchSpace.from_yaml(space), read_yaml(config), config))
