"""Asks for suggestions in a helper process, so that the driver goes on deciding meanwhile.

The helper (`python -m hpsearch.samplers.ask_process`) reads one JSON line per ask and answers with one;
until then it gives signs of life. It ends when its standard input closes, so it cannot outlive the
driver. One that is silent for too long is started again: asking is a pure function.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, BinaryIO

from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.interpreter import child_environment, python_command
from hpsearch.samplers.config import SamplerConfig
from hpsearch.samplers.prior import Prior
from hpsearch.samplers.snapshot import summarise
from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.training.config import TrialConfig
from hpsearch.trial import TrialRecord
from hpsearch.waiting import TURN_S, Patience, end_process

BEAT_S = 2.0
"""Seconds between two signs of life."""
ANSWER_S = 1800.0
"""How long a suggestion may take, however lively the helper is."""
TICK_S = 0.1
GRACE_S = 2.0
"""How long a helper that has closed its pipe may take to exit by itself."""
STARTS = 2
"""How often the helper is started for one ask."""


class Asker:
    """One helper process; at most one ask at a time."""

    seen: dict[str, Any] | None = None
    """What the last ask had seen of the history."""

    def __init__(
        self,
        space: SearchSpace,
        base: TrialConfig,
        limits: Limits,
        sampler: SamplerConfig,
        seed: int,
        prior: Prior | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Note the problem; the process starts with the first ask."""
        self._patience = patience or Patience()
        self._problem = {
            "space": space.to_yaml(),
            "base": base.plain(),
            "limits": limits.model_dump(mode="json"),
            "sampler": sampler.model_dump(mode="json"),
            "seed": seed,
            "prior": prior and prior.to_json(),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._sent: list[TrialRecord] = []
        self._buffer, self._outgoing = b"", bytearray()
        self._looked = self._asked_s = self._silent_s = 0.0
        self._told = False
        self._starts = 0
        self.pending: int | None = None

    def ask(self, history: Sequence[TrialRecord], n: int) -> None:
        """Ask for the parameters of trial `n`; `answer` has them later."""
        self.pending, self._starts = n, 1
        self._asked_s = 0.0
        self.seen = summarise(history)
        self._ask(history)

    def _ask(self, history: Sequence[TrialRecord]) -> None:
        if self._process is None:
            self._process = self._start()
        self._looked, self._silent_s, self._told = time.monotonic(), 0.0, False
        # Only what has changed since the last ask: a long history takes long to write and to read.
        known = len(self._sent)
        changed = {
            place: trial.to_json()
            for place, trial in enumerate(history)
            if place >= known or self._sent[place] is not trial
        }
        self._sent = list(history)
        self._send({"n": self.pending, "length": len(history), "changed": changed})

    def answer(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the parameters when they are there within `timeout_s`, else None.

        Raises:
            InputError: Every configuration of the space has been tried.
            EnvironmentFailure: The helper died, gave no sign of life, or the sampler raised.
        """
        if self._process is None or self.pending is None:
            return None
        until = time.monotonic() + timeout_s
        while (line := self._line()) is None:
            left_s = until - time.monotonic()
            if not self._exchange(max(0.0, min(left_s, TICK_S))):
                self._check_alive()
            if left_s <= 0:
                return None
        self.pending = None
        reply = json.loads(line)
        if "refused" in reply:
            raise InputError(reply["refused"])
        if "error" in reply:
            raise EnvironmentFailure(
                f"the sampler failed: {reply['error']}; the same command goes on"
            )
        params: dict[str, Any] = reply["params"]
        return params

    def _line(self) -> bytes | None:
        """Return the answer where it has come, past the signs of life."""
        while b"\n" in self._buffer:
            line, self._buffer = self._buffer.split(b"\n", 1)
            if line:
                return line
        return None

    def _exchange(self, timeout_s: float) -> bool:
        """Write and read what the pipes take; say whether something was read."""
        process = self._process
        if process is None or process.stdout is None or process.stdin is None:
            return False
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            if self._outgoing:
                ready.register(process.stdin, selectors.EVENT_WRITE)
            pipes = [key.fileobj for key, _ in ready.select(timeout_s)]
        if process.stdin in pipes:
            self._write()
        if process.stdout not in pipes:
            return False
        chunk = os.read(process.stdout.fileno(), 1 << 16)
        if not chunk:
            end_process(process, GRACE_S)
            raise EnvironmentFailure(
                f"the sampler's process ended (exit code {process.returncode}); its message is above, "
                "run the same command again"
            )
        self._buffer += chunk
        self._look()
        self._silent_s, self._told = 0.0, False
        return True

    def _look(self) -> float:
        """Return the seconds since the last look, without those in which this process was stopped."""
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, TURN_S), now
        self._asked_s += passed
        return passed

    def _check_alive(self) -> None:
        """Start a helper again that has been silent for too long; tell of it before."""
        patience = self._patience
        self._silent_s += self._look()
        if self._asked_s > ANSWER_S:
            raise EnvironmentFailure(
                f"trial {self.pending}: no suggestion within {ANSWER_S:g} s; run the same command "
                "again when the machine is less busy"
            )
        who = "the sampler's process gives no sign of life"
        if self._silent_s > patience.limit_s:
            if self._starts >= STARTS:
                raise EnvironmentFailure(
                    f"{who} within {patience.limit_s:g} s, after a new start too; see what stops it, "
                    "then run the same command again"
                )
            self._starts += 1
            patience.tell(f"{who}; it is started again")
            history = self._sent
            self.close()
            self._ask(history)
        elif self._silent_s > patience.notice_s and not self._told:
            self._told = True
            patience.tell(f"{who}; waiting at most {patience.limit_s:g} s")

    def close(self) -> None:
        """End the helper; may be called twice."""
        process, self._process = self._process, None
        if process is not None:
            end_process(process)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            python_command("hpsearch.samplers.ask_process"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=child_environment(threads=1),
            bufsize=0,
        )
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
        self._process, self._sent = process, []
        self._buffer, self._outgoing = b"", bytearray()
        self._send(self._problem)
        return process

    def _send(self, message: dict[str, Any]) -> None:
        """Write what the pipe takes now; `answer` writes the rest."""
        self._outgoing += json.dumps(message).encode() + b"\n"
        self._write()

    def _write(self) -> None:
        pipe = self._process.stdin if self._process else None
        try:
            if pipe is not None:
                del self._outgoing[: os.write(pipe.fileno(), self._outgoing)]
        except BlockingIOError:
            pass
        except BrokenPipeError as error:
            raise EnvironmentFailure(
                "the sampler's process ended; its message is above, run the same command again"
            ) from error


class _Answers:
    """The helper's end of the pipe to the driver."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe, self._writing = pipe, threading.Lock()
        self.working = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        """Send an empty line again and again while there is something to answer."""
        while self.working.wait():
            self.write(b"")
            time.sleep(BEAT_S)

    def write(self, line: bytes) -> None:
        with self._writing:
            self._pipe.write(line + b"\n")
            self._pipe.flush()


def serve() -> None:
    """Answer asks until standard input closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _Answers(os.fdopen(os.dup(1), "wb"))
    answers.working.set()  # also while libraries are loaded
    os.dup2(2, 1)  # whatever a library prints must not look like an answer
    opening = json.loads(sys.stdin.buffer.readline())
    from hpsearch.configfile import parse_yaml
    from hpsearch.samplers.suggest import suggest

    space = SearchSpace.from_values(parse_yaml(opening["space"].encode(), "space"), "space")
    base = TrialConfig.from_values(opening["base"])
    problem = SearchProblem(space, base, Limits(**opening["limits"]))
    sampler = SamplerConfig(**opening["sampler"])
    prior = Prior.from_json(opening["prior"]) if opening["prior"] else None
    history: list[TrialRecord] = []
    answers.working.clear()
    for line in sys.stdin.buffer:
        answers.working.set()
        if not line.endswith(b"\n"):
            break  # torn: the driver is gone
        ask = json.loads(line)
        del history[ask["length"] :]
        for place, trial in ask["changed"].items():  # in the order of places
            history[int(place) : int(place) + 1] = [TrialRecord.from_json(trial)]
        try:
            params = suggest(problem, sampler, history, opening["seed"], ask["n"], prior)
            reply: dict[str, Any] = {"params": params}
        except InputError as error:
            reply = {"refused": str(error)}
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            reply = {"error": f"{type(error).__name__}: {text}"}
        answers.working.clear()
        answers.write(json.dumps(reply).encode())


if __name__ == "__main__":
    serve()
