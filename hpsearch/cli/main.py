"""Entry point: registers the commands and turns every error into one line and an exit code.

Exit codes: 0 done; 1 a bug (traceback in a log file); 2 invalid input: fix it and rerun; 3 the
environment failed, the same command resumes; 130 and 143 stopped by a signal.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from hpsearch import __version__
from hpsearch.cli import (
    check,
    confirm,
    data,
    doctor,
    evaluate,
    export_model,
    init,
    recognise,
    report,
    requests,
    results,
    search,
    serve,
    space,
    trace,
)
from hpsearch.errors import HpsearchError, hide_passwords, one_line
from hpsearch.output import edges, say, unwaited
from hpsearch.paths import user_path

STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit codes of a command stopped by a signal."""
LONG = (search.search, confirm.confirm, results.retrain)
"""Long commands, which continue when the terminal closes."""

app = typer.Typer(
    name="hpsearch",
    help="Search the hyperparameters of Koch's siamese network for one-shot recognition.",
    epilog="Exit codes: 0 done, 1 a bug (see the log it names), 2 invalid input: fix it and "
    "rerun, 3 the environment failed and the same command resumes, 130 and 143 stopped by a "
    "signal and resumable.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS: tuple[Callable[..., Any], ...] = (
    *(check.check, search.search, search.status, search.list_studies, search.trials, search.copy),
    *(trace.show, trace.verify, confirm.confirm),
    *(results.export, results.retrain, evaluate.evaluate, results.dashboard),
    *(requests.enqueue, requests.stop),
    *(report.baselines, report.report, recognise.recognise, doctor.doctor, search.migrate),
    export_model.export_model,
    serve.serve,
)
for command in COMMANDS:
    app.command()(command)
app.command(cls=init.OwnWords)(init.init)
app.add_typer(data.app, name="data", help="Check, fetch or show a data set.")
app.add_typer(space.app, name="space", help="Show a search space or explain a configuration.")


def outlive_terminal() -> None:
    """Continue when the terminal closes, as the workers started from now on do."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _prepared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command that expands ~ and, if it is long, outlives its terminal."""

    @functools.wraps(command)
    def run(**given: Any) -> Any:
        if command in LONG:
            outlive_terminal()
        return command(**{name: _at_home(value) for name, value in given.items()})

    return run


def _at_home(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(map(_at_home, value))
    return user_path(value) if isinstance(value, Path) else value


for one in [one for group in (app, data.app, space.app) for one in group.registered_commands]:
    if one.callback is not None:
        one.callback = _prepared(one.callback)


def _version(value: bool) -> None:
    if value:
        say(f"hpsearch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Search the hyperparameters of Koch's siamese network for one-shot recognition."""


def main() -> None:
    """Run the command line and exit."""
    with edges() as printed:
        try:
            code = _run()
        except KeyboardInterrupt:  # a second one during the handling of the first
            code = 128 + signal.SIGINT
        if code in STOPPED:  # a further signal must not change the exit code
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
        for name, edge in zip(("standard output", "standard error"), printed, strict=True):
            if code in STOPPED:
                edge.hurry()
            edge.flush()
            if edge.failure is not None and not code:
                code = _say(f"{name}: {edge.failure.strerror}; fix that, then run it again", 3)
    sys.exit(code)


def _run() -> int:
    """Run a command; return its exit code."""
    try:
        code = typer.main.get_command(app)(standalone_mode=False)
    except HpsearchError as error:
        return _say(str(error), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return _say("stopped", 130)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        advice = "fix that, then run the same command again"
        return _say(f"{where}{error.strerror or error}; {advice}", 3)
    except MemoryError as error:
        advice = "free memory or raise the limit, then run the same command again"
        return _say(f"out of memory ({error or 'no size named'}); {advice}", 3)
    except UnicodeEncodeError as error:  # the bytes of a path are not UTF-8
        near = error.object[max(0, error.start - 40) : error.end + 40]
        return _say(f"{near}: not UTF-8 ({error.reason}); give it another name", 2)
    except Exception as error:
        usage = getattr(error, "format_message", None)
        return _say(f"{usage()}; see hpsearch --help", 2) if usage else _bug(error)
    return code if isinstance(code, int) else 0


def _say(text: str, code: int) -> int:
    line = " ".join(one_line(hide_passwords(text)).split())
    with unwaited(sys.stderr, lambda: int(code in STOPPED)):
        say(f"hpsearch: {line}", err=True)
    return code


def _bug(error: Exception) -> int:
    text = hide_passwords("".join(traceback.format_exception(error)))
    try:  # an unpredictable name, so that nobody can place a link there
        handle, log = tempfile.mkstemp(prefix="hpsearch-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        where = f"is in {log}"
    except OSError as failure:
        where = f"could not be written ({failure.strerror})"
    return _say(f"a bug of ours: {type(error).__name__}: {error}; the traceback {where}", 1)


if __name__ == "__main__":
    main()
