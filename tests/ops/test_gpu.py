"""Every operation on CuPy arrays: the same numbers as on NumPy."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from tests.arrays_under_test import distance, lift
from tests.ops import convolution_cases, elementwise_cases, image_cases, sequence_cases, shape_cases, sum_cases
from tests.ops.derivatives import all_derivatives, like

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    "family",
    [elementwise_cases, shape_cases, convolution_cases, image_cases, sequence_cases, sum_cases],
    ids=lambda module: module.__name__,
)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-3)])
def test_cupy_agrees_with_numpy(
    family: ModuleType, dtype: str, tolerance: float, rng: np.random.Generator, subtests: pytest.Subtests
):
    """The value, J·v, Jᵀ·w and the Hessian's products are those of NumPy, in the dtype of the arguments."""
    import cupy

    for case in family.CASES:
        args = case.draw(rng)
        (w,) = like((case.call(*args),), rng)
        directions = like(args, rng)
        expected = all_derivatives(case, args, w, directions)
        with subtests.test(str(case)):
            actual = all_derivatives(case, *(lift(cupy, tree, dtype) for tree in (args, w, directions)))
            for name, value in expected.items():
                assert isinstance(actual[name], cupy.ndarray), name
                assert actual[name].dtype == dtype, name
                assert distance(actual[name], value) < tolerance, name
