"""Stripes along either side of an image, as a data set for equilib."""

from dataclasses import dataclass

import numpy as np

from equilib.options import Checked, option
from equilib.training.data import ImageFormat, LabelledImages


@dataclass(frozen=True)
class Stripes(Checked):
    """Stripes of random width and brightness, in noise."""

    images = ImageFormat(height=28, width=28, channels=1, classes=("upright", "lying"))

    count: int = option(500, help="make so many images, a fifth of them to test", minimum=10)

    def load(self, data_dir, report):
        """Return the images, the same ones every time."""
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 2, self.count).astype(np.uint8)
        width, phase = rng.integers(2, 5, (self.count, 1)), rng.integers(0, 8, (self.count, 1))
        line = 200 * ((np.arange(28) + phase) // width % 2)
        upright = np.repeat(line[:, None, :], 28, axis=1)
        images = np.where(labels[:, None, None] == 0, upright, upright.swapaxes(1, 2))
        images = (images + rng.integers(0, 55, images.shape)).astype(np.uint8)
        cut = self.count * 4 // 5
        return LabelledImages(
            train_images=images[:cut],
            train_labels=labels[:cut],
            test_images=images[cut:],
            test_labels=labels[cut:],
            source=f"{self.count} images of stripes, made on the spot",
        )
