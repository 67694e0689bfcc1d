"""Builds the report's page from a study's facts and figures."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpsearch import __version__
from hpsearch.confirm.certificate import rivals
from hpsearch.intervals import wilson
from hpsearch.paths import StudyFolder, check_output, shell_word, write_atomically
from hpsearch.recognition.page import environment
from hpsearch.recognition.support import printable
from hpsearch.report.cost import costs
from hpsearch.report.evidence import baselines_chart
from hpsearch.report.facts import Facts, read_facts
from hpsearch.report.figure import number, si
from hpsearch.report.front import front_view
from hpsearch.report.importance import draw_importances, importances, standing_out
from hpsearch.report.landscape import calibration, contours, fit_surrogate, parallel, slices
from hpsearch.report.outlook import found_more, next_hour
from hpsearch.report.progress import curves, incumbent
from hpsearch.report.space_map import feasible_maps, feasible_share
from hpsearch.results.best import pick_in_words, to_export
from hpsearch.results.pruning import ENOUGH_AUDITS, pruning
from hpsearch.trial import TrialRecord
from hpsearch.wording import duration, figure, interval, ordinal, percent

HERE = Path(__file__).parent
MARK = ": report of a search</title>"
"""Part of every report, of older versions too; only such a file is overwritten."""
TOP_TRIALS = 10
SHOWN_SLICES = 9


def write_report(
    folder: StudyFolder, output: Path | None = None, beside: Sequence[Path] = ()
) -> Path:
    """Write the report of a study atomically.

    Args:
        folder: The study's folder; nothing else in it changes, so a search may be running.
        output: The file to write; None means the study's report.html.
        beside: Folders of other studies; their evaluated models join the chart of baselines.

    Returns:
        The file written.

    Raises:
        InputError: The folder holds no study, or the file exists and is no report.
        EnvironmentFailure: The file cannot be written.
    """
    path = output or folder.report
    check_output(path, MARK, "report")
    facts = read_facts(folder, beside)
    write_atomically(path, render(facts))
    return path


def render(facts: Facts) -> str:
    """Return the page as HTML."""
    templates = environment(HERE)
    written = (percent, interval, ordinal, number, printable, duration, si)
    templates.filters |= {function.__name__: function for function in written}
    return templates.get_template("report.html.j2").render(**_page(facts))


def _page(facts: Facts) -> dict[str, Any]:
    """Return everything the page shows, by the names that its template uses."""
    from plotly.offline import get_plotlyjs

    view = facts.view
    complete = [t for t in view.trials if t.state == "complete" and t.value is not None]
    troubles = [t for t in view.trials if facts.outcome(t) in ("failed", "not trainable")]
    return {
        "facts": facts,
        "data": _data(facts),
        "wilson": wilson,
        "winner": _winner(facts, facts.best) if facts.best else None,
        "top": sorted(complete, key=lambda t: (t.value, t.number))[:TOP_TRIALS],
        "rivals": [r["trial"] for r in rivals(facts.certificate)] if facts.certificate else [],
        "found_more": found_more(facts),
        "next_hour": next_hour(facts),
        "picked": pick_in_words(view, to_export(view)[0]),
        "incumbent": incumbent(facts),
        "curves": curves(facts),
        "front": front_view(facts),
        "landscape": _landscape(facts),
        "costs": costs(facts),
        "pruning": pruning(view.trials, view.config),
        "enough_audits": ENOUGH_AUDITS,
        "maps": feasible_maps(facts),
        "feasible": feasible_share(facts),
        "baselines": baselines_chart(facts),
        "model": _model(facts),
        "provenance": _provenance(facts),
        "troubles": troubles[:50],
        "shown_slices": SHOWN_SLICES,
        "figures": {},  # the template adds each figure that it shows
        "style": (HERE / "report.css").read_text(encoding="utf-8"),
        "script": (HERE / "report.js").read_text(encoding="utf-8"),
        "plotly": get_plotlyjs(),
    }


def _data(facts: Facts) -> str:
    """Return the data set's description, with a capital letter."""
    dataset = facts.view.dataset
    words = str(dataset.get("description") or dataset["kind"])
    return words[:1].upper() + words[1:]


def _model(facts: Facts) -> dict[str, Any] | str:
    """Return what the page shows of the model, or why it shows none; torch is imported here."""
    if facts.view.config.trainer is not None:
        return ""
    if not (facts.view.folder.model / "weights.safetensors").is_file():
        return "No model yet: run hpsearch export, then hpsearch retrain."
    from hpsearch.report.model_view import inspect_model

    return inspect_model(facts)


def _landscape(facts: Facts) -> dict[str, Any]:
    """Return what is learnt from the scored trials together, as figures."""
    names = facts.problem.cube.names
    found = importances(facts.points, facts.errors, names, facts.view.config.seed)
    ranked = found.names if found else tuple(names)
    surrogate = fit_surrogate(facts)
    return {
        "standing_out": standing_out(found) if found else "",
        "importances": draw_importances(found) if found else [],
        "slices": slices(facts, ranked) if len(facts.scored) >= 2 else [],
        "contours": contours(facts, surrogate, ranked) if surrogate and len(ranked) > 1 else [],
        "parallel": parallel(facts, ranked),
        "calibration": calibration(surrogate, facts.shown) if surrogate else None,
    }


def _winner(facts: Facts, best: TrialRecord) -> dict[str, Any]:
    """Return the best trial's layers as a table, and its searched settings outside of them."""
    if facts.view.config.trainer is not None:
        return {"columns": [], "rows": {}, "others": dict(best.params)}
    layers = facts.view.config.siamese.with_parameters(dict(best.params)).layers.all
    columns = ["filter_size", "filter_count", "width", "pool", "learning_rate", "momentum", "l2"]
    return {
        "columns": [column.replace("_", " ") for column in columns],
        "rows": {n: [_cell(getattr(v, c, None)) for c in columns] for n, v in layers.items()},
        "others": {k: v for k, v in best.params.items() if k.split(".")[0] not in layers},
    }


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value)


def _provenance(facts: Facts) -> list[tuple[str, str]]:
    config, dataset, step = facts.view.config, facts.view.dataset, facts.shown.step
    budget = config.budget.model_dump(exclude_none=True)
    limits = (f"{name} {figure(limit, 6)}" for name, limit in budget.items())
    return [
        ("sampler", config.sampler.name),
        ("pruner", config.pruner.name),
        ("space", f"{config.space}, {len(facts.problem.space.parameters)} parameters"),
        ("budget", ", ".join(limits) or "none"),
        (f"{step}s of a complete trial", f"at most {config.recipe.max_epochs}"),
        (f"{step}s trained", f"{sum(t.last_epoch for t in facts.view.trials)}"),
        ("seed", str(config.seed)),
        (
            ("data", f"{dataset['kind']}, fingerprint {dataset['fingerprint'][:16]}")
            if config.trainer is None
            else ("command", " ".join(map(shell_word, config.trainer.command)))
        ),
        ("report", f"hpsearch {__version__}, {datetime.datetime.now():%Y-%m-%d %H:%M}"),
    ]
