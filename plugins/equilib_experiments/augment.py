"""Random changes of images that leave their class alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.arrays import Array, array_namespace, from_host


@dataclass(frozen=True)
class Shift:
    """Move each image by up to so many pixels along both axes, filling with zeros; `mirror` flips half of them."""

    pixels: int
    mirror: bool = False

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Return images of the same shape, (batch, height, width, channels)."""
        count, height, width, channels = images.shape
        margin = (self.pixels, self.pixels)
        padded = ops.pad(images, ((0, 0), margin, margin, (0, 0)))
        offsets = rng.integers(0, 2 * self.pixels + 1, (count, 2))
        rows = offsets[:, :1] + np.arange(height)
        columns = offsets[:, 1:] + np.arange(width)
        if self.mirror:
            flipped = rng.random(count) < 0.5
            columns = np.where(flipped[:, None], columns[:, ::-1], columns)
        wide = width + 2 * self.pixels
        starts = np.arange(count)[:, None, None] * (height + 2 * self.pixels) * wide
        places = starts + rows[:, :, None] * wide + columns[:, None, :]
        pixels = array_namespace(padded).take(
            ops.reshape(padded, (-1, channels)), from_host(places.reshape(-1), images), axis=0
        )
        return ops.reshape(pixels, images.shape)
