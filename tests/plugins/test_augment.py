"""Random changes of images."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from equilib_experiments.augment import Shift
from tests.arrays_under_test import lift, lower


def test_an_image_is_moved_and_filled_with_zeros(xp: ModuleType, rng: np.random.Generator) -> None:
    """Each result is the image at one of the offsets allowed, which differ between images."""
    images = rng.random((6, 5, 4, 2)) + 0.1
    moved = lower(Shift(2)(lift(xp, images), np.random.default_rng(0)))
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    places = set()
    for before, after in zip(padded, moved, strict=True):
        matches = [(i, j) for i in range(5) for j in range(5) if np.array_equal(before[i : i + 5, j : j + 4], after)]
        assert len(matches) == 1
        places.update(matches)
    assert len(places) > 1


def test_a_mirrored_image_is_flipped_left_to_right(rng: np.random.Generator) -> None:
    """Without a shift about half of the images are flipped, and no other change is made."""
    images = rng.random((40, 3, 4, 1))
    moved = Shift(0, mirror=True)(images, np.random.default_rng(1))
    kept = [np.array_equal(before, after) for before, after in zip(images, moved, strict=True)]
    flipped = [np.array_equal(before[:, ::-1], after) for before, after in zip(images, moved, strict=True)]
    assert all(a != b for a, b in zip(kept, flipped, strict=True))
    assert 8 < sum(flipped) < 32
