"""Checks that the data allow every configuration of a study. Reads labels, no images."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from hpsearch.data import Dataset
from hpsearch.training.selection import check_data

if TYPE_CHECKING:
    from hpsearch.study.plan import StudyPlan

DECIDING = ("quarter_turns", "start", "drawers")
"""Settings that a data set may not allow; each may be searched."""


def check_study_data(plan: StudyPlan, dataset: Dataset) -> list[str]:
    """Refuse data on which a trial of the study could not train.

    Returns:
        One line for each searched parameter without effect on these data, and for each share of
        the images that is not used.

    Raises:
        InputError: The data do not allow a setting, fixed or searched; it says what to set.
    """
    config, searched = plan.config, plan.space.parameters
    notices: list[str] = []
    names = [name for name in DECIDING if name in searched]
    for values in product(*(searched[name].extremes for name in names)):
        set_here = dict(zip(names, values, strict=True))
        found = check_data(
            dataset,
            config.siamese.with_parameters(set_here),
            study_seed=config.seed,
            objective=config.objective,
            where=f"space {config.space}, trial" if names else "trial",
        )
        notices += [text for text in found if text not in notices]
    return [*notices, *_idle(plan, dataset)]


def _idle(plan: StudyPlan, dataset: Dataset) -> list[str]:
    """Return a line for each searched parameter without effect on these data."""
    if dataset.kind != "folder":
        return []
    background = dataset.labels("background")
    count, reasons = len(background.names), {}
    if not background.people:
        reasons["drawers"] = "every picture of own images is trained on"
    if len(background.alphabets) == 1:
        reasons["within_alphabet"] = "there is one background alphabet"
    batch = plan.space.parameters.get("batch_characters")
    if batch is not None and all(int(value) >= count for value in batch.extremes):
        reasons["batch_characters"] = f"there are {count} characters to train on"
    return [
        f"{name} is searched and changes nothing: {reason}; freeze it "
        f"(--set freeze.{name}={plan.config.siamese.value(name)})"
        for name, reason in reasons.items()
        if name in plan.space.parameters and not plan.space.parameters[name].single
    ]
