"""Real digits without a network: the 1,797 handwritten ones of 8×8 pixels that scikit-learn ships.

E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

import numpy as np

from equilib_experiments.data.packages import require

TRAIN = 1437
INK = 16  # load_digits counts ink from 0 to 16
DIGIT, BORDER = 20, 4  # MNIST centres a 20×20 digit in its 28×28 image


def load_small_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return scikit-learn's digits as MNIST would show them, split always in the same way.

    Returns
    -------
    train_images, train_labels, test_images, test_labels : ndarray of uint8
        Shapes (1437, 28, 28), (1437,), (360, 28, 28), (360,). The last 360 digits are the test set.

    Raises
    ------
    DataError
        When scikit-learn is not installed.
    """
    digits = require("sklearn.datasets", purpose="using scikit-learn's digits").load_digits()
    ink = resize_bilinear(digits.images, DIGIT) * (255 / INK)
    images = np.pad(np.rint(ink).astype(np.uint8), ((0, 0), (BORDER, BORDER), (BORDER, BORDER)))
    labels = digits.target.astype(np.uint8)
    return images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:]


def resize_bilinear(images: np.ndarray, size: int) -> np.ndarray:
    """Resize square images, shape (n, s, s), to (n, size, size); the outermost pixels extend outwards."""
    old = images.shape[-1]
    # Pixel i covers [i, i + 1): the images' borders coincide, their first pixels' centres do not.
    centres = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    weights: np.ndarray = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(old)))
    resized: np.ndarray = weights @ images @ weights.T
    return resized
