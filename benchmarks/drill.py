"""Kills a real search again and again, has it go on, and looks for anything lost.

`make drill KILLS=30`. Driver and workers are killed (SIGKILL, SIGTERM), stopped and let go on
(SIGSTOP, SIGCONT) at random moments and at named points; after each the invariants are checked.
In the end the study must equal one that nobody disturbed. More than `KILLS_PER_STUDY` kills are
spread over several studies, so that no study grows until its checks take longer than its kills.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.drill_search import DrillFailed, DrillSearch, alive, write_study
from benchmarks.drill_waits import drill_waits
from benchmarks.kill_points import POINTS
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.sources.find import find_dataset
from hpsearch.storage.view import read_study
from hpsearch.trainers.guardian import children as below
from hpsearch.trainers.guardian import descendants

KINDS = (
    ("SIGKILL of a worker", 5),
    ("SIGKILL of the driver", 3),
    ("SIGKILL of all processes", 1),
    ("SIGTERM of the driver", 1),
    ("SIGSTOP and SIGCONT of a worker", 1),
    ("SIGSTOP and SIGCONT of the driver", 1),
    ("named point", 4),
)
"""What happens, and how often relative to the rest."""
OF_A_COMMAND = (("SIGKILL of a program", 6), ("SIGKILL of a guardian", 2))
"""What happens to a command as well."""
GONE_S = 2.0
"""Seconds after a kill in which all processes of a program must be gone."""
STOPS = {"SIGSTOP and SIGCONT of a worker", "SIGSTOP and SIGCONT of the driver"}
WITH_WAITS = 100
"""A drill of so many kills also measures waits with their real limits, which takes minutes."""
KILLS_PER_STUDY = 30
TRIALS = {"siamese": (6, 4), "command": (30, 20)}
"""Trials of a study at first, and how many more when it ended before anything could happen."""


@dataclass
class Tally:
    """What was done so far in all studies, and what survived."""

    done: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    points: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    equal: int = 0
    gone_s: float = 0.0

    @property
    def kills(self) -> int:
        """Return how often something died."""
        return sum(count for kind, count in self.done.items() if kind not in STOPS)


class Drill:
    """One search, disturbed until so many were killed in all, then run to its end."""

    def __init__(
        self,
        folder: Path,
        wanted: int,
        seed: int,
        workers: int,
        tally: Tally,
        trainer: str = "siamese",
    ) -> None:
        self.folder, self.wanted, self.tally, self.trainer = folder, wanted, tally, trainer
        self.chance = random.Random(seed)
        study = write_study(folder, seed, trainer)
        self.search = DrillSearch(folder, study, workers, trainer)
        self.kinds = KINDS + (OF_A_COMMAND if trainer == "command" else ())
        self.trials, self.more = TRIALS[trainer]
        # A program writes its checkpoints itself.
        own = trainer == "command"
        self.named = [n for n in POINTS if not (own and POINTS[n].target == "os:fsync")]
        self.chance.shuffle(self.named)
        self.finished: set[int] = set()
        self.begun = False  # whether there ever was a database: before, there is nothing to lose

    def run(self) -> None:
        """Disturb until enough was killed, let the search end, and compare it.

        Raises:
            DrillFailed: Something was lost.
        """
        try:
            self._run()
        finally:
            self.search.close()

    def _run(self) -> None:
        while self.tally.kills < self.wanted:
            kinds, weights = zip(*self.kinds, strict=True)
            kind = self.chance.choices(kinds, weights)[0]
            getattr(self, "_point" if kind == "named point" else "_disturb")(kind)
            self._check(kind)
        self._start()
        self.search.finish()
        self._check("the end", at_rest=True)
        self.tally.acknowledged += len(self.search.promised)
        self.tally.equal += self._compare()

    def _start(self, point: tuple[str, int] | None = None) -> None:
        if not self.search.running:
            self.search.start(self.trials, point)
            self.tally.restarts += 1

    def _disturb(self, kind: str) -> None:
        """Do one thing to the running search, at a moment at which it trains."""
        self._start()
        if not self.search.wait_for_worker():
            self.trials += self.more  # it ended before anything could happen
            return
        if self.chance.random() < 0.5:
            self.search.wait_for_epoch()
        time.sleep(self.chance.uniform(0, 1.2))
        self.search.wait_until_safe()
        workers = self.search.workers()
        if not self.search.running or not workers:
            return
        worker = self.chance.choice(workers)
        family = descendants(worker) if self.trainer == "command" else []
        try:
            self._strike(kind, worker)
        except (ProcessLookupError, StopIteration):
            return  # one that ends by itself just then counts for nothing
        self.tally.done[kind] += 1
        if kind not in STOPS:
            self._check_gone(kind, family)

    def _check_gone(self, kind: str, family: list[int]) -> None:
        """Wait until the programs of what was killed are gone.

        Args:
            kind: What was done.
            family: All processes below the worker to which it was done.
        """
        began = time.monotonic()
        programs = self.search.programs() if not self.search.running else set[int]()
        left = programs | (set(family) & self.search.programs())
        while left and time.monotonic() < began + GONE_S:
            left = {pid for pid in left if alive(pid)}
            time.sleep(0.02 if left else 0)
        self.tally.gone_s = max(self.tally.gone_s, time.monotonic() - began)
        if left:
            raise DrillFailed(f"after {kind}: processes {sorted(left)} after {GONE_S:g} s")

    def _strike(self, kind: str, worker: int) -> None:
        if kind == "SIGKILL of a worker":
            os.kill(worker, signal.SIGKILL)
        elif kind == "SIGKILL of a guardian":
            os.kill(next(iter(below().get(worker, ()))), signal.SIGKILL)
        elif kind == "SIGKILL of a program":
            found = below()
            guardian = next(iter(found.get(worker, ())))
            os.kill(next(iter(found.get(guardian, ()))), signal.SIGKILL)
        elif kind == "SIGSTOP and SIGCONT of a worker":
            self._pause(worker)
        elif kind == "SIGSTOP and SIGCONT of the driver":
            self._pause(self.search.pid)
        elif kind == "SIGTERM of the driver":
            self.search.end_by(signal.SIGTERM, 143)
        else:
            self.search.kill(everything=kind == "SIGKILL of all processes")

    def _pause(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.2, 1.0))
        os.kill(pid, signal.SIGCONT)

    def _point(self, kind: str) -> None:
        """Run until the search has killed itself at the next named point."""
        if self.search.running:
            self.search.kill(everything=False)
            self.tally.done["SIGKILL of the driver"] += 1
            self._check("SIGKILL of the driver")
        name = self.named[sum(self.tally.points.values()) % len(self.named)]
        nth = self.chance.randint(1, 4)
        self._start((name, nth))
        if self.search.wait_for_point(in_worker=POINTS[name].in_worker):
            self.tally.points[name] += 1
            self.tally.done[kind] += 1
        else:
            self.trials += self.more

    def _check(self, after: str, *, at_rest: bool = False) -> None:
        """Look for what is lost after a disturbance."""
        lost = self.search.orphans() if not self.search.running else []
        if self.search.running:
            return  # the driver lives; what its workers lost shows when it rests
        self.begun |= self.search.study.database.exists()
        for verdict in check_invariants(self.search.study) if self.begun else ():
            if verdict.standing == "broken" or (at_rest and verdict.standing != "holds"):
                lost.append(f"{verdict.key}: {verdict.seen}")
        known = self.search.results()
        lost += self.search.unkept_promises(known)
        gone = self.finished - set(known)
        lost += [f"trial {n} was finished and is not any more" for n in sorted(gone)]
        self.finished |= set(known)
        if lost:
            raise DrillFailed(f"after {after}: {'; '.join(lost)}")

    def _compare(self) -> int:
        """Run the same search undisturbed; return the number of equal trials."""
        place = self.folder / "undisturbed"
        other = DrillSearch(place, self.search.file, self.search.slots, self.trainer)
        other.start(self.trials)
        other.finish()
        straight, drilled = (read_study(s.study).trials for s in (other, self.search))
        if len(straight) != len(drilled) or len(drilled) != self.trials:
            raise DrillFailed(f"{len(drilled)} trials, {self.trials} were asked for")
        for one, two in zip(straight, drilled, strict=True):
            for name in ("state", "params", "values", "value"):
                if getattr(one, name) != getattr(two, name):
                    raise DrillFailed(
                        f"trial {one.number}: {name} {getattr(two, name)}, undisturbed "
                        f"{getattr(one, name)}"
                    )
        return len(drilled)


def main() -> int:
    """Run the drill and print what was done; the last line sums up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trainer", choices=("siamese", "command"), default="siamese")
    chosen = parser.parse_args()
    began = time.monotonic()
    say(
        f"drill of {chosen.kills} kills, trainer {chosen.trainer}, seed {chosen.seed}, "
        f"{chosen.workers} workers"
    )
    if chosen.trainer == "siamese":
        find_dataset("glyphs")  # drawn beforehand: it takes some seconds, once
    tally = Tally()
    try:
        while tally.kills < chosen.kills:
            wanted = min(chosen.kills, tally.kills + KILLS_PER_STUDY)
            with tempfile.TemporaryDirectory(prefix="hpsearch-drill-") as folder:
                seed = chosen.seed + tally.kills
                place = Path(folder)
                Drill(place, wanted, seed, chosen.workers, tally, chosen.trainer).run()
            if tally.kills < chosen.kills:
                say(f"{tally.kills} kills survived, {time.monotonic() - began:.0f} s")
        if chosen.kills >= WITH_WAITS and chosen.trainer == "siamese":
            drill_waits(say)
    except DrillFailed as failure:
        say(f"LOST after {tally.kills} kills (seed {chosen.seed}): {failure}")
        return 1
    report(tally, time.monotonic() - began)
    return 0


def report(tally: Tally, seconds: float) -> None:
    """Print the table of what was done, and the line that sums up."""
    for kind, count in sorted(tally.done.items()):
        say(f"{count:4}  {kind}: survived {count}")
    for name, count in sorted(tally.points.items()):
        say(f"{count:8}  {name}")
    stops = sum(tally.done[kind] for kind in STOPS)
    say(
        f"killed {tally.kills} times and stopped {stops} times; survived all, {tally.restarts} "
        f"restarts; lost 0 of {tally.acknowledged} acknowledged results, doubled 0, left "
        f"running 0; {tally.equal} of {tally.equal} trials equal an undisturbed search; "
        f"{seconds:.0f} s"
        + (f"; programs were gone after {tally.gone_s:.2f} s at most" if tally.gone_s else "")
    )


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
