"""Data of a function of one number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equilib.training.data import Dataset


def sampled(curve: Callable[[np.ndarray], np.ndarray], train: np.ndarray, test: np.ndarray) -> Dataset:
    """Return the values of a curve at points, shape (points,), as float32 of shape (points, 1)."""
    x, y = (np.asarray(each, np.float32)[:, None] for each in (train, curve(train)))
    test_x, test_y = (np.asarray(each, np.float32)[:, None] for each in (test, curve(test)))
    return Dataset(train_inputs=x, train_targets=y, test_inputs=test_x, test_targets=test_y)
