"""One-shot and verification accuracy on networks whose accuracy is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from hpsearch.data.dataset import Characters
from hpsearch.data.dense import dense_tasks
from hpsearch.data.task_size import TaskSize
from hpsearch.data.tasks import OneShotTasks, validation_tasks
from hpsearch.network.geometry import Convolution, NetworkShape
from hpsearch.network.initialisation import initialise
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.training.evaluation import (
    encode,
    evaluate_tasks,
    pair_auc,
    run_scores,
    to_input,
    verification_accuracy,
)
from tests.support.trees import role

WAYS = 20
SIDE = 8
SHAPE = NetworkShape(SIDE, (Convolution(3, 4, pool=True),), 10)


def characters() -> Characters:
    return role((20, 25, 30), drawers=4, side=SIDE)


def tasks(n_runs: int = 16) -> OneShotTasks:
    return validation_tasks(characters(), TaskSize(WAYS), n_runs=n_runs, drawers=range(4), seed=0)


def random_images(count: int | None = None) -> Tensor:
    count = len(characters().character) if count is None else count
    images = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE), np.uint8)
    return torch.from_numpy(images)


def drawn_images() -> Tensor:
    """Return noise that is the same in every drawing of a character, and a little more of it."""
    rng = np.random.default_rng(0)
    number = characters().character
    forms = rng.integers(0, 200, (int(number.max()) + 1, SIDE, SIDE))
    noise = rng.integers(0, 55, (len(number), SIDE, SIDE))
    return torch.from_numpy((forms[number] + noise).astype(np.uint8))


def network(*, bias: bool = False) -> SiameseNetwork:
    made = SiameseNetwork(SHAPE, output_bias=bias)
    initialise(made, "he", torch.Generator().manual_seed(0))
    return made


class Oracle:
    """Reads the character off the ink, where every image of a character has its number as ink."""

    sign, aligned = -1, False

    def encode(self, images: Tensor) -> Tensor:
        assert images.shape[1:] == (1, SIDE, SIDE)
        return (images * 255).mean((1, 2, 3))[:, None]

    def score_matrix(self, queries: Tensor, supports: Tensor) -> Tensor:
        return self.sign * (queries - supports.T).abs()


class Liar(Oracle):
    sign = 1


class Dice(Oracle):
    def __init__(self) -> None:
        self.source = torch.Generator().manual_seed(0)

    def score_matrix(self, queries: Tensor, supports: Tensor) -> Tensor:
        return torch.rand(len(queries), len(supports), generator=self.source)


class Unsure(Oracle):
    def score_matrix(self, queries: Tensor, supports: Tensor) -> Tensor:
        scores = super().score_matrix(queries, supports)
        scores[0, 0] = math.nan
        return scores


def numbered_images() -> Tensor:
    number = torch.from_numpy(characters().character).to(torch.uint8)
    return number[:, None, None].expand(-1, SIDE, SIDE)


def spoil(name: str, value: float, *, bias: bool = False) -> SiameseNetwork:
    made = network(bias=bias)
    with torch.no_grad():
        dict(made.named_parameters())[name].fill_(value)
    return made


CONSTANT = {
    "alpha 0": ("output.weight", 0.0),
    "alpha NaN": ("output.weight", math.nan),
    "alpha infinite": ("output.weight", -math.inf),
    "no weights": ("fc.weight", 0.0),
    "saturated": ("fc.bias", 1e4),
    "NaN in a convolution": ("conv1.weight", math.nan),
    "dead convolution": ("conv1.bias", -1e4),
}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("name", "value"), CONSTANT.values(), ids=CONSTANT.keys())
def test_scores_that_do_not_depend_on_images_earn_chance(
    name: str, value: float, bias: bool
) -> None:
    found = evaluate_tasks(spoil(name, value, bias=bias), random_images(), tasks())
    assert found.degenerate
    if value != -math.inf:  # 0 x infinity is NaN, the rest ties at -infinity
        assert found.accuracy == 1 / WAYS
        assert (found.credit == 1 / WAYS).all()


@pytest.mark.parametrize("name", ["alpha 0", "alpha NaN", "no weights", "dead convolution"])
def test_they_earn_exactly_chance_in_dense_validation_too(name: str) -> None:
    every = dense_tasks(characters(), TaskSize(WAYS), drawers=range(4), seed=0)
    found = evaluate_tasks(spoil(*CONSTANT[name]), random_images(), every)
    assert found.degenerate
    assert found.accuracy == 1 / WAYS
    assert set(found.per_alphabet.values()) == {1 / WAYS}


def test_dense_validation_tells_who_knows_and_lies_within_noise_of_random_scores() -> None:
    every = dense_tasks(characters(), TaskSize(WAYS), drawers=range(4), seed=0)
    knows = evaluate_tasks(Oracle(), numbered_images(), every)  # type: ignore[arg-type]
    lies = evaluate_tasks(Liar(), numbered_images(), every)  # type: ignore[arg-type]
    assert (knows.accuracy, lies.accuracy) == (1, 0)
    assert not knows.degenerate
    dice = evaluate_tasks(Dice(), random_images(), every)  # type: ignore[arg-type]
    # Of W candidates each is the best with chance 1/W; queries are independent of one another.
    error = math.sqrt(1 / WAYS * (1 - 1 / WAYS) / every.n_tasks)
    assert abs(dice.accuracy - 1 / WAYS) < 3 * error
    assert dice.degenerate
    assert (knows.auc, lies.auc) == (1, 0)


def test_scores_that_differ_by_rounding_only_are_degenerate() -> None:
    made = spoil("output.bias", 1.0, bias=True)
    with torch.no_grad():
        made.output.weight.mul_(1e-7)
    assert evaluate_tasks(made, random_images(), tasks()).degenerate


def test_small_scores_that_differ_are_not_degenerate() -> None:
    made = network()
    images, some = drawn_images(), tasks()
    plain = evaluate_tasks(made, images, some)
    with torch.no_grad():
        made.output.weight.mul_(2.0**-40)
    small = evaluate_tasks(made, images, some)
    assert not plain.degenerate
    assert not small.degenerate
    np.testing.assert_array_equal(plain.credit, small.credit)


def test_random_scores_earn_chance_within_three_standard_errors() -> None:
    many = tasks(n_runs=200)
    found = evaluate_tasks(Dice(), random_images(), many)  # type: ignore[arg-type]
    error = math.sqrt(1 / WAYS * (1 - 1 / WAYS) / 4000)
    assert many.n_tasks == 4000
    assert abs(found.accuracy - 1 / WAYS) < 3 * error
    assert set(np.unique(found.credit)) == {0, 1}
    assert found.degenerate
    assert found.auc == pytest.approx(0.5, abs=0.02)


def test_auc_is_the_share_of_pairs_of_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 6, (4, 5)).astype(float)  # with ties
    scores[1, 2], scores[3, 3] = math.nan, -math.inf  # both rank last and tie
    same = rng.random((4, 5)) < 0.4
    ranked = np.where(np.isfinite(scores), scores, -1)
    order = np.sign(ranked[same][:, None] - ranked[~same][None])
    assert pair_auc(scores, same) == pytest.approx(float((order + 1).mean() / 2), abs=1e-12)
    assert pair_auc(scores, np.zeros_like(same)) == 0.5


def test_who_knows_the_characters_earns_everything_and_who_lies_nothing() -> None:
    knows = evaluate_tasks(Oracle(), numbered_images(), tasks())  # type: ignore[arg-type]
    lies = evaluate_tasks(Liar(), numbered_images(), tasks())  # type: ignore[arg-type]
    assert (knows.accuracy, lies.accuracy) == (1, 0)
    assert knows.credit.shape == (16, WAYS)
    assert not knows.degenerate


def test_a_single_score_that_is_not_finite_is_degenerate() -> None:
    found = evaluate_tasks(Unsure(), numbered_images(), tasks())  # type: ignore[arg-type]
    assert found.degenerate
    assert 1 - 16 / 320 <= found.accuracy < 1  # no more than its own task is lost


def test_accuracy_is_the_share_of_tasks_whose_best_candidate_is_the_target() -> None:
    made, images, some = network(), random_images(), tasks()
    hits = 0
    with torch.no_grad():
        codes = made.encode(images[:, None].float() / 255)
        for run in range(16):
            for query, target in zip(some.query[run], some.target[run], strict=True):
                scores = [made.score(codes[query], codes[s]).item() for s in some.support[run]]
                hits += int(np.argmax(scores)) == target
    assert evaluate_tasks(made, images, some).accuracy == pytest.approx(hits / 320, abs=1e-12)


def test_run_scores_are_scores_of_query_and_candidate() -> None:
    made, some = network(bias=True), tasks()
    codes = encode(made, random_images())
    found = run_scores(made, codes, some)
    assert found.shape == (16, WAYS, WAYS)
    for run, q, s in ((0, 0, 0), (3, 5, 19), (15, 19, 2)):
        expected = made.score(codes[some.query[run, q]], codes[some.support[run, s]])
        torch.testing.assert_close(found[run, q, s], expected, rtol=1e-5, atol=1e-6)


def test_encoding_piece_by_piece_is_encoding_at_once() -> None:
    made, images = network(), random_images(300)
    with torch.no_grad():
        expected = made.encode(images[:, None].float() / 255)
    found = encode(made, images)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert not found.requires_grad


def test_input_is_ink_within_0_and_1() -> None:
    images = torch.tensor([[[0, 51], [102, 255]]], dtype=torch.uint8)
    found = to_input(images)
    torch.testing.assert_close(found, torch.tensor([[[[0.0, 0.2], [0.4, 1.0]]]]))
    assert images[0, 1, 1] == 255


@pytest.mark.parametrize("bias", [False, True])
def test_verification_accuracy_is_the_share_told_right(bias: bool) -> None:
    made = network(bias=bias)
    rng = np.random.default_rng(0)
    codes = torch.from_numpy(rng.random((30, 10), np.float32))
    left, right = (torch.from_numpy(rng.integers(0, 30, 200)) for _ in range(2))
    with torch.no_grad():
        made.output.weight.copy_(torch.from_numpy(rng.normal(0, 1, (1, 10))))
        if bias:
            made.output.bias.fill_(0.3)
    same = torch.from_numpy(rng.random(200) < 0.4)
    alpha = made.output.weight.detach().numpy()[0]
    right_answers = 0
    for a, b, truth in zip(left.tolist(), right.tolist(), same.tolist(), strict=True):
        logit = float(alpha @ (codes[a] - codes[b]).abs().numpy()) + 0.3 * bias
        right_answers += (1 / (1 + math.exp(-logit)) > 0.5) == truth
    found = verification_accuracy(made, codes, left, right, same)
    assert 0 < right_answers < 200
    assert found == pytest.approx(right_answers / 200, abs=1e-12)
