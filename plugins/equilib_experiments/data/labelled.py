"""What the experiments with images ask of a data set."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class LabelledImages(Protocol):
    """**Protocol:** a data set: images of bytes, (n, height, width) or (n, height, width, channels), and labels.

    `source` is one sentence for the log; `fallback` says whether these are not the images that were asked for.
    """

    @property
    def train_images(self) -> np.ndarray:
        """The training images."""

    @property
    def train_labels(self) -> np.ndarray:
        """Their labels."""

    @property
    def test_images(self) -> np.ndarray:
        """The official test images."""

    @property
    def test_labels(self) -> np.ndarray:
        """Their labels."""

    @property
    def source(self) -> str:
        """Where they are from."""

    @property
    def fallback(self) -> bool:
        """Whether others take their place."""
