"""The certificate's statistics: against quadrature by scipy, and on synthetic studies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import integrate, stats

from hpsearch.confirm import shrinkage
from hpsearch.confirm.shrinkage import pooled_variance, predicted_optimism, shrink

STUDIES, ARMS, TOP, SEEDS = 400, 50, 5, 3
TRUTH = 0.1
SEARCH_SD = float(np.sqrt(0.9 * 0.1 / 320))
"""Of an error of 0.1 on 320 tasks."""
TRAINING_SD = 0.009
"""Of one training's error on all tasks of fresh drawers."""


def reference_means(means: list[float], sigma: float) -> list[float]:
    """Integrate over mu by scipy, for every w and L; theta given mu in closed form."""
    error = sigma
    weights, sums = 0.0, np.zeros(len(means))

    shares = np.divide(shrinkage.DIFFERING, np.sqrt(len(means)))
    for share in np.minimum(shares, shrinkage.MOST_DIFFER):
        for reach in np.multiply(shrinkage.REACHES, max(error, np.ptp(means) / shrinkage.WIDEST)):

            def parts(mu: float, share: float = share, reach: float = reach) -> np.ndarray:
                x = np.array(means)
                spike = (1 - share) * stats.norm.pdf(x, mu, sigma)
                low, high = (mu - reach - x) / sigma, (mu + reach - x) / sigma
                mass = stats.norm.cdf(high) - stats.norm.cdf(low)
                slab = share * mass / (2 * reach)
                inside = stats.truncnorm.mean(low, high, loc=x, scale=sigma)
                believed = (spike * mu + slab * inside) / (spike + slab)
                likelihood = float(np.prod(spike + slab))
                return np.array([likelihood, *(likelihood * believed)])

            limits = (min(means) - 8 * sigma, max(means) + 8 * sigma)
            found, _ = integrate.quad_vec(parts, *limits, epsabs=0, epsrel=1e-6, limit=200)
            weights += found[0]
            sums += found[1:]
    return (sums / weights).tolist()


@pytest.mark.parametrize("means", [[0.10, 0.11], [0.10, 0.10, 0.13], [0.05, 0.10, 0.101, 0.099]])
def test_shrunken_estimates_are_those_of_quadrature(means: list[float]) -> None:
    sigma = 0.01
    found = shrink([[m] for m in means], 0, sigma=sigma)
    expected = reference_means(means, sigma)
    error = found.sd / np.sqrt(shrinkage.DRAWS)
    np.testing.assert_array_less(np.abs(found.mean - expected), 5 * error + 0.02 * sigma)


def test_the_pooled_variance_is_that_of_an_analysis_of_variance() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.normal(mean, 2.0, n).tolist() for mean, n in ((0, 3), (5, 4), (9, 6))]
    variance, freedom = pooled_variance(groups)
    f, _ = stats.f_oneway(*groups)
    everything = np.concatenate(groups)
    between = sum(len(g) * (np.mean(g) - everything.mean()) ** 2 for g in groups) / 2
    assert freedom == 10
    assert variance == pytest.approx(between / f)


def test_one_far_better_configuration_is_left_where_it_was_measured() -> None:
    measured = [[0.05, 0.051, 0.049], *([[0.10, 0.101, 0.099]] * 4)]
    found = shrink(measured, 0)
    assert found.best == 0
    assert found.mean[0] == pytest.approx(0.05, abs=3e-4)
    assert found.chance_best()[0] > 0.999
    assert found.chance_best().sum() == pytest.approx(1)


def test_equal_configurations_are_drawn_together_and_share_the_chance() -> None:
    rng = np.random.default_rng(2)
    measured = rng.normal(0.1, 0.01, (5, 3))
    found = shrink(measured.tolist(), 0)
    assert np.ptp(found.mean) < 0.5 * np.ptp(measured.mean(axis=1))
    assert found.chance_best().max() < 0.5


@pytest.mark.parametrize("truth", [0.014, 0.05, 0.5, 0.99])
def test_shares_near_an_end_stay_within_and_their_intervals_cover(truth: float) -> None:
    rng = np.random.default_rng(11)
    tries = 130  # of one training's share: its spread is a hundredth at 0.014
    covered = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shrinkage, "DRAWS", 1000)
        for study in range(100):
            measured = rng.beta(truth * tries, (1 - truth) * tries, (4, 3))
            found = shrink(measured.tolist(), study)
            assert 0 <= found.draws.min() <= found.draws.max() <= 1
            low, high = found.interval(found.best)
            assert 0 <= low < found.mean[found.best] < high <= 1
            covered.append(low <= truth <= high)
    assert np.mean(covered) >= 0.9


def test_no_draw_lies_beyond_the_bounds_where_half_of_a_plain_posterior_would() -> None:
    found = shrink([[0.0, 0.06, 0.0], [0.01, 0.0, 0.05]], 0)
    assert found.draws.min() >= 0
    assert found.interval(0)[0] >= 0


def test_measurements_that_never_vary_are_taken_as_they_are() -> None:
    found = shrink([[0.2, 0.2], [0.1, 0.1]], 0)
    assert found.mean == pytest.approx([0.2, 0.1])
    assert found.chance_best().tolist() == [0.0, 1.0]


@dataclass
class Summary:
    """What 400 synthetic studies gave, the mean over all."""

    covered: float
    error: float
    naive_error: float
    optimism: float
    measured: float
    predicted: float


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(0.0, id="equal"),
        pytest.param(0.02, id="two points better", marks=pytest.mark.slow),
        pytest.param(0.03, id="three", marks=pytest.mark.slow),
    ],
)
def summary(request: pytest.FixtureRequest) -> Summary:
    """Search 50 arms once, confirm the lowest five with three seeds, 400 times over."""
    rng = np.random.default_rng(2026)
    rows = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shrinkage, "DRAWS", 1000)
        for study in range(STUDIES):
            truth = np.full(ARMS, TRUTH)
            truth[rng.integers(ARMS)] -= request.param
            figures = truth + rng.normal(0, SEARCH_SD, ARMS)
            top = np.argsort(figures)[:TOP]
            again = truth[top, None] + rng.normal(0, TRAINING_SD, (TOP, SEEDS))
            found = shrink(again.tolist(), study)
            best, naive = found.best, int(np.argmin(again.mean(axis=1)))
            low, high = found.interval(best)
            rows.append(
                (
                    low <= truth[top[best]] <= high,
                    (found.mean[best] - truth[top[best]]) / found.sd[best],
                    (again.mean(axis=1)[naive] - truth[top[naive]])
                    / (TRAINING_SD / np.sqrt(SEEDS)),
                    truth[top[0]] - figures[top[0]],
                    found.mean[0] - figures[top[0]],
                    predicted_optimism(figures.tolist(), SEARCH_SD, study)
                    if study % 4 == 0
                    else np.nan,
                )
            )
    return Summary(*np.nanmean(rows, axis=0).tolist())


def test_the_interval_covers_the_truth_as_often_as_it_says(summary: Summary) -> None:
    assert 0.92 <= summary.covered <= 0.98


def test_the_estimate_is_hardly_biased_though_it_is_of_the_winner(summary: Summary) -> None:
    assert abs(summary.error) < 0.3
    assert summary.naive_error < -0.25  # the lowest mean of five is biased: there was a task


def test_the_optimism_of_the_lowest_figure_is_measured_and_predicted(summary: Summary) -> None:
    assert summary.optimism > 0.025
    assert summary.measured == pytest.approx(summary.optimism, rel=0.05)
    assert summary.predicted == pytest.approx(summary.optimism, rel=0.2)
