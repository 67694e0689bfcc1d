"""What a search gained over its start: the encoder it only scored, or the trial it enqueued.

Letters: S seeds, A alphabets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import numpy as np

from hpsearch.measure import VALIDATION_ERROR, Measure
from hpsearch.storage.view import StudyView
from hpsearch.training.config import NOTHING
from hpsearch.trial import TrialRecord, best_trial
from hpsearch.wording import percent, points

Start = Literal["shipped", "untrained", "backbone"]
STARTS: dict[Start, str] = {
    "shipped": "the shipped model as it is",
    "untrained": "an untrained network",
    "backbone": "the backbone, whitened and not trained",
}
"""The encoders that a study may start from, as people read them."""


@dataclass(frozen=True)
class Gain:
    """How much lower the error of the best trial is than that of the start.

    Args:
        start: The start's trial.
        start_error: Its error on fresh tasks, the mean over seeds.
        trained: The trial that was trained again.
        gain: The mean difference of their errors, over seeds and alphabets.
        interval: Its 95 % interval for other seeds and other alphabets like these.
        as_it_is: Whether the start is an encoder that was only scored. It is kept where training
            does not certainly help.
    """

    start: int
    start_error: float
    trained: int
    gain: float
    interval: tuple[float, float]
    as_it_is: bool = True

    @property
    def helps(self) -> bool:
        """Whether the error is certainly lower."""
        return self.interval[0] > 0

    def to_json(self) -> dict[str, Any]:
        """Return what a certificate holds."""
        return {**asdict(self), "interval": list(self.interval), "helps": self.helps}


def is_start(trial: TrialRecord) -> bool:
    """Return whether a trial only scored an encoder that its study begins with.

    In a space without `start`, as with a backbone, that is trial 0.
    """
    begins = "start" in trial.params or trial.number == 0
    return begins and trial.params.get("train_from") == NOTHING


def encoder_of(trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """Return the best encoder that was scored and not trained, None if there is none."""
    return best_trial([t for t in trials if is_start(t)])


def start_of(view: StudyView) -> TrialRecord | None:
    """Return what a study began with: the best encoder, else the best trial that it enqueues."""
    enqueued = view.trials[: len(view.config.enqueue)]
    return encoder_of(view.trials) or best_trial(enqueued)


def is_kept(certificate: Mapping[str, Any]) -> bool:
    """Return whether a certificate is of the encoder, because training does not help."""
    gain = certificate.get("gain")
    return bool(gain and gain.get("as_it_is", True) and not gain["helps"])


def measure_gain(
    start: Sequence[Mapping[str, Any]],
    runs: Sequence[Mapping[str, Any]],
    *,
    as_it_is: bool = True,
    pictures: int | None = None,
) -> Gain:
    """Compare the start's runs with those of another trial on the same fresh tasks.

    Args:
        start: One run of an encoder, or as many as the trial has, by seed.
        runs: The runs of the trial.
        as_it_is: Whether the start was only scored.
        pictures: Of own images, how many the tasks ask for.

    The standard error adds the variance over seeds and the one over alphabets. With a single
    alphabet of own images it adds the least variance over pictures that such a gain can have: each
    is won or lost in one direction. With any other, or none, it knows the seeds only.

    Reference:
        Welch (1947), equation 28, for the degrees of freedom.
    """
    from scipy.stats import t

    names = sorted(start[0]["per_alphabet"])  # a command has none
    before, after = (
        np.array(
            [[run["per_alphabet"][name] for name in names] or [run["error"]] for run in those]
        )
        for those in (start, runs)
    )
    lower = before - after  # [S, A]
    parts = [
        (float(np.var(means, ddof=1)) / len(means), len(means) - 1)
        for means in (lower.mean(1), lower.mean(0))
        if len(means) > 1
    ]
    mean = float(lower.mean())
    if pictures and pictures > 1 and len(names) == 1:
        parts.append((max(0.0, abs(mean) - mean**2) / pictures, pictures - 1))
    variance = sum(part for part, _ in parts)
    spread = 0.0
    if variance > 0:
        freedom = variance**2 / sum(part**2 / f for part, f in parts)
        spread = float(t.ppf(0.975, freedom)) * variance**0.5
    return Gain(
        start=int(start[0]["trial"]),
        start_error=float(np.mean([run["error"] for run in start])),
        trained=int(runs[0]["trial"]),
        gain=mean,
        interval=(mean - spread, mean + spread),
        as_it_is=as_it_is,
    )


def gain_in_words(gain: Mapping[str, Any], shown: Measure = VALIDATION_ERROR) -> str:
    """Return what the search or its training gained, as confirmed."""
    ends = shown.gained_interval(gain["interval"])
    start = f"trial {gain['start']}, its start ({shown.short} {shown.text(gain['start_error'])})"
    if not gain.get("as_it_is", True):
        gained = f"{shown.gained(gain['gain'])} {ends} over {start}"
        if gain["helps"]:
            return f"the search gained {gained}"
        return (
            "the search found nothing that is certainly better than its start: "
            f"{'on fresh tasks' if shown.share else 'with fresh seeds'} trial {gain['trained']} "
            f"gains {gained}"
        )
    if gain["helps"]:
        return (
            f"trial {gain['trained']} gained {points(gain['gain'])} {ends} over trial "
            f"{gain['start']}, its start as it is (error {percent(gain['start_error'])})"
        )
    return (
        f"training does not help on these images: on fresh tasks trial {gain['trained']} gains "
        f"{points(gain['gain'])} {ends} over trial {gain['start']}, its start as it is (error "
        f"{percent(gain['start_error'])}), which is kept"
    )


def gain_of_search(view: StudyView) -> str | None:
    """Return what the search's trainings gained so far; None in a study without a start."""
    start = encoder_of(view.trials)
    if start is None or start.value is None:
        return None
    best = best_trial([t for t in view.trials if not is_start(t)])
    what = f"{STARTS[cast('Start', start.params.get('start', 'backbone'))]} (trial {start.number})"
    if best is None or best.value is None:
        return f"{what}: error {percent(start.value)}; no training has ended yet"
    if best.value >= start.value:
        return (
            f"training did not help so far: {what} has an error of {percent(start.value)}, the "
            f"best training (trial {best.number}) {percent(best.value)}"
        )
    gained = "the search" if best.params.get("train_from") == NOTHING else "training"
    return (
        f"{gained} gained {points(start.value - best.value)} on the validation tasks over {what}, "
        f"error {percent(start.value)}"
    )
