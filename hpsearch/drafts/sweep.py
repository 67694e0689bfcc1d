"""Drafts a study from a W&B sweep file. What has no equal is named, one line each; nothing is run.

Reference: https://docs.wandb.ai/guides/sweeps, keys of a sweep and their distributions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpsearch.configfile import load_section, read_yaml
from hpsearch.drafts.command import STEPS
from hpsearch.drafts.draft import TRIALS, Draft, Searched, command_text, flow, space_text
from hpsearch.errors import InputError, one_line
from hpsearch.space.parameter import Parameter
from hpsearch.space.space import NAME

LONG = 1000
"""Steps of a trial where the sweep does not say how many a run has; a program may end earlier."""
ETA = 3
"""W&B's factor between two brackets."""
SIGMAS = 3
"""Standard deviations that stand for the ends of a normal distribution."""
DEFAULT = ("${env}", "${interpreter}", "${program}", "${args}")
METHODS = {"bayes": "bayes", "random": "random", "grid": "random"}
PLACES = ("description", "entity", "project", "name")
"""Keys that say where W&B shows a sweep, and how; nothing is lost with them."""
KNOWN = {"command", "early_terminate", "method", "metric", "parameters", "program", "run_cap"}


class _Sweep:
    """A sweep file while it is translated."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self.path, self.values = path, values
        self.notes: list[str] = []
        self.parameters: dict[str, Searched] = {}

    def part(self, key: str, values: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Return a key whose value is a mapping; empty where it is missing."""
        held = (self.values if values is None else values).get(key)
        if held is None:
            return {}
        if not isinstance(held, Mapping):
            raise self.error(key, f"must be KEY: VALUE lines (found {held!r:.60})")
        return held

    def error(self, key: str, text: str) -> InputError:
        """Return the refusal of a key."""
        return InputError(f"{self.path}: {key}: {text}")

    def say(self, key: str, text: str) -> None:
        """Note what has no equal."""
        self.notes.append(one_line(f"{key}: {text}"))

    def read_parameters(self, entries: Mapping[str, Any], above: str = "") -> None:
        """Translate the parameters, nested ones under their path."""
        for key, entry in entries.items():
            name = f"{above}{key}"
            if not isinstance(entry, Mapping):
                raise self.error(f"parameters.{name}", "must have min and max, values, or value")
            if "parameters" in entry:
                self.read_parameters(self.part("parameters", entry), f"{name}.")
                continue
            if not NAME.fullmatch(name):
                raise self.error(
                    f"parameters.{name}", "a name has letters, digits, _, - and dots; rename it"
                )
            self.parameters[name] = self._checked(name, dict(entry))
        if above:
            self.say(
                f"parameters.{above.removesuffix('.')}",
                f"nested parameters reach the program as --{above}NAME=VALUE, not as one mapping",
            )

    def _checked(self, name: str, entry: dict[str, Any]) -> Searched:
        try:
            found = self._parameter(f"parameters.{name}", entry)
        except KeyError as error:
            raise self.error(f"parameters.{name}", f"{error.args[0]} is missing") from error
        except (TypeError, ValueError, ArithmeticError) as error:
            text = one_line(f"{error}; correct it (found {entry})")[:300]
            raise self.error(f"parameters.{name}", text) from error
        load_section(Parameter, dict(found.entry), f"{self.path}: parameters.{name}")
        return found

    def _parameter(self, where: str, entry: dict[str, Any]) -> Searched:
        if "value" in entry:
            return Searched({"type": "fixed", "value": self._choice(where, entry["value"])})
        kind = entry.get("distribution")
        if "values" in entry or kind == "categorical":
            if not isinstance(entry["values"], Sequence) or isinstance(entry["values"], str):
                raise ValueError("values must be a list")
            if "probabilities" in entry:
                self.say(where, "probabilities have no equal: all values are equally likely")
            choices = [self._choice(where, one) for one in entry["values"]]
            # 1 and true are equal in Python.
            own = {(isinstance(one, bool), one): one for one in choices}
            return Searched({"type": "categorical", "choices": list(own.values())})
        if kind is None:
            both = (entry["min"], entry["max"])
            whole = all(isinstance(bound, int) and not isinstance(bound, bool) for bound in both)
            kind = "int_uniform" if whole else "uniform"
        make = DISTRIBUTIONS.get(str(kind))
        if make is None:
            known = ", ".join(sorted([*DISTRIBUTIONS, "categorical", "constant"]))
            raise ValueError(f"distribution {kind!r} is unknown; known: {known}")
        found, lost = make(entry)
        if lost:
            self.say(where, lost)
        return Searched(found, lost)

    def _choice(self, where: str, value: Any) -> Any:
        """Return a choice; what is nested or nothing becomes the text that W&B's agent writes."""
        if isinstance(value, bool):
            told = "true and false reach the program in small letters, not as True and False"
            if not any(told in note for note in self.notes):
                self.say(where, told)
            return value
        if isinstance(value, int | float | str) and value == value:
            return value
        self.say(where, f"{value!r:.60} becomes a text; ${{args_json}} holds it as such")
        return str(value)

    def words(self) -> list[str]:
        """Translate the command."""
        command = self.values.get("command", DEFAULT)
        if isinstance(command, str):
            command = command.split()
        if not isinstance(command, Sequence) or not command:
            raise self.error("command", "must be a list of words")
        program = self.values.get("program")
        done: list[str] = []
        for word in map(str, command):
            if word == "${program}" and program is None:
                raise self.error("program", "is missing; the command asks for it")
            done += self._word(word, str(program))
        if not done:
            raise self.error("command", "names no program")
        return done

    def _word(self, word: str, program: str) -> list[str]:
        single = {
            "${env}": [],  # PATH finds the program here too
            "${interpreter}": ["python"],
            "${program}": [program],
            "${args}": ["${args_equals}"],
            "${args_json}": ["${args_json}"],
            "${args_no_hyphens}": [f"{n}=${{parameter:{n}}}" for n in self.parameters],
        }
        if word in single:
            return single[word]
        if word == "${args_no_boolean_flags}":
            self.say(
                "command", f"{word} has no equal: a flag comes as --NAME=true or --NAME=false"
            )
            return ["${args_equals}"]
        if word == "${args_json_file}":
            self.say("command", f"{word} has no equal: HPSEARCH_PARAMETERS holds this JSON")
            return []
        if "${" in word:
            self.say("command", f"{word} has no equal and is left out; write what it stands for")
            return []
        return [word]

    def value_lines(self) -> list[str]:
        """Translate the metric."""
        metric = self.part("metric")
        goal = metric.get("goal", "minimize")
        if goal not in ("minimize", "maximize"):
            raise self.error("metric.goal", f"must be minimize or maximize (found {goal!r:.60})")
        if "target" in metric:
            self.say("metric.target", "has no equal: the budget ends the search")
        name = one_line(str(metric.get("name", "value")))[:40]
        return [f"direction: {goal}", f"measure: {flow(name)}  # what the program reports"]

    def early(self) -> tuple[list[str], int | None]:
        """Translate early_terminate; return the pruner's lines and the steps of a run."""
        early = self.part("early_terminate")
        if not early:
            return ["# No trial is ended early, as in the sweep.", "pruner: {name: none}"], None
        if early.get("type", "hyperband") != "hyperband":
            raise self.error("early_terminate.type", f"{early['type']!r:.40}: known: hyperband")
        eta, longest = self._given(early, "eta", ETA), self._given(early, "max_iter", 0)
        whole = min(max(round(eta), 2), 10)
        if whole != eta:
            self.say("early_terminate.eta", f"{eta:g} becomes {whole}, a whole number up to 10")
        first = self._given(early, "min_iter", 0)
        if not first and not longest:
            raise self.error("early_terminate", "needs min_iter, or max_iter and s")
        first = first or longest / whole ** min(self._given(early, "s", 1), 30)
        if early.get("strict"):
            self.say("early_terminate.strict", "has no equal: the best of each rung goes on")
        rung = max(1, round(first))
        pruner = {"name": "asha", "min_resource": rung, "reduction_factor": whole}
        comment = "# W&B's hyperband ends runs at growing numbers of steps, which is asha here."
        return [comment, f"pruner: {flow(pruner)}"], round(longest) or None

    def _given(self, early: Mapping[str, Any], key: str, default: float) -> float:
        value = early.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
            raise self.error(f"early_terminate.{key}", f"must be a number (found {value!r:.60})")
        return value

    def steps(self, longest: int | None, early: bool) -> tuple[int, str]:
        """Return the steps of a full trial, and where they come from."""
        if longest is not None:
            return longest, "the sweep's max_iter"
        for name, one in self.parameters.items():
            value = one.entry.get("value")
            if name.replace("-", "_").lower() in STEPS and isinstance(value, int):
                return value, f"the sweep's {name}"
        if not early:
            return LONG, "more than a trial has: it ends by itself; write your number of steps"
        self.say("max_steps", f"the sweep does not say how many steps a run has; {LONG} stands in")
        return LONG, "the sweep does not say; write the steps that your program reports"


Translated = tuple[dict[str, Any], str]
"""A parameter's entry, and what is lost."""


def _number(entry: Mapping[str, Any], key: str, default: float | None = None) -> float:
    value = entry.get(key, default)
    if value is None:
        raise KeyError(key)
    return float(value)


def _plain(kind: str, low: float, high: float, **more: Any) -> dict[str, Any]:
    typed = int if kind == "int" else float
    return {"type": kind, "low": typed(low), "high": typed(high), **more}


def _int_uniform(entry: Mapping[str, Any]) -> Translated:
    return _plain("int", _number(entry, "min"), _number(entry, "max")), ""


def _uniform(entry: Mapping[str, Any]) -> Translated:
    return _plain("float", _number(entry, "min"), _number(entry, "max")), ""


def _stepped(low: float, high: float, q: float) -> dict[str, Any]:
    """Return the multiples of q from the one nearest to low to the one nearest to high."""
    first, last = round(low / q), round(high / q)
    kind = "int" if q == int(q) else "float"
    ends = [float(f"{one * q:.12g}") for one in (first, last)]
    return _plain(kind, *ends, step=int(q) if kind == "int" else q)


def _q_uniform(entry: Mapping[str, Any]) -> Translated:
    return _stepped(_number(entry, "min"), _number(entry, "max"), _number(entry, "q", 1)), ""


def _log(entry: Mapping[str, Any], *, exponents: bool, inverse: bool = False) -> Translated:
    low, high = _number(entry, "min"), _number(entry, "max")
    if exponents:
        low, high = (-high, -low) if inverse else (low, high)
        low, high = float(f"{math.exp(low):.12g}"), float(f"{math.exp(high):.12g}")
    return _plain("float", low, high, log=True), ""


def _q_log(entry: Mapping[str, Any], *, exponents: bool) -> Translated:
    (found, _), q = _log(entry, exponents=exponents), _number(entry, "q", 1)
    if q != int(q) or found["high"] < 1:
        return found, f"q {q:g} has no equal beside a logarithm: any value is drawn"
    whole = _plain("int", max(1, round(found["low"])), round(found["high"]), log=True)
    return whole, "" if q == 1 else f"q {q:g} has no equal beside a logarithm: any whole number"


def _normal(entry: Mapping[str, Any], *, log: bool = False, q: bool = False) -> Translated:
    mu, sigma = _number(entry, "mu", 0), _number(entry, "sigma", 1)
    ends = [float(f"{mu + sign * SIGMAS * sigma:.12g}") for sign in (-1, 1)]
    drawn = "its logarithm uniform" if log else "uniform"
    lost = f"a normal distribution has no equal: {drawn} within {SIGMAS} sigma of mu"
    if log:
        ends = [float(f"{math.exp(end):.12g}") for end in ends]
        lost += f"; q {_number(entry, 'q', 1):g} is left out" if q else ""
        return _plain("float", *ends, log=True), lost
    if q:
        return _stepped(ends[0], ends[1], _number(entry, "q", 1)), lost
    return _plain("float", *ends), lost


def _beta(entry: Mapping[str, Any], *, q: bool = False) -> Translated:
    lost = "a beta distribution has no equal: uniform from 0 to 1"
    return (_stepped(0, 1, _number(entry, "q", 1)) if q else _plain("float", 0, 1)), lost


DISTRIBUTIONS: dict[str, Callable[[Mapping[str, Any]], Translated]] = {
    "int_uniform": _int_uniform,
    "uniform": _uniform,
    "q_uniform": _q_uniform,
    "log_uniform": lambda entry: _log(entry, exponents=True),
    "log_uniform_values": lambda entry: _log(entry, exponents=False),
    # 1/x has a uniform logarithm exactly where x has one.
    "inv_log_uniform": lambda entry: _log(entry, exponents=True, inverse=True),
    "inv_log_uniform_values": lambda entry: _log(entry, exponents=False),
    "q_log_uniform": lambda entry: _q_log(entry, exponents=True),
    "q_log_uniform_values": lambda entry: _q_log(entry, exponents=False),
    "normal": _normal,
    "q_normal": lambda entry: _normal(entry, q=True),
    "log_normal": lambda entry: _normal(entry, log=True),
    "q_log_normal": lambda entry: _normal(entry, log=True, q=True),
    "beta": _beta,
    "q_beta": lambda entry: _beta(entry, q=True),
}
"""W&B's distributions with bounds; min and max of log_uniform are exponents of e."""


def draft_sweep(path: Path) -> Draft:
    """Return the draft for a W&B sweep.

    Raises:
        InputError: It cannot be read as a sweep.
    """
    sweep = _Sweep(path, read_yaml(path))
    sweep.read_parameters(sweep.part("parameters"))
    if not sweep.parameters:
        raise sweep.error("parameters", "is missing; a sweep names what it searches")
    words = sweep.words()
    pruner, longest = sweep.early()
    steps, steps_comment = sweep.steps(longest, bool(sweep.part("early_terminate")))
    method = str(sweep.values.get("method", "bayes"))
    if method not in METHODS:
        raise sweep.error("method", f"{method!r:.40}: known: {', '.join(METHODS)}")
    if method == "grid":
        sweep.say("method: grid", "has no equal: random tries no configuration twice")
    trials, cap = TRIALS, sweep.values.get("run_cap")
    if isinstance(cap, int) and cap > 0:
        trials = cap
    else:
        sweep.say("run_cap", f"the sweep has no end, a study needs one: {TRIALS} trials")
    for key in sweep.values:
        if key not in KNOWN and key not in PLACES:
            sweep.say(str(key), "has no equal and is left out")
    sampler = f"sampler: {{name: {METHODS[method]}}}  # method {method}"
    comments = [f"# {note}" for note in sweep.notes]
    name = one_line(str(sweep.values.get("name") or path.stem))[:100]
    study = command_text(
        name,
        words,
        steps,
        steps_comment=steps_comment,
        more=sweep.value_lines(),
        trials=trials,
        sections=[sampler, *pruner, *(["# Of the sweep:"] if comments else []), *comments],
    )
    sweep.notes.append(
        "the program must report its values: two lines, docs/trainer.md; wandb.log does not"
    )
    return Draft(f"{path.stem}-study", study, space_text(name, sweep.parameters), sweep.notes)
