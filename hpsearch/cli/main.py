"""Entry point: registers the commands and turns every error into one line and an exit code.

Exit codes: 0 done; 1 a bug of ours (traceback in a log file); 2 input to mend; 3 the environment
failed, the same command resumes; 130 and 143 stopped by a signal.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback

import typer

from hpsearch import __version__
from hpsearch.cli import (
    confirm,
    data,
    doctor,
    migrate,
    recognise,
    report,
    results,
    search,
    space,
    trace,
)
from hpsearch.errors import HpsearchError

STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit codes of a command stopped by a signal."""

app = typer.Typer(
    name="hpsearch",
    help="Search the hyperparameters of Koch's siamese network for one-shot recognition.",
    epilog="Exit codes: 0 done, 1 a bug (see the log it names), 2 input to mend, 3 the "
    "environment failed and the same command resumes, 130 and 143 stopped by a signal and "
    "resumable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
GROUPS = (search, trace, confirm, results, report, recognise, doctor, migrate)
for command in [one for group in GROUPS for one in group.COMMANDS]:
    app.command()(command)
app.add_typer(data.app, name="data", help="Check, fetch or show a data set.")
app.add_typer(space.app, name="space", help="Show a search space or explain a configuration.")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"hpsearch {__version__}")
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
    try:
        code = typer.main.get_command(app)(standalone_mode=False)
    except HpsearchError as error:
        code = _say(str(error), error.exit_code)
    except typer.Abort:
        code = _say("stopped", 130)
    except KeyboardInterrupt:
        code = _say("stopped", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        advice = "mend that, then run the same command again"
        code = _say(f"{where}{error.strerror or error}; {advice}", 3)
    except Exception as error:
        usage = getattr(error, "format_message", None)
        code = _say(f"{usage()}; see hpsearch --help", 2) if usage else _bug(error)
    if code in STOPPED:  # one more Ctrl-C while Python ends must not change the exit code
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    sys.exit(code if isinstance(code, int) else 0)


def _say(text: str, code: int) -> int:
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    typer.echo(f"hpsearch: {line}", err=True)  # file names may hold escapes
    return code


def _bug(error: Exception) -> int:
    text = "".join(traceback.format_exception(error))
    try:  # under a name that nobody can foresee, and so lay a link there
        handle, log = tempfile.mkstemp(prefix="hpsearch-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        where = f"is in {log}"
    except OSError as failure:
        where = f"could not be written ({failure.strerror})"
    return _say(f"a bug of ours: {type(error).__name__}: {error}; the traceback {where}", 1)


if __name__ == "__main__":
    main()
