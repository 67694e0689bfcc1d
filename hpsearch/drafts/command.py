"""Drafts a study from a command as it is typed: its numbers become ranges to search.

Options of the command (`--lr 0.01`, `--lr=0.01`) are read, and those that a Python script declares
with argparse; the script is parsed, not run.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hpsearch.configfile import load_section
from hpsearch.drafts.draft import Draft, Searched, command_text, flow, space_text
from hpsearch.errors import InputError
from hpsearch.space.parameter import Parameter
from hpsearch.space.space import NAME

STEPS = frozenset(
    {"epoch", "epochs", "iterations", "max_epochs", "max_iter", "max_steps", "n_epochs", "n_steps"}
    | {"num_epochs", "num_steps", "num_train_epochs", "steps"}
)
"""Options that say how long a trial is."""
GIVEN = {"seed": "${seed}", "random_seed": "${seed}", "device": "${device}"}
"""Options that the search decides itself."""
FACTORS = re.compile(r"lr|rate|decay|alpha|eps|lambda|l1|l2|reg|tol|(^|_)c$", re.IGNORECASE)
SHARES = re.compile(r"drop|momentum|beta|share|ratio|fraction", re.IGNORECASE)
OPTION = re.compile(r"--([A-Za-z][\w.-]*)(=(.*))?", re.DOTALL)
ARGUMENTS = frozenset({"${args}", "${args_equals}", "${args_json}"})
MAX_SCRIPT = 1_000_000


class _Command:
    """A command's words, sorted into what is searched and what stays."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.found: dict[str, Any] = {}
        self.equals = False
        self.place: int | None = None
        self.max_steps: int | None = None

    def read(self, words: Sequence[str]) -> None:
        """Sort the words."""
        left = list(words)
        while left:
            word = left.pop(0)
            option = OPTION.fullmatch(word)
            value = option[3] if option and option[2] else (left[0] if option and left else None)
            if option is None or value is None or not self._take(option, value):
                self.words.append(word)
            elif not option[2]:
                left.pop(0)

    def _take(self, option: re.Match[str], text: str) -> bool:
        """Return whether an option is searched or is the search's own."""
        name, value = option[1], _value(text)
        plain = name.replace("-", "_").lower()
        macro = GIVEN.get(plain)
        if plain in STEPS and isinstance(value, int) and value > 0:
            macro, self.max_steps = "${max_steps}", value
        if macro is not None:
            joined = [f"--{name}={macro}"] if option[2] else [f"--{name}", macro]
            self.words += joined
            return True
        if value is None or not NAME.fullmatch(name):
            return False
        self.equals = self.equals or bool(option[2])
        self.place = len(self.words) if self.place is None else self.place
        self.found[name] = value
        return True


def _value(text: str) -> bool | int | float | None:
    """Return a word that is a number, true or false; None for another."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else None
    return None


def proposed(name: str, value: bool | int | float) -> dict[str, Any]:
    """Return a range around a value, for the user to correct."""
    if isinstance(value, bool):
        return {"type": "bool"}
    if isinstance(value, int):
        if value > 0:
            log = {"log": True} if value >= 16 else {}
            return {"type": "int", "low": max(1, value // 4), "high": 4 * value, **log}
        return {"type": "int", "low": min(0, 2 * value), "high": 10}
    if value <= 0:
        return {"type": "float", "low": min(0.0, 2 * value), "high": 1.0}
    if value <= 1 and (SHARES.search(name) or (0.1 < value < 1 and not FACTORS.search(name))):
        high = next(bound for bound in (0.9, 0.999, 1.0) if value <= bound)
        return {"type": "float", "low": 0.0, "high": high}
    low, high = (float(f"{bound:.6g}") for bound in (value / 10, value * 10))
    return {"type": "float", "low": low, "high": high, "log": True}


def declared(script: Path) -> Iterator[tuple[str, Any, list[Any] | None]]:
    """Yield name, default and choices of the options that a script adds to an argparse parser.

    Only options whose type and default are written there.

    Raises:
        OSError: The script cannot be read.
        SyntaxError: It is not Python of this version.
    """
    tree = ast.parse(script.read_bytes()[:MAX_SCRIPT])
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    calls.sort(key=lambda call: call.lineno)
    for call in calls:
        named = isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"
        names = [_constant(word) for word in call.args] if named else []
        long = [n for n in names if isinstance(n, str) and OPTION.fullmatch(n)]
        if not long:
            continue
        given = {word.arg: word.value for word in call.keywords}
        kind = given.get("type")
        choices = _constant(given["choices"]) if "choices" in given else None
        default = _constant(given["default"]) if "default" in given else None
        number = kind.id if isinstance(kind, ast.Name) and kind.id in ("int", "float") else None
        if isinstance(choices, list | tuple) and choices:
            yield long[0].removeprefix("--"), default, list(choices)
        elif number and isinstance(default, int | float) and not isinstance(default, bool):
            typed = float(default) if number == "float" else default
            yield long[0].removeprefix("--"), typed, None


def _constant(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, SyntaxError):
        return None


def _of_script(words: Sequence[str], notes: list[str]) -> list[tuple[str, Any, list[Any] | None]]:
    """Return what the command's Python script declares; note why nothing is known."""
    scripts = [Path(word) for word in words if word.endswith(".py")]
    try:
        return list(declared(scripts[0])) if scripts else []
    except (OSError, ValueError, SyntaxError, RecursionError) as error:
        cause = getattr(error, "strerror", None) or error
        notes.append(f"{scripts[0]}: cannot be read ({cause}); its options are not known")
        return []


def draft_command(words: Sequence[str]) -> Draft:
    """Return the draft for a command.

    Args:
        words: The command as typed; its numbers are where the search begins.

    Raises:
        InputError: A number is too large to search around.
    """
    command = _Command()
    command.read(words)
    parameters: dict[str, Searched] = {}
    first: dict[str, Any] = {}
    notes: list[str] = []

    def search(name: str, value: Any, entry: dict[str, Any], comment: str = "") -> None:
        load_section(Parameter, entry, f"--{name}")
        parameters[name] = Searched(entry, comment)
        first.update({} if value is None else {name: value})

    for name, value in command.found.items():
        guess = f"a guess around {flow(value)}: correct it"
        search(name, value, proposed(name, value), guess)
    typed = {option[1] for word in words if (option := OPTION.fullmatch(word))}
    for name, default, choices in _of_script(words, notes):
        plain = name.replace("-", "_").lower()
        if name in typed or not NAME.fullmatch(name):
            continue
        if plain in STEPS and isinstance(default, int) and default > 0:
            command.words += [f"--{name}", "${max_steps}"]
            command.max_steps = default
        elif plain in GIVEN:
            command.words += [f"--{name}", GIVEN[plain]]
        else:
            chosen = default if not choices or default in choices else None
            entry = {"type": "categorical", "choices": choices} if choices else None
            guess = "" if choices else f"a guess around the script's {flow(default)}: correct it"
            try:
                search(name, chosen, entry or proposed(name, default), guess)
            except InputError as error:
                notes.append(f"{error}; left out, write its range into the space")
    if not parameters:
        example = {"type": "float", "low": 1e-4, "high": 0.1, "log": True}
        parameters["lr"] = Searched(example, "an example: name the parameters of your program")
        notes.append("the command names no number to search; write its parameters into the space")
    if not ARGUMENTS.intersection(command.words):
        place = len(command.words) if command.place is None else command.place
        command.words.insert(place, "${args_equals}" if command.equals else "${args}")
    name = _name(words)
    begin = ["# Tried first: what the command has now.", "enqueue:", f"  - {flow(first)}"]
    study = command_text(
        name,
        command.words,
        command.max_steps or 1,
        steps_comment="" if command.max_steps else "1: one value, in the end; else your epochs",
        sections=begin if first else (),
    )
    return Draft(name, study, space_text(name, parameters), notes)


def _name(words: Sequence[str]) -> str:
    """Return a name for the study: that of the script, else of the program."""
    scripts = [word for word in words if Path(word).suffix in (".py", ".sh", ".R", ".jl")]
    return Path(scripts[0] if scripts else words[0]).stem or "study"
