"""Asks for suggestions in a helper process, so that the driver goes on deciding meanwhile.

The helper (`python -m hpsearch.search.asking`) reads one JSON line per ask and answers with one.
It ends when its standard input closes, so it cannot outlive the driver.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.interpreter import child_environment, python_command
from hpsearch.search.config import Limits
from hpsearch.search.coordinates import Coordinates
from hpsearch.search.history import TrialRecord
from hpsearch.search.prior import Prior
from hpsearch.search.samplers.config import SamplerConfig
from hpsearch.search.seen import summarise
from hpsearch.search.space import SearchSpace
from hpsearch.training.config import TrialConfig


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
    ) -> None:
        """Note the problem; the process starts with the first ask."""
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
        self._buffer = b""
        self.pending: int | None = None

    def ask(self, history: Sequence[TrialRecord], n: int) -> None:
        """Ask for the parameters of trial `n`; `answer` has them later."""
        if self._process is None:
            self._process = self._start()
        self.pending = n
        self.seen = summarise(history)
        # Only what has changed since the last ask: a long history takes long to write and to read.
        known = len(self._sent)
        changed = {
            place: trial.to_json()
            for place, trial in enumerate(history)
            if place >= known or self._sent[place] is not trial
        }
        self._sent = list(history)
        self._send({"n": n, "length": len(history), "changed": changed})

    def answer(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the parameters when they are there within `timeout_s`, else None.

        Raises:
            InputError: Every configuration of the space has been tried.
            EnvironmentFailure: The helper died or the sampler raised.
        """
        process = self._process
        if process is None or process.stdout is None or self.pending is None:
            return None
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not ready.select(timeout_s):
                    return None
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                if not chunk:
                    code = process.wait()
                    raise EnvironmentFailure(
                        f"the sampler's process ended (exit code {code}); its message is above, "
                        "run the same command again"
                    )
                self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        self.pending = None
        reply = json.loads(line)
        if "refused" in reply:
            raise InputError(reply["refused"])
        if "error" in reply:
            raise EnvironmentFailure(f"the sampler failed: {reply['error']}; the same command goes on")
        params: dict[str, Any] = reply["params"]
        return params

    def close(self) -> None:
        """End the helper; may be called twice."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            python_command("hpsearch.search.asking"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=child_environment(threads=1),
        )
        self._process, self._sent = process, []
        self._send(self._problem)
        return process

    def _send(self, message: dict[str, Any]) -> None:
        pipe = self._process.stdin if self._process else None
        try:
            if pipe is not None:
                pipe.write(json.dumps(message).encode() + b"\n")
                pipe.flush()
        except BrokenPipeError as error:
            raise EnvironmentFailure(
                "the sampler's process ended; its message is above, run the same command again"
            ) from error


def serve() -> None:
    """Answer asks until standard input closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not look like an answer
    problem = json.loads(sys.stdin.buffer.readline())
    from hpsearch.configfile import parse_yaml
    from hpsearch.search.suggest import suggest

    space = SearchSpace.from_values(parse_yaml(problem["space"].encode(), "space"), "space")
    base = TrialConfig.from_values(problem["base"])
    coordinates = Coordinates(space, base, Limits(**problem["limits"]))
    sampler = SamplerConfig(**problem["sampler"])
    prior = Prior.from_json(problem["prior"]) if problem["prior"] else None
    history: list[TrialRecord] = []
    for line in sys.stdin.buffer:
        ask = json.loads(line)
        del history[ask["length"] :]
        for place, trial in ask["changed"].items():  # in the order of places
            history[int(place) : int(place) + 1] = [TrialRecord.from_json(trial)]
        try:
            params = suggest(coordinates, sampler, history, problem["seed"], ask["n"], prior)
            reply: dict[str, Any] = {"params": params}
        except InputError as error:
            reply = {"refused": str(error)}
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            reply = {"error": f"{type(error).__name__}: {text}"}
        answers.write(json.dumps(reply).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    serve()
