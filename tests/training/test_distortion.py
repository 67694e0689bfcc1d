"""Distortions against scipy's sampling of single pixels, and the paper's shares and ranges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage, stats
from torch.nn import functional

from hpsearch.training.config import Distortion
from hpsearch.training.distortion import (
    Drawn,
    affine,
    distort,
    draw_distortion,
    draw_transforms,
    framed,
)
from tests.support.trainings import tiny_config

Array = NDArray[np.float64]

STILL = {"angle": 0.0, "shear_x": 0.0, "shear_y": 0.0, "scale_x": 1.0, "scale_y": 1.0}
STILL |= {"shift_x": 0.0, "shift_y": 0.0}

TRANSFORMS = {
    "angle": {"angle": math.radians(10)},
    "shear x": {"shear_x": 0.3},
    "shear y": {"shear_y": -0.3},
    "scale": {"scale_x": 0.8, "scale_y": 1.2},
    "shift": {"shift_x": 4 / 105, "shift_y": -0.21},
    "all": {
        "angle": -0.15,
        "shear_x": 0.25,
        "shear_y": -0.1,
        "scale_x": 1.15,
        "scale_y": 0.85,
        "shift_x": 0.1,
        "shift_y": 0.07,
    },
    "all, large": {
        "angle": 2.5,
        "shear_x": -1.2,
        "shear_y": 0.4,
        "scale_x": 0.3,
        "scale_y": 1.8,
        "shift_x": -0.3,
        "shift_y": 0.2,
    },
}


def transform_of(**parts: float) -> torch.Tensor:
    t = {**STILL, **parts}
    shear, scale, shift = (
        np.array([[t[f"{kind}_x"]], [t[f"{kind}_y"]]]) for kind in ("shear", "scale", "shift")
    )
    return torch.from_numpy(affine(np.array([t["angle"]]), shear=shear, scale=scale, shift=shift))


def apply(image: Array, **parts: float) -> Array:
    distorted = distort(torch.from_numpy(image)[None, None], Drawn(transform_of(**parts)))
    return distorted[0, 0].numpy()


def reference(image: Array, **parts: float) -> Array:
    """Rotate, shear and scale about the middle, then shift: every output pixel looked up alone."""
    t = {**STILL, **parts}
    side = len(image)
    cos, sin = math.cos(t["angle"]), math.sin(t["angle"])
    rotation = np.array([[cos, sin], [-sin, cos]])  # counter-clockwise, y down
    shear = np.array([[1, t["shear_x"]], [t["shear_y"], 1]])
    forward = rotation @ shear @ np.diag([t["scale_x"], t["scale_y"]])
    shift = np.array([t["shift_x"], t["shift_y"]]) * side / 2  # pixels
    middle = (side - 1) / 2
    out = np.empty_like(image)
    for row, column in np.ndindex(image.shape):
        x, y = np.linalg.solve(forward, np.array([column, row]) - middle - shift) + middle
        out[row, column] = ndimage.map_coordinates(
            image, [[y], [x]], order=1, mode="grid-constant", cval=0.0
        )[0]
    return out


def picture(side: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((side, side))


@pytest.mark.parametrize("side", [35, 20])
@pytest.mark.parametrize("parts", TRANSFORMS.values(), ids=TRANSFORMS.keys())
def test_pixels_are_scipys(side: int, parts: dict[str, float]) -> None:
    image = picture(side)
    np.testing.assert_allclose(apply(image, **parts), reference(image, **parts), atol=1e-10)


def test_images_are_distorted_each_by_its_own_transform() -> None:
    images = torch.from_numpy(np.stack([picture(20, seed) for seed in range(3)]))[:, None]
    chosen = [TRANSFORMS[name] for name in ("angle", "shift", "all")]
    together = distort(images, Drawn(torch.cat([transform_of(**parts) for parts in chosen])))
    for image, parts, found in zip(images, chosen, together, strict=True):
        np.testing.assert_allclose(found[0].numpy(), apply(image[0].numpy(), **parts), atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identity_leaves_the_image(dtype: torch.dtype) -> None:
    image = torch.from_numpy(picture(105)).to(dtype)[None, None]
    found = distort(image, Drawn(transform_of().to(dtype)))
    torch.testing.assert_close(found, image, rtol=0, atol=200 * torch.finfo(dtype).eps)


def test_a_quarter_turn_is_counter_clockwise() -> None:
    turned = apply(picture(21), angle=math.pi / 2)
    np.testing.assert_allclose(turned, np.rot90(picture(21)), atol=1e-10)


@pytest.mark.parametrize(("side", "pixels"), [(105, 2), (35, 1), (21, 3)])
def test_a_shift_moves_ink_right_and_down_by_whole_pixels(side: int, pixels: int) -> None:
    image = picture(side)
    moved = apply(image, shift_x=2 * pixels / side, shift_y=2 * pixels / side)
    np.testing.assert_allclose(moved[pixels:, pixels:], image[:-pixels, :-pixels], atol=1e-10)
    assert max(moved[:pixels].max(), moved[:, :pixels].max()) < 1e-10  # paper comes in


def forward_of(distortion: Distortion, count: int = 4000, seed: int = 0) -> Array:
    """Return drawn transforms from input to output in half image sides, [B, 3, 3]."""
    drawn = draw_transforms(count, distortion, torch.Generator().manual_seed(seed)).double()
    whole = np.tile(np.eye(3), (count, 1, 1))
    whole[:, :2] = drawn.numpy()
    return np.linalg.inv(whole)


def only(**ranges: float) -> Distortion:
    none = {"angle_deg": 0.0, "shear": 0.0, "scale": 0.0, "shift_px": 0.0}
    return Distortion(**{**none, **ranges})


def drawn_components(probability: float = 0.5) -> dict[str, tuple[Array, float]]:
    """Return every component's draws less its rest value, and the range it was given."""
    angle = forward_of(only(angle_deg=10, probability=probability))
    shear = forward_of(only(shear=0.3, probability=probability))
    rest = forward_of(only(scale=0.2, shift_px=2, probability=probability))
    return {
        "angle": (np.degrees(np.arctan2(angle[:, 0, 1], angle[:, 0, 0])), 10),
        "shear_x": (shear[:, 0, 1], 0.3),
        "shear_y": (shear[:, 1, 0], 0.3),
        "scale_x": (rest[:, 0, 0] - 1, 0.2),
        "scale_y": (rest[:, 1, 1] - 1, 0.2),
        "shift_x": (rest[:, 0, 2] * 105 / 2, 2),
        "shift_y": (rest[:, 1, 2] * 105 / 2, 2),
    }


def included(values: Array) -> NDArray[np.bool_]:
    return abs(values) > 1e-6


def test_every_component_is_included_in_half_the_transforms() -> None:
    for name, (values, _) in drawn_components().items():
        assert abs(included(values).mean() - 0.5) < 4 * 0.5 / math.sqrt(4000), name


def test_included_components_are_uniform_over_their_ranges() -> None:
    for name, (values, end) in drawn_components().items():
        assert abs(values).max() <= end * (1 + 1e-5), name
        moved = values[included(values)]
        assert stats.kstest(moved, stats.uniform(-end, 2 * end).cdf).pvalue > 1e-3, name


def test_components_are_included_independently() -> None:
    parts = drawn_components()
    shear = np.stack([included(parts[n][0]) for n in ("shear_x", "shear_y")])
    rest = np.stack([included(parts[n][0]) for n in parts if n[:5] in ("scale", "shift")])
    for flags in (shear, rest):
        correlations = np.corrcoef(flags)[np.triu_indices(len(flags), 1)]
        assert (abs(correlations) < 4 / math.sqrt(4000)).all()


def test_components_draw_different_values() -> None:
    parts = drawn_components(probability=1)
    for one, other in (("shear_x", "shear_y"), ("scale_x", "scale_y"), ("shift_x", "shift_y")):
        correlation = np.corrcoef(parts[one][0], parts[other][0])[0, 1]
        assert abs(correlation) < 4 / math.sqrt(4000)


def test_probability_1_includes_everything_and_0_nothing() -> None:
    assert all(included(values).all() for values, _ in drawn_components(probability=1).values())
    still = draw_transforms(50, Distortion(probability=0), torch.Generator().manual_seed(0))
    assert torch.equal(still, torch.eye(2, 3).expand(50, 2, 3))


def test_the_generator_alone_decides() -> None:
    state = torch.random.get_rng_state()
    one, again, other = (forward_of(Distortion(), 8, seed) for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_shift_of_three_full_size_pixels_is_one_pixel_at_35() -> None:
    moves = [only(shift_px=3, probability=1), only(shift_px=6, probability=1)]
    one, two = (forward_of(move, 16)[:, :2, 2] * 35 / 2 for move in moves)
    np.testing.assert_allclose(two, 2 * one, rtol=1e-5)
    assert 0.9 < abs(one).max() <= 1 + 1e-6


@pytest.mark.parametrize("side", [20, 35, 105])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sampling_places_are_torchs(side: int, dtype: torch.dtype) -> None:
    """Up to rounding: torch multiplies matrices, whose last bits depend on the processor"""
    source = torch.Generator().manual_seed(side)
    images = torch.rand(16, 1, side, side, generator=source).to(dtype)
    transforms = draw_transforms(16, Distortion(), source).to(dtype)
    grid = functional.affine_grid(transforms, list(images.shape), align_corners=False)
    expected = functional.grid_sample(images, grid, align_corners=False)
    found, ulps = distort(images, Drawn(transforms)), 64 * side * torch.finfo(dtype).eps
    torch.testing.assert_close(found, expected, rtol=0, atol=ulps)


def one_of(count: int, **ranges: float) -> Drawn:
    distortion = only(probability=1.0, **ranges)
    drawn = draw_distortion(count, distortion, torch.Generator().manual_seed(0))
    assert drawn is not None
    return drawn


def test_a_flip_mirrors_its_share_of_the_images_and_no_other_pixel() -> None:
    drawn = one_of(400, flip=0.25)
    image = torch.from_numpy(picture(20)).float()[None, None]
    shown = distort(image.expand(400, -1, -1, -1), drawn)
    upright = (shown - image).abs().amax((1, 2, 3)) < 1e-5
    mirrored = (shown - image.flip(3)).abs().amax((1, 2, 3)) < 1e-5
    assert bool((upright ^ mirrored).all())
    assert stats.binomtest(int(mirrored.sum()), 400, 0.25).pvalue > 0.01


def test_a_crop_shows_a_smaller_square_that_lies_within_the_image() -> None:
    transforms = one_of(1000, crop=0.5).transforms
    sides, centres = transforms[:, 0, 0], transforms[:, :, 2]
    assert 0.5 <= float(sides.min()) < 0.51
    assert 0.99 < float(sides.max()) <= 1
    torch.testing.assert_close(transforms[:, 1, 1], sides)
    assert bool((centres.abs() <= (1 - sides)[:, None] + 1e-6).all())
    share = (centres[:, 0] / (1 - sides)).numpy()
    assert stats.kstest(share, stats.uniform(-1, 2).cdf).pvalue > 0.01


def test_a_turned_crop_is_a_part_of_the_turned_image() -> None:
    quarter = Distortion(
        angle_deg=0, shear=0, scale=0, shift_px=0, crop=0.5, flip=1, probability=1
    )
    turned = torch.tensor([[[0.0, -1, 0], [1, 0, 0]]])
    shown = framed(turned, quarter, torch.Generator().manual_seed(1))
    image = torch.from_numpy(picture(24)).float()[None, None]
    alone = framed(torch.eye(2, 3)[None], quarter, torch.Generator().manual_seed(1))
    whole = distort(image, Drawn(turned))
    smooth = functional.avg_pool2d(distort(whole, Drawn(alone)), 4)
    found = functional.avg_pool2d(distort(image, Drawn(shown)), 4)
    torch.testing.assert_close(found, smooth, atol=0.05, rtol=0)


def test_colours_stay_colours_and_grey_stays_grey() -> None:
    pictures = torch.rand(200, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    shown = distort(pictures, one_of(200, colour=0.4))
    assert 0 <= float(shown.min()) < float(shown.max()) <= 1
    assert bool(((shown - pictures).abs().amax((1, 2, 3)) > 0.01).all())
    grey = distort(pictures[:, :1].expand(-1, 3, -1, -1), one_of(200, colour=0.4))
    torch.testing.assert_close(grey, grey[:, :1].expand(-1, 3, -1, -1), atol=1e-5, rtol=0)


def test_what_comes_in_beside_a_colour_picture_is_white() -> None:
    black = torch.zeros(1, 3, 20, 20)
    moved = distort(black, Drawn(transform_of(shift_x=0.5).float()))
    assert float(moved[..., :4].min()) == 1.0
    assert float(moved[..., 6:].max()) < 1e-6


def test_what_older_versions_drew_is_drawn_still() -> None:
    old = only(probability=0.5, angle_deg=10, elastic_px=2)
    new = old.model_copy(update={"flip": 0.5, "crop": 0.2, "colour": 0.3})
    one, other = (
        draw_distortion(9, chosen, torch.Generator().manual_seed(3)) for chosen in (old, new)
    )
    assert one is not None
    assert other is not None
    assert one.shifts is not None
    assert other.shifts is not None
    assert torch.equal(one.shifts, other.shifts)
    assert one.tints is None
    assert "flip" not in tiny_config().plain()["distortion"]
