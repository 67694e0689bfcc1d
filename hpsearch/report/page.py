"""Puts the report together: what each part says, in the order a reader asks for it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hpsearch import __version__
from hpsearch.paths import StudyFolder, check_output, write_atomically
from hpsearch.recognition.support import printable
from hpsearch.report.cost import costs
from hpsearch.report.evidence import baselines_chart
from hpsearch.report.facts import Facts, read_facts
from hpsearch.report.figure import Figure, number, si
from hpsearch.report.importance import draw_importances, importances, standing_out
from hpsearch.report.landscape import (
    calibration,
    contours,
    fit_surrogate,
    parallel,
    slices,
)
from hpsearch.report.progress import curves, incumbent
from hpsearch.report.space_map import feasible_maps, feasible_share
from hpsearch.results.certificate import rivals
from hpsearch.results.intervals import wilson
from hpsearch.results.pruning import ENOUGH_AUDITS, pruning
from hpsearch.wording import interval, ordinal, percent

HERE = Path(__file__).parent
MARK = ": report of a search</title>"
"""In the head of every report, those of older versions too."""
TOP_TRIALS = 10
SHOWN_SLICES = 9


@dataclass(frozen=True)
class Landscape:
    """What is learnt from the scored trials together."""

    standing_out: str
    importances: list[Figure]
    ranked: tuple[str, ...]
    slices: list[Figure]
    contours: list[Figure]
    parallel: Figure | None
    calibration: Figure | None


def write_report(
    folder: StudyFolder, output: Path | None = None, beside: Sequence[Path] = ()
) -> Path:
    """Write the report of a study, whole or not at all.

    Args:
        folder: The study's folder; nothing else in it changes, so a search may be at work.
        output: Another file than the study's report.html.
        beside: Folders of other studies whose evaluated models stand in the baselines' chart.

    Returns:
        The file written.

    Raises:
        InputError: The folder holds no study, or something is there that no report wrote.
        EnvironmentFailure: The file cannot be written.
    """
    path = output or folder.report
    check_output(path, MARK, "report")
    facts = read_facts(folder, beside)
    write_atomically(path, render(facts))
    return path


def render(facts: Facts) -> str:
    """Return the page as HTML."""
    return _environment().get_template("report.html.j2").render(**_page(facts))


def _environment() -> Environment:
    """Return what fills in the page; whatever is put into it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "interval": interval,
        "ordinal": ordinal,
        "number": number,
        "printable": printable,
        "duration": _duration,
        "si": si,
    }
    return environment


def _page(facts: Facts) -> dict[str, Any]:
    """Return everything the page shows, by the names its template uses."""
    from plotly.offline import get_plotlyjs

    content = _content(facts)
    figures = {f.key: f.spec() for f in _figures(content)}
    return {
        **content,
        "shown_slices": SHOWN_SLICES,
        "figures": figures,
        "style": (HERE / "report.css").read_text(encoding="utf-8"),
        "script": (HERE / "report.js").read_text(encoding="utf-8"),
        "plotly": get_plotlyjs() if figures else "",
    }


def _figures(content: Any) -> list[Figure]:
    """Return every figure that is anywhere in what the page is given."""
    if isinstance(content, Figure):
        return [content]
    if isinstance(content, dict):
        return [f for value in content.values() for f in _figures(value)]
    if isinstance(content, list | tuple):
        return [f for value in content for f in _figures(value)]
    if hasattr(content, "__dataclass_fields__"):
        return _figures({key: getattr(content, key) for key in content.__dataclass_fields__})
    return []


def _content(facts: Facts) -> dict[str, Any]:
    best = facts.best
    return {
        "study": facts.view.name,
        "description": facts.view.config.description,
        "data": _data(facts),
        "kind": facts.view.dataset.get("kind", ""),
        "running": facts.running,
        "counts": facts.counts,
        "trials": len(facts.view.trials),
        "seconds": sum(facts.seconds(t) or 0 for t in facts.view.trials),
        "best": best,
        "interval_ends": _interval(facts),
        "layers": _layers(facts),
        "settings": _settings(facts),
        "top": _top(facts),
        "certificate": facts.certificate,
        "rivals": [r["trial"] for r in rivals(facts.certificate)] if facts.certificate else [],
        "dense": facts.view.config.objective == "dense",
        "n_tasks": facts.n_tasks,
        "incumbent": incumbent(facts),
        "curves": curves(facts),
        "landscape": _landscape(facts),
        "costs": costs(facts),
        "pruning": pruning(facts.view.trials, facts.view.config),
        "enough_audits": ENOUGH_AUDITS,
        "pruner": facts.view.config.pruner.name,
        "maps": feasible_maps(facts),
        "feasible": feasible_share(facts),
        "baselines": baselines_chart(facts),
        "evaluation": facts.evaluation,
        "openings": facts.openings,
        "sight": _sight(facts),
        "provenance": _provenance(facts),
        "troubles": _troubles(facts),
    }


def _data(facts: Facts) -> str:
    """Say what was searched on, as a sentence begins."""
    dataset = facts.view.dataset
    words = str(dataset.get("description") or dataset.get("kind", ""))
    return words[:1].upper() + words[1:]


def _sight(facts: Facts) -> Any:
    """Return what the model sees, or why there is nothing to show; torch comes in here only."""
    if not (facts.folder.model / "weights.safetensors").is_file():
        return "No model yet: hpsearch export, then hpsearch retrain."
    from hpsearch.report.sight import look

    return look(facts)


def _interval(facts: Facts) -> tuple[float, float] | None:
    best = facts.best
    if best is None or best.value is None or not facts.n_tasks:
        return None
    return wilson(best.value, facts.n_tasks)


def _landscape(facts: Facts) -> Landscape:
    names = facts.problem.cube.names
    found = importances(facts.points, facts.errors, names, facts.view.config.seed)
    ranked = found.names if found else tuple(names)
    surrogate = fit_surrogate(facts)
    return Landscape(
        standing_out=standing_out(found) if found else "",
        importances=draw_importances(found) if found else [],
        ranked=ranked,
        slices=slices(facts, ranked) if len(facts.scored) >= 2 else [],
        contours=contours(facts, surrogate, ranked) if surrogate and len(ranked) > 1 else [],
        parallel=parallel(facts, ranked),
        calibration=calibration(surrogate) if surrogate else None,
    )


def _layers(facts: Facts) -> dict[str, Any]:
    """Return the best trial's layers as a table: columns, and a row a layer."""
    if facts.best is None:
        return {"columns": [], "rows": []}
    config = facts.view.config.trial.with_parameters(dict(facts.best.params))
    columns = ["filter_size", "filter_count", "width", "pool", "learning_rate", "momentum", "l2"]
    rows = []
    for name, layer in config.layers.all.items():
        values = layer.model_dump()
        cells = [values.get(column) for column in columns]
        rows.append((name, ["" if c is None else _cell(c) for c in cells]))
    return {"columns": [c.replace("_", " ") for c in columns], "rows": rows}


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value)


def _settings(facts: Facts) -> list[tuple[str, str]]:
    """Return the best trial's searched settings that belong to no layer."""
    if facts.best is None:
        return []
    layers = set(facts.view.config.trial.layers.all)
    others = [(k, v) for k, v in facts.best.params.items() if k.split(".")[0] not in layers]
    return [(key, number(value)) for key, value in others]


def _top(facts: Facts) -> list[dict[str, Any]]:
    complete = [t for t in facts.view.trials if t.state == "complete" and t.value is not None]
    ranked = sorted(complete, key=lambda t: (t.value, t.number))[:TOP_TRIALS]
    return [
        {
            "number": t.number,
            "error": t.value,
            "interval": wilson(t.value or 0.0, facts.n_tasks) if facts.n_tasks else None,
            "epochs": max(t.values, default=0),
            "seconds": facts.seconds(t),
            "multiply_adds": facts.problem.shape(t.params).multiply_adds,
        }
        for t in ranked
    ]


def _troubles(facts: Facts) -> list[tuple[int, str, str]]:
    """Return the trials that failed or could not be trained, with what they said."""
    found = [t for t in facts.view.trials if facts.outcome(t) in ("failed", "not trainable")]
    return [
        (t.number, facts.outcome(t), printable(t.cause or "no cause kept")) for t in found[:50]
    ]


def _provenance(facts: Facts) -> list[tuple[str, str]]:
    config, dataset = facts.view.config, facts.view.dataset
    epochs = [max(t.values, default=0) for t in facts.view.trials]
    return [
        ("sampler", config.sampler.name),
        ("pruner", config.pruner.name),
        ("space", f"{config.space}, {len(facts.problem.space.parameters)} parameters"),
        ("budget", _budget(facts)),
        ("epochs of a complete trial", f"at most {config.trial.max_epochs}"),
        ("epochs trained", f"{int(np.sum(epochs))}"),
        ("seed", str(config.seed)),
        ("data", f"{dataset.get('kind', '')}, fingerprint {dataset.get('fingerprint', '')[:16]}"),
        ("report", f"hpsearch {__version__}, {datetime.datetime.now():%Y-%m-%d %H:%M}"),
    ]


def _budget(facts: Facts) -> str:
    budget = facts.view.config.budget.model_dump(exclude_none=True)
    return ", ".join(f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
                     for key, value in budget.items()) or "none"  # fmt: skip


def _duration(seconds: float) -> str:
    """Return seconds as 12 s, 3 min, or 2 h 07 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
