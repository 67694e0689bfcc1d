"""A note for each trial in Optuna Dashboard: its parameters, its end, and its proposal.

The notes are added to the dashboard's responses and never stored: only the driver writes to the
database, and notes of two thousand trials would slow the dashboard down. The user's own notes,
made with --write, take precedence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hpsearch.confirm.certificate import best_among, confirmed_errors, in_words, rivals
from hpsearch.measure import VALIDATION_ERROR, Measure, measure_of
from hpsearch.paths import shell_word
from hpsearch.recognition.support import printable
from hpsearch.trial import TrialRecord, best_trial
from hpsearch.wording import count

STUDY_DETAIL = re.compile(r"/api/studies/(\d+)")
MOST_CAUSE = 2_000
"""Maximum number of characters shown of a cause."""


class Notes:
    """WSGI middleware: adds a note to the study and to every trial without one."""

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        study: str,
        standings: Callable[[int], Mapping[int, str]] = lambda _: {},
        shown: Measure = VALIDATION_ERROR,
    ) -> None:
        """Prepare.

        Args:
            app: Optuna Dashboard.
            study: The study's folder, for command lines.
            standings: Returns the current `standings` of the study with an id.
            shown: How values are shown.
        """
        self._app, self._study, self._standings = app, study, standings
        self._shown = shown

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Handle one request."""
        asked = STUDY_DETAIL.fullmatch(environ.get("PATH_INFO", ""))
        if asked is None or environ["REQUEST_METHOD"] != "GET":
            return self._app(environ, start)
        answers: list[tuple[Any, ...]] = []
        environ = {**environ, "HTTP_ACCEPT_ENCODING": "identity"}
        body = b"".join(self._app(environ, lambda *answer: answers.append(answer)))
        status, headers, *rest = answers[-1]
        if status.startswith("200"):
            body = self._noted(body, int(asked[1]))
            headers = [(k, v) for k, v in headers if k.lower() != "content-length"]
            headers.append(("Content-Length", str(len(body))))
        start(status, headers, *rest)
        return [body]

    def _noted(self, body: bytes, study_id: int) -> bytes:
        standings = self._standings(study_id)
        try:
            detail = json.loads(body)
            for trial in [*detail["trials"], *detail["best_trials"]]:
                if not trial["note"]["body"]:
                    standing = standings.get(trial["number"], "")
                    trial["note"]["body"] = note(trial, self._study, standing, self._shown)
            if not detail["note"]["body"]:  # an open page polls this one
                said = [f"Trial {number}: {text}" for number, text in standings.items()]
                detail["note"]["body"] = "\n\n".join(said)
        except (ValueError, KeyError, TypeError):
            return body  # another version of the dashboard: no notes
        return json.dumps(detail).encode()


def standings(trials: Sequence[TrialRecord], certificate: dict[str, Any] | None) -> dict[int, str]:
    """Return, by number, what is known of each trial that may be the best.

    The dashboard calls the lowest error the best; if another trial is confirmed, both have an
    entry.

    Args:
        trials: All, by number.
        certificate: The study's certificate, or None.
    """
    lowest, (best, held) = best_trial(trials), best_among(trials, certificate)
    if lowest is None or best is None:
        return {}
    if held is None:
        complete = count(sum(t.state == "complete" for t in trials), "complete trial")
        return {lowest.number: f"lowest error of {complete} so far, unconfirmed"}
    rows, shown, said = rivals(held), measure_of(held), dict[int, str]()
    if lowest.number != best.number:
        which = _named(rows) if len(rows) == 1 else f"one of {_named(rows)}"
        said[lowest.number] = f"lowest error of the search; confirmed best is {which}"
    for number, error in confirmed_errors({"candidates": rows}).items() if len(rows) > 1 else ():
        others = _named([row for row in rows if row["trial"] != number])
        tied = f"cannot be told apart from {others}"
        on = "on fresh tasks" if shown.share else "with fresh seeds"
        said[number] = f"confirmed {shown.short} {error} {on}; {tied}"
    if len(rows) == 1:
        said[best.number] = in_words(held)
    return said


def _named(rows: Sequence[Mapping[str, Any]]) -> str:
    numbers = [str(row["trial"]) for row in rows]
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def note(
    trial: Mapping[str, Any], study: str, standing: str = "", shown: Measure = VALIDATION_ERROR
) -> str:
    """Return the note of one trial, Markdown.

    Args:
        trial: The trial in the dashboard's format.
        study: The study's folder, for command lines.
        standing: Its entry in `standings`.
        shown: How values are shown.
    """
    attributes = {a["key"]: _plain(a["value"]) for a in trial.get("user_attrs", [])}
    params = {p["name"]: p["param_external_value"] for p in trial.get("params", [])}
    values = {v["step"]: v["value"] for v in trial.get("intermediate_values", [])}
    numbers = [float(v) for v in values.values() if isinstance(v, int | float)]
    head = f"**Trial {trial['number']}** {str(trial['state']).lower()}"
    if numbers:
        best, steps = shown.text(min(numbers)), count(len(values), shown.step)
        head += f": {shown.name} {best} after {steps}"
    if "seconds" in attributes:
        head += f", {float(attributes['seconds']):.0f} s"
    parts = [head]
    if standing:
        parts.append(f"**{standing[0].upper()}{standing[1:]}**")
    if "cause" in attributes:
        cause = printable(str(attributes["cause"]))[:MOST_CAUSE]
        parts += ["Why it ended:", fenced(cause)]
    if params:
        parts += ["As trained:", fenced("\n".join(_layers(params)))]
    origin = printable(str(attributes.get("origin", "unknown")))
    command = printable(f"hpsearch show {shell_word(study)} {trial['number']}")
    parts += ["How it was proposed:", fenced(f"proposed by {origin}\n{command}")]
    return "\n\n".join(parts)


def fenced(text: str) -> str:
    """Return a code block, in which Markdown and HTML are not interpreted."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _layers(params: Mapping[str, str]) -> list[str]:
    """Return a line for each layer with its searched settings."""
    groups: dict[str, list[str]] = {}
    for name, value in params.items():
        layer, _, setting = name.rpartition(".")
        groups.setdefault(layer, []).append(f"{setting} {_short(value)}")
    width = max(len(layer) for layer in groups)
    return [f"{layer:{width}}  {', '.join(settings)}" for layer, settings in groups.items()]


def _short(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return printable(str(value))
    return f"{number:.0f}" if number == int(number) else f"{number:.3g}"


def _plain(value: Any) -> Any:
    """Return an attribute's value, which the dashboard stores as JSON text."""
    try:
        return json.loads(value)
    except (ValueError, TypeError):
        return value
