"""Real digits without a network: the 1,797 handwritten ones of 8×8 pixels that scikit-learn ships.

E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from equilib.errors import require
from equilib.training.data import ImageFormat, LabelledImages

TRAIN = 1437
INK = 16  # load_digits counts ink from 0 to 16
DIGIT, BORDER = 20, 4  # MNIST centres a 20×20 digit in its 28×28 image

DIGITS = ImageFormat(height=28, width=28, channels=1, classes=tuple("0123456789"), light_on_dark=True)
SMALL_DIGITS = "scikit-learn's handwritten digits (8×8 pixels, resized to 28×28)"


@dataclass(frozen=True)
class SmallDigits:
    """The digits that scikit-learn ships, as MNIST would show them."""

    images = DIGITS

    def load(self, data_dir: Path | None, report: Callable[[str], None]) -> LabelledImages:
        """Return 1,437 digits to train and the last 360 to test, whatever `data_dir` holds.

        Raises UserError when scikit-learn is not installed.
        """
        digits = require("sklearn.datasets", purpose="using scikit-learn's digits").load_digits()
        ink = resize_bilinear(digits.images, DIGIT) * (255 / INK)
        images = np.pad(np.rint(ink).astype(np.uint8), ((0, 0), (BORDER, BORDER), (BORDER, BORDER)))
        labels = digits.target.astype(np.uint8)
        train, test = ((images[part], labels[part]) for part in (slice(TRAIN), slice(TRAIN, None)))
        return LabelledImages(*train, *test, source=f"{SMALL_DIGITS}: {counted(train[0], test[0])}")


def counted(train: np.ndarray, test: np.ndarray) -> str:
    """Return how many images there are, for people."""
    return f"{len(train):,} training and {len(test):,} test images"


def resize_bilinear(images: np.ndarray, size: int) -> np.ndarray:
    """Resize square images, shape (n, s, s), to (n, size, size); the outermost pixels extend outwards."""
    old = images.shape[-1]
    # Pixel i covers [i, i + 1): the images' borders coincide, their first pixels' centres do not.
    centres = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    weights: np.ndarray = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(old)))
    resized: np.ndarray = weights @ images @ weights.T
    return resized
