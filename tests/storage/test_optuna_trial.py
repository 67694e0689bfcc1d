"""Attributes of a database are foreign input: of another kind, they count as none."""

from __future__ import annotations

import datetime

import optuna
import pytest

from hpsearch.storage.optuna_trial import to_record


@pytest.mark.parametrize("value", [[1], {"a": 1}, True, None])
@pytest.mark.parametrize("key", ["cause", "audit", "seconds"])
def test_an_attribute_of_another_kind_counts_as_none(key: str, value: object) -> None:
    trial = optuna.trial.create_trial(value=0.5, user_attrs={key: value, "seed": 1})
    trial.datetime_start = datetime.datetime.now()
    assert getattr(to_record(trial), key) is None
