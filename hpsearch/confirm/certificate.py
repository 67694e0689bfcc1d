"""The certificate of a study's best configuration: its trial, its error and the certainty of both.

confirm writes it; status, export, retrain and the report read it.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from hpsearch.confirm.front import confirmed_front
from hpsearch.confirm.gain import gain_in_words, is_kept, is_start, measure_gain
from hpsearch.confirm.shrinkage import (
    RATES,
    Bounds,
    Posterior,
    pooled_variance,
    predicted_optimism,
    shrink,
)
from hpsearch.intervals import around, of_pictures
from hpsearch.json_files import Certificate
from hpsearch.measure import Measure, measure_of
from hpsearch.paths import StudyFolder, write_atomically
from hpsearch.provenance import software
from hpsearch.records import damaged, dump_record, read_record
from hpsearch.seeding import derive_seed
from hpsearch.storage.view import StudyView
from hpsearch.trial import TrialRecord, best_trial
from hpsearch.wording import percent

FORMAT = 1
AGAIN = "with fresh seeds"
SURE = 0.95
"""A best trial of higher probability is called distinct from the others."""
ANY: Bounds = (-math.inf, math.inf)
"""Bounds of a command's value."""
INTERVALS = ("interval", "interval_one_training", "interval_other_alphabets")
"""Keys of a certificate, and of its candidates, with an interval of an error."""
ERRORS = ("error", "mean", "search_error", "start_error")
"""Keys of a certificate and its parts with an error."""
Runs = Mapping[int, Sequence[Mapping[str, Any]]]
"""The runs of each trial, ordered by seed."""


def certify(
    view: StudyView,
    candidates: Sequence[TrialRecord],
    runs: Runs,
    start: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the certificate.

    Args:
        view: The study.
        candidates: The retrained trials, in the search's order.
        runs: The results that `Confirmation` wrote for them, at least two each.
        start: The results of the study's start, if it has one. A start that was only scored is the
            best where training does not certainly help.
    """
    seed = derive_seed(view.config.seed, "certificate")
    errors = [[float(run["error"]) for run in runs[t.number]] for t in candidates]
    shown = view.config.shown
    bounds = RATES if shown.share else ANY
    posterior = shrink(errors, seed, bounds=bounds)
    best = posterior.best
    chosen = candidates[best]
    pictures = view.dataset.get("pictures")  # of own images
    trained: dict[str, Any] = {
        "format": FORMAT,
        "trial": chosen.number,
        "error": float(posterior.mean[best]),
        "interval": of_pictures(posterior.interval(best), float(posterior.mean[best]), pictures),
        "interval_one_training": _one_training(posterior, best, errors, seed, bounds),
        "interval_other_alphabets": _other_alphabets(posterior, best, runs[chosen.number]),
        "sd_of_trainings": posterior.sigma,
        "probability_best": float(posterior.chance_best()[best]),
        "search_error": chosen.value,
        "optimism": _optimism(view, posterior, candidates, runs, bounds),
        "candidates": _candidates(posterior, candidates, errors, runs, pictures),
        "seeds": min(len(e) for e in errors),
        **({"objective": view.config.objective} if shown.share else _measured(shown)),
        "compared": [t.number for t in view.trials if t.state == "complete"],
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "software": software(),
    }
    if view.config.goals.several:
        trained["front"] = confirmed_front(view.config.goals, posterior, candidates)
    if not start or start[0]["trial"] == chosen.number:
        return {**trained, "gain": None}
    return _beside_start(view, trained, start, runs[chosen.number])


def _measured(shown: Measure) -> dict[str, Any]:
    """Return what a command's certificate measures; like all records it holds lower as better."""
    return {"measure": {"name": shown.name, "maximized": shown.maximized}}


def _beside_start(
    view: StudyView,
    trained: dict[str, Any],
    start: Sequence[Mapping[str, Any]],
    runs: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Add what was gained over the start; certify an encoder where that is nothing."""
    as_it_is = is_start(view.trials[start[0]["trial"]])
    pictures = view.dataset.get("pictures")
    gain = measure_gain(start, runs, as_it_is=as_it_is, pictures=pictures)
    if gain.helps or not as_it_is:
        return {**trained, "gain": gain.to_json()}
    errors = list(start[0]["per_alphabet"].values())  # an encoder's, which no command has
    error = float(np.std(errors, ddof=1)) / math.sqrt(len(errors)) if len(errors) > 1 else 0.0
    ends = of_pictures(around(gain.start_error, error), gain.start_error, pictures)
    return {
        **trained,
        "gain": gain.to_json(),
        "trial": gain.start,
        "error": gain.start_error,
        "interval": ends,
        "interval_one_training": ends,
        "interval_other_alphabets": ends if len(errors) > 1 else None,
        "sd_of_trainings": 0.0,
        "probability_best": 1.0,
        "search_error": view.trials[gain.start].value,
    }


def _one_training(
    posterior: Posterior,
    best: int,
    errors: Sequence[Sequence[float]],
    seed: int,
    bounds: Bounds,
) -> list[float]:
    """Return the 95 % interval of one more training of the winner, within the bounds."""
    from scipy.stats import t

    truth = posterior.draws[:, best]
    if posterior.sigma > 0:
        _, freedom = pooled_variance(errors)
        below, above = (t.cdf((end - truth) / posterior.sigma, freedom) for end in bounds)
        rng = np.random.default_rng(derive_seed(seed, "one training")).random(len(truth))
        spread = t.ppf(below + rng * (above - below), freedom)
        truth = np.clip(truth + posterior.sigma * spread, *bounds)  # corrects rounding only
    low, high = np.quantile(truth, [0.025, 0.975])
    return [float(low), float(high)]


def _other_alphabets(
    posterior: Posterior, best: int, runs: Sequence[Mapping[str, Any]]
) -> list[float] | None:
    """Return the interval of the error on similar alphabets; None with one alphabet or none."""
    names = sorted(runs[0]["per_alphabet"])
    means = [np.mean([run["per_alphabet"][name] for run in runs]) for name in names]
    if len(names) < 2:
        return None
    variance = float(np.var(means, ddof=1)) / len(names)
    error = math.sqrt(variance + float(posterior.sd[best]) ** 2)
    return list(around(float(posterior.mean[best]), error))


def _optimism(
    view: StudyView,
    posterior: Posterior,
    candidates: Sequence[TrialRecord],
    runs: Runs,
    bounds: Bounds,
) -> dict[str, Any]:
    """Return the optimism of the search's lowest error: measured, and predicted.

    `measured` is the shrunken error of the search's best trial on fresh seeds and tasks minus its
    error in the search. `luck` is the part that noise explains, from all complete trials.
    """
    seed = derive_seed(view.config.seed, "certificate")
    place = min(range(len(candidates)), key=lambda k: (candidates[k].value, candidates[k].number))
    naive = candidates[place]
    low, high = posterior.interval(place)
    figure = float(naive.value or 0.0)
    values = [float(t.value) for t in view.trials if t.state == "complete" and t.value is not None]
    noise = search_noise(candidates, runs)
    return {
        "trial": naive.number,
        "search_error": figure,
        "measured": float(posterior.mean[place]) - figure,
        "interval": [low - figure, high - figure],
        "luck": predicted_optimism(values, noise, seed, bounds) if noise > 0 else 0.0,
        "noise": noise,
        "trials": len(values),
    }


def search_noise(candidates: Sequence[TrialRecord], runs: Runs) -> float:
    """Return the standard deviation of an error in the search around the true error.

    It has two parts. The seed's part comes from repeated trainings on the study's own tasks. The
    tasks' part is the variance between configurations of (error on the study's tasks - error on
    fresh tasks), minus the part that seeds explain.
    """
    figures = [[float(r["validation_error"]) for r in runs[t.number]] for t in candidates]
    gaps = [
        [float(r["validation_error"]) - float(r["error"]) for r in runs[t.number]]
        for t in candidates
    ]
    of_seed, _ = pooled_variance(figures)
    within, _ = pooled_variance(gaps)
    count = float(np.mean([len(g) for g in gaps]))
    between = float(np.var([np.mean(g) for g in gaps], ddof=1)) - within / count
    return math.sqrt(of_seed + max(0.0, between))


def _candidates(
    posterior: Posterior,
    candidates: Sequence[TrialRecord],
    errors: Sequence[Sequence[float]],
    runs: Runs,
    pictures: int | None,
) -> list[dict[str, Any]]:
    best, chances = posterior.best, posterior.chance_best()
    rows = []
    for place, trial in enumerate(candidates):
        paired = np.subtract(errors[place], errors[best])
        # Of all trainings: two or three pairs may agree by luck.
        error = posterior.sigma * math.sqrt(2 / len(paired)) if place != best else 0.0
        mean = float(posterior.mean[place])
        rows.append(
            {
                "trial": trial.number,
                "search_error": trial.value,
                "errors": list(errors[place]),
                "mean": float(np.mean(errors[place])),
                "error": mean,
                "interval": of_pictures(posterior.interval(place), mean, pictures),
                "probability_best": float(chances[place]),
                "behind_best": float(paired.mean()),
                "behind_best_se": error,
                "broke_down": sum(run["diagnosis"] is not None for run in runs[trial.number]),
            }
        )
    return sorted(rows, key=lambda row: (row["error"], row["trial"]))


def write_certificate(folder: StudyFolder, certificate: Mapping[str, Any]) -> None:
    """Write certificate.json."""
    write_atomically(folder.certificate, dump_record(dict(certificate)))


def read_certificate(folder: StudyFolder) -> dict[str, Any] | None:
    """Return a study's certificate, None if it was never confirmed.

    Raises:
        InputError: The file is damaged.
    """
    path = folder.certificate
    try:
        held = read_record(path, Certificate).values
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise damaged(path, error, "run hpsearch confirm again") from error
    if held["measure"] is not None:
        return {k: v for k, v in held.items() if k != "objective"}
    del held["measure"]
    return {**_bounded(held), "candidates": [_bounded(row) for row in held["candidates"]]}


def _bounded(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its intervals cut to 0 to 1; older versions exceeded them."""
    intervals = {
        key: [min(1.0, max(0.0, end)) for end in row[key]]
        for key in INTERVALS
        if row.get(key) is not None
    }
    return {**row, **intervals}


def best_of(view: StudyView) -> tuple[TrialRecord | None, dict[str, Any] | None]:
    """Return a study's best trial, and its certificate if it is confirmed."""
    return best_among(view.trials, read_certificate(view.folder))


def best_among(
    trials: Sequence[TrialRecord], certificate: dict[str, Any] | None
) -> tuple[TrialRecord | None, dict[str, Any] | None]:
    """Return the best trial, and the certificate if it is still valid.

    A certificate is valid until the search finds a trial that would have been a candidate. Then
    the trial of the lowest validation error is best again, unconfirmed.
    """
    lowest = best_trial(trials)
    if certificate is None or certificate["trial"] >= len(trials):
        return lowest, None
    worst = max(float(row["search_error"]) for row in certificate["candidates"])
    known = set(certificate["compared"])
    news = [
        t for t in trials
        if t.state == "complete" and t.number not in known and (t.value or 0.0) < worst
    ]  # fmt: skip
    return (lowest, None) if news else (trials[certificate["trial"]], certificate)


def rivals(certificate: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the fewest candidates that include the best one with 95 % probability.

    There are none where the start is the best.
    """
    if is_kept(certificate):
        return []
    chosen = certificate["trial"]
    rows = sorted(
        certificate["candidates"],
        key=lambda row: (row["trial"] != chosen, -row.get("probability_best", 0.0)),
    )
    sums = accumulate(row.get("probability_best", 0.0) for row in rows)
    return rows[: 1 + sum(probability < SURE for probability in sums)]


def confirmed_errors(certificate: Mapping[str, Any] | None) -> dict[int, str]:
    """Return the error and interval of each confirmed trial, by number."""
    if certificate is None:
        return {}
    shown = measure_of(certificate)
    return {
        row["trial"]: f"{shown.text(row['error'])} {shown.interval(row['interval'])}"
        for row in certificate["candidates"]
        if row.get("interval") is not None
    }


def in_words(certificate: Mapping[str, Any]) -> str:
    """Return the best trial, its error and its probability; first, whether trials are tied."""
    if is_kept(certificate):
        return gain_in_words(certificate["gain"])
    shown = measure_of(certificate)
    rows, compared = rivals(certificate), len(certificate["candidates"])
    figure = (
        f"trial {certificate['trial']}, {shown.short} {shown.text(certificate['error'])} "
        f"{shown.interval(certificate['interval'])} {'on fresh tasks' if shown.share else AGAIN} "
        f"({shown.text(rows[0]['search_error'])} in the search)"
    )
    sure = percent(certificate["probability_best"], 0)
    if len(rows) == 1:
        return f"confirmed best: {figure}, the best of {compared} compared with probability {sure}"
    named = [str(row["trial"]) for row in rows]
    names = f"{', '.join(named[:-1])} and {named[-1]}"
    them = f"trials {names} of the {compared} confirmed"
    if len(rows) == compared:
        them = f"the {compared} confirmed trials {names}"
    return (
        f"{them} cannot be told apart; {shown.lowest}: {figure}, the best with probability {sure}"
    )


def as_shown(certificate: Mapping[str, Any]) -> dict[str, Any]:
    """Return a certificate with the user's values, for output and best.yaml.

    A command's is shown by its value and in its direction; how much one value is better than
    another stays as it is.
    """
    shown = measure_of(certificate)
    if shown.share:
        return dict(certificate)
    parts: dict[str, Any] = {
        "optimism": certificate["optimism"],
        "candidates": certificate["candidates"],
        "gain": certificate["gain"],
    }
    for key, value in parts.items():
        if isinstance(value, list):
            parts[key] = [_turned(row, shown) for row in value]
        elif value is not None:  # their intervals are of differences
            parts[key] = {**_turned(value, shown), "interval": value["interval"]}
    return {**_turned(certificate, shown), **parts}


def _turned(row: Mapping[str, Any], shown: Measure) -> dict[str, Any]:
    """Return a row whose errors are the user's values."""
    turned: dict[str, Any] = {}
    for key, value in row.items():
        name = key.replace("error", "value")
        if value is None:
            turned[name] = None
        elif key in INTERVALS:
            turned[name] = shown.ends(value)
        elif key == "errors":
            turned[name] = [shown.of(one) for one in value]
        else:
            turned[name] = shown.of(value) if key in ERRORS else value
    return turned
