"""Runs one trial of a Python function, as a command's program: `run_function FILE MODULE NAME`.

FILE is the function's file, or - where the variable HPSEARCH_FUNCTION holds its source. Standard
library only, so that nothing is loaded but what the function asks for.
"""

from __future__ import annotations

import importlib.util
import inspect
import math
import os
import pkgutil
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from hpsearch import trainer

SOURCE = "HPSEARCH_FUNCTION"
"""Variable with the source of a function that has no file."""
LOADING = "HPSEARCH_LOADING"
"""Variable that is set while a trial loads the function's file, which must not search again."""
OWN_NAME = "hpsearch_function"
"""Module of a function whose file's name is taken, or that has no file."""
TRIAL, PARAMS, SEED = "trial", "params", "seed"
"""Arguments that are no parameters: the trial, all parameters, its seed."""


def load(file: str, module: str, name: str, folder: Path) -> Callable[..., Any]:
    """Return the function.

    The folder of its file comes first in sys.path, as when Python runs that file; the folder of
    the outermost package where the module is in one; the working directory, which is that of the
    notebook, for a source without a file.

    Args:
        file: Absolute path of its file, or - for the source in `SOURCE`.
        module: Its module; __main__ for a file that was run.
        name: Its name in there.
        folder: Where a source without a file is written.
    """
    if file == "-":
        path = folder / "function.py"
        path.write_text(os.environ[SOURCE], encoding="utf-8")
        root = Path.cwd()
    else:
        path = Path(file)
        root = path.parents[module.count(".") + (path.name == "__init__.py")]
    sys.path.insert(0, str(root))
    os.environ[LOADING] = "1"
    if "." in module or path.name == "__init__.py":
        return _function(pkgutil.resolve_name(module), name)
    known = _free_name(module if file == "-" or module != "__main__" else path.stem)
    return _function(_loaded(path, known), name)


def _loaded(path: Path, known: str) -> Any:
    """Load a file as a module of this name."""
    spec = importlib.util.spec_from_file_location(known, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path}: cannot be loaded as Python; name a .py file")
    loaded = sys.modules[known] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(loaded)
    except (ImportError, AttributeError) as error:
        # What a script imports may import the script again, which works for a script only.
        again = error.name == known or getattr(error, "obj", None) is loaded
        if known == OWN_NAME or not again:
            raise
        del sys.modules[known]
        return _loaded(path, OWN_NAME)
    return loaded


def _free_name(name: str) -> str:
    """Return a module's name by which processes that the function starts import it too.

    They inherit sys.path, where the folder of its file comes first.
    """
    taken = {"__main__", *sys.modules, *sys.builtin_module_names}
    return name if name.isidentifier() and name not in taken else OWN_NAME


def _function(module: Any, name: str) -> Callable[..., Any]:
    del os.environ[LOADING]
    found: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(found):
        raise SystemExit(f"{name}: no function of this name in {module.__file__} any more")
    return found


def arguments(function: Callable[..., Any], trial: trainer.Trial) -> dict[str, Any]:
    """Return what the function is called with: parameters by name, and trial, params, seed."""
    own = {TRIAL: trial, PARAMS: dict(trial.parameters), SEED: trial.seed}
    known = {**own, **trial.parameters}
    asked = inspect.signature(function).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in asked):
        named = {one.name for one in asked if one.kind is not one.VAR_KEYWORD}
        return {k: v for k, v in known.items() if k in trial.parameters or k in named}
    return {one.name: known[one.name] for one in asked if one.name in known}


def run(function: Callable[..., Any], trial: trainer.Trial) -> None:
    """Call the function; report what it yields and returns."""
    made: Any = function(**arguments(function, trial))
    told = f"{function.__name__} "
    value = _steps(made, trial, told) if isinstance(made, Generator) else made
    value, metrics = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    if value is not None:
        trial.result(_number(value, f"{told}returned"), metrics)


def _steps(made: Generator[Any, None, Any], trial: trainer.Trial, told: str) -> Any:
    """Report each value that a generator yields; close it when the search says so."""
    step = 0
    with closing(made):
        while True:
            try:
                item = next(made)
            except StopIteration as end:
                return end.value
            given = item if isinstance(item, tuple) else (step + 1, item)
            if not 2 <= len(given) <= 3:
                raise SystemExit(f"{told}yielded {item!r:.60}; yield VALUE, or STEP, VALUE")
            step, value = int(given[0]), _number(given[1], f"{told}yielded")
            metrics: Mapping[str, float] | None = given[2] if len(given) == 3 else None
            if trial.report(step, value, metrics).stop:
                return None


def _number(value: Any, what: str) -> float:
    """Return a number of Python, numpy or torch as a float; refuse another thing."""
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        raise SystemExit(f"{what} {value!r:.60}, which is no number") from None


def main() -> None:
    """Run the trial that the environment describes."""
    file, module, name = sys.argv[1:]
    with trainer.trial() as trial:
        run(load(file, module, name, trial.checkpoint.parent), trial)


if __name__ == "__main__":
    main()
