"""Pruners that other people wrote: `Class(config, resource, problem, **options)`, a `Pruner`."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from hpsearch import extensions
from hpsearch.errors import InputError, one_line
from hpsearch.pruners.base import Pruner
from hpsearch.pruners.config import GROUP, PrunerConfig
from hpsearch.space.resource import Resource

if TYPE_CHECKING:
    from hpsearch.space.problem import SearchProblem


def make_foreign(
    config: PrunerConfig, resource: Resource, problem: SearchProblem | None
) -> Pruner:
    """Return the pruner that a study names.

    Raises:
        InputError: It cannot be loaded, is no Pruner, or takes other options.
    """
    kind = extensions.load(GROUP, config.name)
    if not inspect.isclass(kind) or not issubclass(kind, Pruner):
        raise InputError(f"pruner.name: {config.name}: is no class below hpsearch.pruners.Pruner")
    try:
        bound = inspect.signature(kind).bind(config, resource, problem, **config.options)
    except TypeError as error:
        raise InputError(f"pruner.options: {kind.__name__}: {one_line(str(error))}") from error
    return kind(*bound.args, **bound.kwargs)
