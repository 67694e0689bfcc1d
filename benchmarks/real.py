"""Real searches of the same size by several methods, and what their picks are worth.

    python -m benchmarks.real search STUDY --method default --seed 0 --data PATH
    python -m benchmarks.real judge STUDY --data PATH
    python -m benchmarks.real table STUDY

`search` runs one search with one worker, or continues it, and records what it hands over. Its
budget is of multiply-adds, so that a busy machine changes no result: by default as many as 12
trainings of `aligned`'s reference, an hour of one of two busy cores that multiply bf16. `judge`
trains every pick and the reference of the study file again with fresh seeds and scores them on
fresh tasks: drawings that the pick's study never validated on. Both are continuable, and several
may run at once. All of it goes to docs/results/real.json. `table` prints what is there.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from hpsearch.confirm.gain import Gain, measure_gain
from hpsearch.interpreter import python_command
from hpsearch.output import say
from hpsearch.paths import StudyFolder, write_atomically
from hpsearch.provenance import software
from hpsearch.results.best import to_export
from hpsearch.seeding import derive_seed
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.plan import StudyPlan, plan_study

METHODS: dict[str, tuple[str, ...]] = {
    "default": (),
    "random": ("--sampler", "random", "--pruner", "none"),
    "tpe-asha": ("--sampler", "tpe", "--pruner", "asha", "--set", "sampler.startup_trials=8"),
}
"""What is compared; the last was the default of version 0.1.0 outside the paper's spaces, where it
had 27 start trials."""
REFERENCE = "reference"
RESULTS = Path(__file__).parents[1] / "docs" / "results" / "real.json"
COMPUTE = 2e14
"""Multiply-adds of a search."""
MAX_SEEDS = 100
"""Fresh seeds of a pick that are looked for."""


def key(method: str, seed: int) -> str:
    """Return the name of a search in the result file."""
    return f"{method}-{seed}"


def read(path: Path) -> dict[str, Any]:
    """Return the result file, empty where there is none."""
    return json.loads(path.read_text()) if path.exists() else {}


def add(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the result file; other processes wait meanwhile."""
    folder = os.open(path.parent, os.O_RDONLY)  # is locked: a lock file would stay in docs/
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        values = read(path)
        change(values)
        write_atomically(path, json.dumps(values, indent=1) + "\n")
    finally:
        os.close(folder)


def run_search(given: argparse.Namespace, place: Path) -> int:
    """Run or continue one search until its budget is spent; return the exit code."""
    command = [
        *python_command("hpsearch.cli.main", "search", given.study), *METHODS[given.method],
        "--set", f"budget.compute={given.compute:g}", "--set", "budget.hours=null",
        "--set", "budget.trials=null", "--workers", "1", "--seed", str(given.seed),
        "--device", "cpu", "--output", str(place),
    ]  # fmt: skip
    if given.data:
        command += ["--data", str(given.data)]
    return subprocess.run(command, check=False).returncode


def summary(view: StudyView) -> dict[str, Any]:
    """Return what one search gave: its trials in short, and the configuration it hands over.

    A trial is its state, its lowest error seen and its epochs.
    """
    pick, _ = to_export(view)
    assert pick is not None
    settled = [t for t in view.trials if t.settled]
    return {
        "hours": round(view.driver_seconds / 3600, 3),
        "commit": software()["commit"],
        "trials": [
            [t.state, None if t.value is None else round(t.value, 4), len(t.values)]
            for t in settled
        ],
        "pick": {"trial": pick.number, "seen": pick.value, "params": dict(pick.params)},
    }


def search(given: argparse.Namespace) -> int:
    """Run one search and record it."""
    name = key(given.method, given.seed)
    place = given.output / given.name / name
    if code := run_search(given, place):
        return code
    found = summary(read_study(StudyFolder(place)))

    def change(values: dict[str, Any]) -> None:
        study = values.setdefault(given.name, {"searches": {}, "judged": {}})
        study["searches"][name] = found

    add(given.results, change)
    pick = found["pick"]
    say(f"{name}: {len(found['trials'])} trials, pick {pick['trial']} ({pick['seen']:.4f} seen)")
    return 0


def waiting(study: Mapping[str, Any], seeds: int) -> Iterator[tuple[str, str, int]]:
    """Yield what is still to be judged: the pick or reference, the run's name, its fresh seed.

    The reference is judged under every seed of a search: that decides the drawers.
    """
    searched = sorted(study["searches"], key=lambda name: (name.rpartition("-")[2], name))
    references = list(dict.fromkeys(key(REFERENCE, seed_of(name)) for name in searched))
    for place in range(seeds):
        for name in [*references, *searched]:
            if f"{name}/{place}" not in study["judged"]:
                yield name, f"{name}/{place}", place


def seed_of(name: str) -> int:
    """Return the seed of a search by its name."""
    return int(name.rpartition("-")[2])


class Judge:
    """Trains configurations again, on one thread, and scores them on fresh tasks."""

    def __init__(self, plan: StudyPlan, data: Path | None) -> None:
        """Open the data."""
        import torch

        from hpsearch.data import open_packed
        from hpsearch.sources.find import find_dataset

        torch.set_num_threads(1)
        self._config = plan.config
        self._dataset = open_packed(find_dataset(plan.config.dataset, data).folder)

    def run(self, params: Mapping[str, Any], study_seed: int, place: int) -> dict[str, Any]:
        """Train one configuration with a fresh seed; the weights of its best epoch are scored.

        Returns:
            Its dense error on fresh tasks, in all and by alphabet, and the processor time.
        """
        from hpsearch.recognition.fresh import fresh_scores
        from hpsearch.training.build import trained_network
        from hpsearch.training.loop import train
        from hpsearch.training.trainingdata import TrainingData

        config = self._config.siamese.with_parameters(dict(params))
        began = time.process_time()
        data = TrainingData.from_dataset(
            self._dataset, config, study_seed=study_seed, objective=self._config.objective
        )
        training = train(config, data, derive_seed(study_seed, "real", place) % 2**32)
        last = deque(training, maxlen=1).pop()
        network = trained_network(config, last.checkpoint().best_weights())
        scores = fresh_scores(network, config, self._dataset, study_seed).per_alphabet
        return {
            "error": round(1 - fmean(scores.values()), 5),
            "per_alphabet": {name: round(1 - share, 5) for name, share in scores.items()},
            "seconds": round(time.process_time() - began),
        }


def judge(given: argparse.Namespace) -> int:
    """Train and score this process's share of what is waiting."""
    plan = plan_study(given.study, Path("build/real"), {})
    judging = Judge(plan, given.data)
    share, of = (int(part) for part in given.share.split("/"))
    study = read(given.results)[given.name]
    for name, run, place in list(waiting(study, given.seeds))[share - 1 :: of]:
        known = study["searches"].get(name)
        params = known["pick"]["params"] if known else {}
        found = judging.run(params, seed_of(name), place)

        def change(values: dict[str, Any], run: str = run, found: Any = found) -> None:
            values[given.name]["judged"][run] = found

        add(given.results, change)
        say(f"{run}: error {found['error']:.4f}, {found['seconds']} s")
    return 0


def gain(study: Mapping[str, Any], name: str) -> Gain | None:
    """Return what a pick gained over the reference, None while too few runs are judged."""
    pairs: list[list[dict[str, Any]]] = []
    for place in range(MAX_SEEDS):
        names = (f"{key(REFERENCE, seed_of(name))}/{place}", f"{name}/{place}")
        pair = [{**study["judged"][run], "trial": n} for n, run in enumerate(names)
                if run in study["judged"]]  # fmt: skip
        if len(pair) == 2:
            pairs.append(pair)
    if len(pairs) < 2:
        return None
    return measure_gain([p[0] for p in pairs], [p[1] for p in pairs], as_it_is=False)


def table(study: Mapping[str, Any]) -> str:
    """Return a row for each search, and the mean of each method."""
    lines = [
        "| search | hours | trials | complete | pick | seen | reference again | gain, points |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    gains: dict[str, list[float]] = {}
    for name, found in sorted(study["searches"].items()):
        won, pick = gain(study, name), found["pick"]
        told = ["-", "-"]
        if won is not None:
            low, high = (100 * bound for bound in won.interval)
            told = [f"{won.start_error:.2%}", f"{100 * won.gain:+.2f} [{low:.2f}, {high:.2f}]"]
            gains.setdefault(name.rpartition("-")[0], []).append(100 * won.gain)
        states = [state for state, _, _ in found["trials"]]
        cells = [
            name, f"{found['hours']:.2f}", str(len(states)), str(states.count("complete")),
            str(pick["trial"]), f"{pick['seen']:.2%}", *told,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    for method, values in gains.items():
        lines.append(f"{method}: {fmean(values):+.2f} points, the mean of {len(values)} seeds")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Search, judge, or print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("what", choices=["search", "judge", "table"])
    parser.add_argument("study", help="a shipped study or a study file")
    parser.add_argument("--data", type=Path, help="as for hpsearch search")
    parser.add_argument("--method", choices=list(METHODS), default="default")
    parser.add_argument("--seed", type=int, default=0, help="of the search")
    parser.add_argument(
        "--compute", type=float, default=COMPUTE, help="multiply-adds of the search"
    )
    parser.add_argument("--seeds", type=int, default=3, help="fresh seeds of what is judged")
    parser.add_argument("--share", default="1/1", help="K/N: the K-th of N processes that judge")
    parser.add_argument("--output", type=Path, default=Path("runs/real"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    given.name = Path(given.study).stem
    if given.what == "table":
        sys.stdout.write(table(read(given.results)[given.name]))
        return 0
    return search(given) if given.what == "search" else judge(given)


if __name__ == "__main__":
    sys.exit(main())
