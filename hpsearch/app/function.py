"""A Python function as trainer: where its trials find it, and what it must take.

Its program is `hpsearch.app.run_function` under the interpreter of the search.
"""

from __future__ import annotations

import ast
import dis
import importlib.util
import inspect
import math
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from hpsearch.app.run_function import PARAMS, SEED, SOURCE, TRIAL
from hpsearch.errors import InputError
from hpsearch.space.parameter import Parameter

MOST_SOURCE = 10_000
"""Characters of a source that the study file can hold."""
MAIN = "__main__"
WAY_OUT = "write it into a file (in a notebook: %%writefile train.py) and import it from there"
PLAIN = frozenset({bool, int, float, str, type(None)})


def program_of(function: Callable[..., Any]) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs a function, and the variables that it needs.

    Raises:
        InputError: A trial could not find the function again.
    """
    name, module = getattr(function, "__qualname__", ""), getattr(function, "__module__", "")
    if not inspect.isfunction(inspect.unwrap(function)) or not name.isidentifier():
        raise InputError(
            f"{name or function!r:.60}: trials find a function by its file and name; define it "
            "with def, not inside another function"
        )
    words = ["${python}", "-P", "-m", "hpsearch.app.run_function"]
    held = sys.modules.get(module)
    file = Path(getattr(held, "__file__", None) or inspect.unwrap(function).__code__.co_filename)
    if file.suffix == ".py" and file.is_file() and getattr(held, "__file__", None):
        if getattr(held, name, function) is not function:
            raise InputError(f"{name}: is not what {file} calls {name}; give it its own name")
        spec = getattr(held, "__spec__", None)
        known = spec.name if module == MAIN and spec is not None else module
        return [*words, str(file.resolve()), known, name], {}
    if module != MAIN:
        raise InputError(f"{name}: its module {module} has no .py file; {WAY_OUT}")
    return [*words, "-", MAIN, name], {SOURCE: source_of(function)}


def source_of(function: Callable[..., Any]) -> str:
    """Return a module's text that defines a notebook's function and the names it uses.

    Imported modules, functions and classes are imported again; functions of the notebook are taken
    along; numbers and texts are written down.

    Raises:
        InputError: It uses something else that only the notebook has, or is too long.
    """
    heads, bodies = list[str](), dict[str, str]()
    _collect(function, heads, bodies)
    text = "from __future__ import annotations\n\n"
    text += "\n".join([*dict.fromkeys(heads), "", "", "\n\n".join(bodies.values())])
    if len(text) > MOST_SOURCE or "${" in text:
        why = "has more than 10,000 characters" if len(text) > MOST_SOURCE else "holds ${"
        raise InputError(f"{function.__name__}: its source {why}; {WAY_OUT}")
    return text


def _collect(function: Callable[..., Any], heads: list[str], bodies: dict[str, str]) -> None:
    """Write down a function after what it uses: its decorators are called when it is defined."""
    name, inner = function.__name__, inspect.unwrap(function)
    try:
        text = textwrap.dedent(inspect.getsource(inner))
        (tree,) = ast.parse(text).body
    except (OSError, TypeError, ValueError, SyntaxError):
        raise InputError(f"{name}: its source cannot be read; {WAY_OUT}") from None
    if not isinstance(tree, ast.FunctionDef):
        raise InputError(f"{name}: is not defined with def; {WAY_OUT}")
    bodies[name] = ""  # it may use itself
    before = [*tree.decorator_list, *tree.args.defaults, *filter(None, tree.args.kw_defaults)]
    used = {n.id for one in before for n in ast.walk(one) if isinstance(n, ast.Name)}
    used |= set(_globals(inner.__code__))
    for other in sorted(used):
        if other in inner.__globals__ and other not in bodies:
            _define(name, other, inner.__globals__[other], heads, bodies)
    del bodies[name]
    bodies[name] = text


def _globals(code: CodeType) -> Iterator[str]:
    """Yield the global names that a code reads, nested functions included."""
    for one in dis.get_instructions(code):
        if one.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(one.argval)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _globals(inner)


def _define(user: str, name: str, value: Any, heads: list[str], bodies: dict[str, str]) -> None:
    """Write down how a name of the notebook comes about again."""
    home, own = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if isinstance(value, ModuleType):
        heads.append(f"import {value.__name__} as {name}")
    elif home == MAIN and _is_defined(value, own):
        if own not in bodies:
            _collect(value, heads, bodies)
        if own != name:
            bodies[name] = f"{name} = {own}\n"
    elif own.isidentifier() and home not in (None, MAIN) and importlib.util.find_spec(home):
        heads.append(f"from {home} import {own} as {name}")
    elif (text := _written(value)) is not None:
        heads.append(f"{name} = {text}")
    else:
        raise InputError(
            f"{user}: uses {name}, a {type(value).__name__} that only this session has; make it "
            f"inside the function, or {WAY_OUT}"
        )


def _is_defined(value: Any, own: str) -> bool:
    """Return whether a cell of the notebook defines a function under its own name."""
    known = own.isidentifier() and getattr(sys.modules[MAIN], own, value) is value
    return known and inspect.isfunction(inspect.unwrap(value))


def _written(value: Any) -> str | None:
    """Return a number, a text or a tuple of them as Python reads it; None for another value."""
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) is tuple:
        parts = [_written(one) for one in value]
        return None if None in parts else f"({''.join(f'{part}, ' for part in parts)})"
    if type(value) is float and not math.isfinite(value):
        return f'float("{value}")'
    return repr(value) if type(value) in PLAIN else None


def check_arguments(
    function: Callable[..., Any], parameters: Mapping[str, Parameter], *, max_steps: bool
) -> None:
    """Refuse a function that could not be called, or that leaves a parameter without effect.

    Args:
        function: The function.
        parameters: Those of the space.
        max_steps: Whether the number of steps was given.

    Raises:
        InputError: The first thing that does not fit, and the fix.
    """
    name, whole = function.__name__, False
    asked = inspect.signature(function).parameters
    for one in asked.values():
        if one.kind is one.POSITIONAL_ONLY:
            raise InputError(f"{name}: {one.name} is positional only; remove the /")
        if one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL):
            whole = whole or one.kind is one.VAR_KEYWORD
            continue
        held = parameters.get(one.name)
        needed = one.default is one.empty
        if held is None and needed and one.name not in (TRIAL, PARAMS, SEED):
            known = ", ".join(parameters)
            raise InputError(
                f"{name}: asks for {one.name}, which is no parameter of the space; it has {known}"
            )
        if held is not None and held.when and needed:
            raise InputError(
                f"{name}: {one.name} exists only under a condition; give the argument a default"
            )
    if not whole and not {TRIAL, PARAMS} & asked.keys():
        for parameter in parameters:
            if parameter not in asked:
                raise InputError(
                    f"{name}: does not take {parameter}, so it would change nothing; add the "
                    "argument, or take params"
                )
    if not max_steps and (inspect.isgeneratorfunction(function) or TRIAL in asked):
        raise InputError(
            f"{name}: may report several steps; say how many a full trial has: max_steps=20"
        )
