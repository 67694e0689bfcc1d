"""The views of an image."""

from __future__ import annotations

import numpy as np
import torch

from hpsearch.network.views import views


def test_eight_views_are_the_symmetries_of_a_square() -> None:
    image = torch.arange(9).view(1, 3, 3)
    seen = [view.of(image)[0].numpy() for view in views(quarter_turns=True, mirror_images=True)]
    assert len({one.tobytes() for one in seen}) == 8
    for turn in range(4):
        np.testing.assert_array_equal(seen[turn], np.rot90(image[0].numpy(), turn))
        np.testing.assert_array_equal(seen[4 + turn], np.rot90(image[0].numpy()[:, ::-1], turn))


def test_without_settings_only_the_upright_image_counts() -> None:
    (upright,) = views(quarter_turns=False, mirror_images=False)
    image = torch.arange(4).view(1, 2, 2)
    assert torch.equal(upright.of(image), image)
