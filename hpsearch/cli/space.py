"""Commands about a search space: show, explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpsearch.output import say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
SpaceArgument = Annotated[str, typer.Argument(help="A search space file or a shipped name.")]
StudyOption = Annotated[
    str | None, typer.Option(help="A study's file, name or folder, for its trial and limits.")
]


@app.command()
def show(space: SpaceArgument, study: StudyOption = None) -> None:
    """Show a space's parameters, the feasible share of sizes, and the cost of its networks."""
    from hpsearch.app.describe_space import describe_space
    from hpsearch.space.space import SearchSpace
    from hpsearch.study.plan import read_config

    config = None if study is None else read_config(study)
    say(describe_space(SearchSpace.from_yaml(space), config))


@app.command()
def explain(
    space: SpaceArgument,
    config: Annotated[Path, typer.Argument(help="best.yaml, config.yaml, or PATH: VALUE lines.")],
    study: StudyOption = None,
) -> None:
    """Check whether a configuration is in a space; if not, show why and the nearest one."""
    from hpsearch.app.describe_space import explain_config
    from hpsearch.configfile import read_yaml
    from hpsearch.space.space import SearchSpace
    from hpsearch.study.plan import read_config

    settings = None if study is None else read_config(study)
    found = SearchSpace.from_yaml(space)
    say(explain_config(found, read_yaml(config), config, settings))
