"""The evidence for a query's best class, against a slow loop; interpolation between settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpsearch.errors import InputError
from hpsearch.recognition.model import load_model
from hpsearch.recognition.rank import rank
from hpsearch.recognition.rejection import PRIOR_CLASSES, Rejection, Setting
from hpsearch.recognition.support import read_images, read_support
from tests.support.models import slow_logit

SETTING = Setting(2, 1, -3.0, 1.5, 2.0, -1.0, (2.0, 1.0), (0.5, 0.75))


def table() -> Rejection:
    """Return settings for 2 and 8 ways, 1 and 4 shots."""
    settings = [
        replace(SETTING, ways=ways, shots=shots, mean=float(ways + 10 * shots))
        for ways in (2, 8)
        for shots in (1, 4)
    ]
    return Rejection((0.05, 0.2), tuple(settings))


def test_the_evidence_is_that_of_a_slow_loop(
    model: Path, support: Path, queries: list[Path]
) -> None:
    held, asked = read_support(support), read_images(queries)
    loaded = load_model(model)
    rejection = Rejection((0.05, 0.2), (SETTING,))
    ranking = rank(loaded.network, loaded.config.input_size, asked, held, rejection=rejection)
    plain = rank(loaded.network, loaded.config.input_size, asked, held)
    assert (plain.evidence, plain.probability(0), plain.none_of_these(0)) == (None, None, False)
    assert np.array_equal(plain.scores, ranking.scores)

    def fits(image: np.ndarray, left_out: int | None = None) -> list[float]:
        classes = [c for c in range(len(held.names)) if c != left_out]
        members = [held.images[held.class_of == c] for c in classes]
        return [float(np.mean([slow_logit(image, one) for one in own])) for own in members]

    impostors = [
        max(fits(image, int(own))) for image, own in zip(held.images, held.class_of, strict=True)
    ]
    weight = PRIOR_CLASSES / (PRIOR_CLASSES + len(held.names))
    mean = (1 - weight) * np.mean(impostors) + weight * -3.0
    variance = (1 - weight) * np.var(impostors) + weight * 1.5
    expected = [(max(fits(image)) - mean) / variance**0.5 for image in asked]
    assert ranking.evidence == pytest.approx(np.array(expected), rel=1e-3)
    assert ranking.probability(1) == pytest.approx(1 / (1 + np.exp(1 - 2 * expected[1])), rel=1e-3)
    assert ranking.evidence is not None
    at = replace(ranking, threshold=float(ranking.evidence[1]))
    assert [at.none_of_these(query) for query in range(3)] == [
        bool(one <= ranking.evidence[1]) for one in ranking.evidence
    ]


def test_settings_are_interpolated_in_the_logarithm_and_held_beyond() -> None:
    found = table()
    assert found.at(2, 1).mean == 12
    assert found.at(4, 1).mean == pytest.approx(15)
    assert found.at(4, 2).mean == pytest.approx(30)
    assert found.at(100, 9) == replace(found.settings[-1], ways=100, shots=9)
    assert found.at(4, 2).thresholds == (2.0, 1.0)


def test_rates_between_the_measured_ones_lie_between_their_thresholds() -> None:
    cut = table().cut(SETTING, 0.1)
    assert 1.0 < cut.evidence < 2.0
    assert 0.5 < cut.kept < 0.75
    assert cut.probability == pytest.approx(1 / (1 + np.exp(1 - 2 * cut.evidence)))
    assert table().cut(SETTING, 0.2).evidence == 1.0
    for rate in (0.01, 0.3):
        with pytest.raises(InputError, match=r"from 0\.05 to 0\.2"):
            table().cut(SETTING, rate)
