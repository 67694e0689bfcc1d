"""Ask for suggestions in a helper process, so that the driver goes on deciding meanwhile.

The helper (`python -m hpsearch.samplers.ask_process`) answers each ask with one JSON line. It ends
when its standard input closes, so it cannot outlive the driver. A helper that is silent for too
long is started again: asking is a pure function.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Sequence
from typing import Any

from hpsearch.awake import AwakeClock
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.front import Goals
from hpsearch.interpreter import child_environment, python_command
from hpsearch.json_process import JsonProcess, ParentPipe
from hpsearch.samplers.config import SamplerConfig
from hpsearch.samplers.prior import Prior
from hpsearch.samplers.snapshot import summarise
from hpsearch.space.limits import Limits
from hpsearch.space.problem import SearchProblem
from hpsearch.space.space import SearchSpace
from hpsearch.trainers.recipe import read_recipe
from hpsearch.trial import TrialRecord
from hpsearch.waiting import TURN_S, Patience

ANSWER_S = 1800.0
"""How long a suggestion may take, even while the helper gives signs of life."""
TICK_S = 0.1
STARTS = 2
"""How often the helper is started for one ask."""


class Asker:
    """One helper process; at most one ask at a time."""

    seen: dict[str, Any] | None = None
    """The history that the last ask has seen, in short."""

    def __init__(
        self,
        problem: SearchProblem,
        sampler: SamplerConfig,
        seed: int,
        prior: Prior | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Store the problem; the process starts with the first ask."""
        self._patience = patience or Patience()
        self._problem = {
            "space": problem.space.to_yaml(),
            "base": problem.base.plain(),
            "limits": problem.limits.model_dump(mode="json"),
            "goals": problem.goals.model_dump(mode="json"),
            "unit": problem.resource.kind,
            "sampler": sampler.model_dump(mode="json"),
            "seed": seed,
            "prior": prior and prior.to_json(),
        }
        self._process: JsonProcess | None = None
        self._clock = AwakeClock(TURN_S)
        self._sent: list[TrialRecord] = []
        self._asked = 0.0
        self._told = False
        self._starts = 0
        self.pending: int | None = None

    def ask(self, history: Sequence[TrialRecord], n: int) -> None:
        """Ask for the parameters of trial `n`; `answer` returns them later."""
        self.pending, self._starts = n, 1
        self._asked = self._clock()
        self.seen = summarise(history)
        self._ask(history)

    def _ask(self, history: Sequence[TrialRecord]) -> None:
        if self._process is None:
            command = python_command("hpsearch.samplers.ask_process")
            self._process = JsonProcess(command, child_environment(threads=1), self._clock)
            self._process.send(self._problem)
            self._sent = []
        self._process.expect()
        self._told = False
        # Only what has changed since the last ask: a long history takes long to write and to read.
        known = len(self._sent)
        changed = {
            place: trial.to_json()
            for place, trial in enumerate(history)
            if place >= known or self._sent[place] is not trial
        }
        self._sent = list(history)
        self._process.send({"n": self.pending, "length": len(history), "changed": changed})

    def answer(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the parameters, or None where they have not come within `timeout_s`.

        Raises:
            InputError: Every configuration of the space has been tried.
            EnvironmentFailure: The helper died, gave no sign of life, or the sampler raised.
        """
        process = self._process
        if process is None or self.pending is None:
            return None
        until = time.monotonic() + timeout_s
        while True:
            left_s = until - time.monotonic()
            if lines := process.exchange(max(0.0, min(left_s, TICK_S))):
                break
            process = self._check_alive(process)
            if left_s <= 0:
                return None
        self.pending = None
        reply = json.loads(lines[0])
        if "refused" in reply:
            raise InputError(reply["refused"])
        if "error" in reply:
            raise EnvironmentFailure(
                f"the sampler failed: {reply['error']}; the same command goes on"
            )
        return dict(reply["params"])

    def _check_alive(self, process: JsonProcess) -> JsonProcess:
        """Return the helper, started again where it was silent for too long."""
        patience = self._patience
        if process.closed:
            raise EnvironmentFailure(
                f"the sampler's process ended (exit code {process.exit_code()}); its message is "
                "above, run the same command again"
            )
        if self._clock() - self._asked > ANSWER_S:
            raise EnvironmentFailure(
                f"trial {self.pending}: no suggestion within {ANSWER_S:g} s; run the same command "
                "again when the machine is less busy"
            )
        who = "the sampler's process gives no sign of life"
        if process.silent_s > patience.limit_s:
            if self._starts >= STARTS:
                raise EnvironmentFailure(
                    f"{who} within {patience.limit_s:g} s, after a restart too; find out what "
                    "stops it, then run the same command again"
                )
            self._starts += 1
            patience.tell(f"{who}; it is started again")
            history = self._sent
            self.close()
            self._ask(history)
            return self._process or process
        silent = process.silent_s > patience.notice_s
        if silent and not self._told:
            patience.tell(f"{who}; waiting at most {patience.limit_s:g} s")
        self._told = silent
        return process

    def close(self) -> None:
        """End the helper; may be called twice."""
        process, self._process = self._process, None
        if process is not None:
            process.end()


def serve() -> None:
    """Answer asks until standard input closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    driver = ParentPipe()
    driver.busy.set()  # also while libraries are loaded
    messages = driver.receive()
    opening = next(messages)
    from hpsearch.configfile import parse_yaml
    from hpsearch.samplers.suggest import suggest

    space = SearchSpace.from_values(parse_yaml(opening["space"].encode(), "space"), "space")
    base = read_recipe(opening["base"])
    goals = Goals.model_validate(opening["goals"])
    limits = Limits(**opening["limits"])
    problem = SearchProblem(space, base, limits, goals, opening["unit"])
    sampler = SamplerConfig(**opening["sampler"])
    prior = Prior.from_json(opening["prior"]) if opening["prior"] else None
    history: list[TrialRecord] = []
    driver.busy.clear()
    for ask in messages:
        driver.busy.set()
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
        driver.busy.clear()
        driver.send(**reply)


if __name__ == "__main__":
    serve()
