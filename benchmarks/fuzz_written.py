"""The files that the program writes and reads again, for `fuzz`.

They are without their checksums, which would refuse nearly everything before types and ranges are
looked at.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.cli.confirm import print_certificate
from hpsearch.configfile import dump_yaml, parse_yaml
from hpsearch.confirm.certificate import best_of, confirmed_errors, in_words, rivals
from hpsearch.confirm.confirmation import Run, read_run
from hpsearch.data.dataset import Characters, open_packed
from hpsearch.data.pack import Contents, pack
from hpsearch.data.packed_files import drop_damaged, verify_packed
from hpsearch.data.tasks import OneShotTasks
from hpsearch.errors import HpsearchError
from hpsearch.json_files import read_dataset
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.paths import StudyFolder
from hpsearch.provenance import differences, software
from hpsearch.recognition.model import read_metrics
from hpsearch.recognition.rejection import Rejection
from hpsearch.records import CHECKSUM, read_or_none
from hpsearch.report.facts import openings_in
from hpsearch.samplers.prior import Prior, read_prior
from hpsearch.scoring.baselines import read_baselines
from hpsearch.scoring.evaluate import read_evaluation
from hpsearch.seeding import trial_seed
from hpsearch.shipped_files import find_shipped
from hpsearch.space.space import SearchSpace
from hpsearch.storage.agreement import refuse_disagreements
from hpsearch.storage.database import StudyRecord
from hpsearch.storage.trial_files import (
    Deaths,
    epoch_line,
    read_curve,
    read_provenance,
    write_config,
)
from hpsearch.storage.view import StudyView, read_study
from hpsearch.study.config import StudyConfig
from hpsearch.study.trained import config_of
from hpsearch.training.epoch import EpochResult
from hpsearch.trial import TrialRecord

ODD = (
    "NaN", "-Infinity", "1e999", "-7", "2", "0", "0.5", "null", "true", "[]", "{}", '""',
    '"\\u001b[2J"', '"\\ud800"', "9" * 400, "[" * 50 + "]" * 50, '{"a": 1}', "1e300",
    "18446744073709551616",
)  # fmt: skip
"""What may stand where a value stood."""
VALUE = re.compile(rb'(?<=[:\[,])\s*("[^"]*"|-?[0-9][0-9.e+-]*|true|false|null)')
KEY = re.compile(rb'"([a-z0-9_.]+)":')
MARK = "f" * 64
PAIR = [0.25, 0.75]


@dataclass(frozen=True)
class Parser:
    """What reads one kind of file.

    Args:
        path: The file that is damaged.
        read: Reads it, as the program does.
        json: Whether values may be replaced by others.
    """

    path: Path
    read: Callable[[], object]
    json: bool = False


def odd(content: bytes, rng: random.Random) -> bytes:
    """Return JSON with one of its values or keys replaced by an odd one."""
    values, keys = list(VALUE.finditer(content)), list(KEY.finditer(content))
    if keys and rng.random() < 0.25:
        return _replaced(content, rng.choice(keys), rng.choice(keys)[1])
    return _replaced(content, rng.choice(values), rng.choice(ODD).encode()) if values else content


def odd_ones(content: bytes) -> Iterator[bytes]:
    """Return JSON with every value replaced by every odd one, and every key by every other."""
    for value in VALUE.finditer(content):
        yield from (_replaced(content, value, other.encode()) for other in ODD)
    keys = list(KEY.finditer(content))
    for key in keys:
        others = sorted({other[1] for other in keys} | {key[1] + b"_x"} - {key[1]})
        yield from (_replaced(content, key, other) for other in others)


def _replaced(content: bytes, place: re.Match[bytes], by: bytes) -> bytes:
    return content[: place.start(1)] + by + content[place.end(1) :]


def make_study(study: StudyFolder) -> None:
    """Write a study of two complete trials with all their files."""
    study.root.mkdir(parents=True)
    values = parse_yaml(find_shipped("studies", "quickstart").read_bytes(), "quickstart")
    study.study_file.write_text(dump_yaml(values))
    study.dataset.write_text(
        json.dumps({"kind": "glyphs", "fingerprint": MARK, "packed": "/nowhere"})
    )
    config = StudyConfig.from_values(values, "quickstart")
    space = SearchSpace.from_yaml("quickstart")
    study.space_file.write_text(space.to_yaml())
    record = StudyRecord(study, "quickstart")
    record.load()
    for number in range(2):
        params = {name: p.extremes[0] for name, p in space.parameters.items()}
        trial = TrialRecord(number, "running", params)
        record.add(trial, space.distributions(), {"seed": trial_seed(config.seed, number)})
        record.report(number, 1, 0.5)
        ended = TrialRecord(number, "complete", params, {1: 0.5}, 0.5)
        record.end(ended, {})
        place = study.trial(number)
        write_config(place, config_of(config, ended))
        place.result.write_text(
            json.dumps({"trial": ended.to_json(), "epochs": 1, "seconds": 1.0})
        )
        place.epochs.write_text(epoch_line(EpochResult(1, 0.1, 0.5, 1.0, 10, 100)))
        place.attempts.write_text(json.dumps({"attempts": 1, "epoch": 0, "death": "killed"}))
        told = {**software(), "host": "h", "device": "cpu", "threads": 1, "fingerprint": MARK}
        place.provenance.write_text(json.dumps([told]))
    record.close()


def make_written(folder: Path) -> dict[str, Parser]:
    """Write one good file of each kind; return what reads it."""
    study = StudyFolder(folder / "study")
    make_study(study)
    number = TrialRecord(-1, "complete", {"fc.width": 8}, {1: 0.5}, 0.5)
    run = study.confirmation / "00001-0" / "result.json"
    trained = {
        "trial": 1, "place": 0, "error": 0.5, "per_alphabet": {"A": 0.5}, "validation_error": 0.5,
        "seed": 3, "epochs": 3, "seconds": 1.0, "diagnosis": None,
    }  # fmt: skip
    files: dict[Path, Any] = {
        study.certificate: _certificate(),
        run: trained,
        study.model / "metrics.json": _metrics(),
        study.model / "evaluation.json": _evaluation(),
        study.root / "baselines.json": {"fingerprint": MARK, "baselines": _baselines()},
        study.prior: Prior("other", True, (number,)).to_json(),
        study.openings: {"time": "now", "reason": "test", "fingerprint": MARK},
    }
    for path, values in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values) + "\n")
    place = study.trial(1)
    _without_checksum(place.epochs)
    view = read_study(study)
    known: dict[str, tuple[Path, Callable[[], object]]] = {
        "result": (place.result, lambda: refuse_disagreements(study, list(view.trials))),
        "attempts": (place.attempts, lambda: read_or_none(place.attempts, Deaths)),
        "epochs": (place.epochs, lambda: read_curve(place.epochs)),
        "provenance": (
            place.provenance,
            lambda: [differences(one, software()) for one in read_provenance(place)],
        ),
        "dataset": (study.dataset, lambda: read_dataset(study.dataset)),
        "certificate": (study.certificate, lambda: _say(view)),
        "run": (run, lambda: read_run(study.confirmation, Run(1, 0))),
        "metrics": (
            study.model / "metrics.json", lambda: Rejection.of(read_metrics(study.model))
        ),
        "evaluation": (
            study.model / "evaluation.json", lambda: read_evaluation(study.model, MARK)
        ),
        "baselines": (study.root / "baselines.json", lambda: read_baselines(study.root, MARK)),
        "prior": (study.prior, lambda: read_prior(study.prior)),
        "openings": (study.openings, lambda: openings_in([study.openings], MARK)),
    }  # fmt: skip
    read = {
        name: Parser(path, _and_check(reader, study), json=True)
        for name, (path, reader) in known.items()
    }
    return {**read, **_packed(folder)}


def _say(view: StudyView) -> None:
    """Say all that a certificate is asked for."""
    _, certificate = best_of(view)
    if certificate is not None:
        dump_yaml(certificate)
        in_words(certificate)
        rivals(certificate)
        confirmed_errors(certificate)
        with contextlib.redirect_stdout(io.StringIO()):
            print_certificate(certificate, view.folder.root)


def _and_check(read: Callable[[], object], study: StudyFolder) -> Callable[[], object]:
    """Return a reading that has `doctor` look too, once in fifty times: it takes its time."""
    count = itertools.count()

    def both() -> None:
        if next(count) % 50 == 0:
            check_invariants(study)
        read()

    return both


def _without_checksum(path: Path) -> None:
    values = json.loads(path.read_text())
    del values[CHECKSUM]
    path.write_text(json.dumps(values) + "\n")


def _certificate() -> dict[str, Any]:
    row = {
        "trial": 1, "search_error": 0.5, "errors": [0.5, 0.5], "mean": 0.5, "error": 0.5,
        "interval": PAIR, "probability_best": 0.9, "behind_best": 0.0, "behind_best_se": 0.0,
        "broke_down": 0,
    }  # fmt: skip
    optimism = {
        "trial": 1, "search_error": 0.5, "measured": 0.0, "interval": PAIR, "luck": 0.0,
        "noise": 0.1, "trials": 2,
    }  # fmt: skip
    return {
        "format": 1, "trial": 1, "error": 0.5, "interval": PAIR, "interval_one_training": PAIR,
        "interval_other_alphabets": PAIR, "sd_of_trainings": 0.1, "probability_best": 0.9,
        "search_error": 0.5, "optimism": optimism, "candidates": [row, {**row, "trial": 0}],
        "seeds": 2, "objective": "tasks_320", "compared": [0, 1],
    }  # fmt: skip


def _metrics() -> dict[str, Any]:
    setting = {
        "ways": 2, "shots": 1, "mean": 0.0, "variance": 1.0, "slope": 1.0, "bias": 0.0,
        "thresholds": [1.5], "kept": [0.5],
    }  # fmt: skip
    point = {"false_accept": 0.05, "measured": 0.05, "kept": 0.5, "right": 0.5, "sets": PAIR}
    point |= {f"{name}_interval": PAIR for name in ("measured", "kept", "right")}
    rejection = {
        "rates": [0.05], "settings": [setting],
        "check": {
            "ways": 2, "shots": 1, "unit": "class", "units": 4, "probability_error": 0.1,
            "points": [point],
        },
    }  # fmt: skip
    return {
        "include_validation": False, "objective": "tasks_320", "weights_epoch": 1, "epochs": 1,
        "seconds": 1.0, "images": 10, "validation_error": 0.5, "none_of_these": rejection,
    }  # fmt: skip


def _evaluation() -> dict[str, Any]:
    return {
        "dataset": "glyphs", "accuracy": 0.5, "n_tasks": 400, "interval": PAIR,
        "per_alphabet": {"A": {"accuracy": 0.5, "n_tasks": 20}}, "verification_auc": 0.5,
        "degenerate": False, "fingerprint": MARK,
    }  # fmt: skip


def _baselines() -> dict[str, Any]:
    return {
        "pixels": {
            "name": "pixels", "accuracy": 0.2, "interval": PAIR, "n_tasks": 400,
            "verification_auc": 0.5, "degenerate": False, "published": None,
        }
    }  # fmt: skip


def _packed(folder: Path) -> dict[str, Parser]:
    """Pack three characters a role; every file of the packed folder is damaged in turn."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (6, 105, 105), dtype=np.uint8)
    counted = np.arange(6, dtype=np.int64)
    role = Characters(
        images, counted // 2, counted % 2, np.zeros(3, np.int64), ("A/a", "A/b", "A/c"), ("A",)
    )
    none = np.zeros((0, 3), np.int64)
    tasks = OneShotTasks(none, none, none, ())
    contents = Contents("folder", role, role, role, tasks, 3, turns=False, description="made")
    dataset = pack(contents, folder / "packed")
    meta = dataset.folder / "meta.json"
    kept = {k: v for k, v in json.loads(meta.read_bytes()).items() if k not in ("files", CHECKSUM)}
    meta.write_text(json.dumps(kept))
    dataset.background(20)

    def read() -> None:
        opened = open_packed(dataset.folder)
        with contextlib.suppress(HpsearchError):
            verify_packed(dataset.folder)
        drop_damaged(dataset.folder)
        opened.background(20)
        opened.background(20).index()

    names = ("meta.json", "background.npy", "background-20.npy", "background-20.json")
    return {
        f"packed {name}": Parser(dataset.folder / name, read, json=name.endswith("json"))
        for name in (*names, "background-labels.npz")
    }
