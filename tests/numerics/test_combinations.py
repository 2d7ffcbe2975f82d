"""Combinations and products of a few arrays, sample by sample."""

from __future__ import annotations

import numpy as np
import pytest

from equilib.kernels import using_kernels
from equilib.numerics.combinations import combined, overlaps
from tests.arrays_under_test import NAMESPACES, lift, lower

SHAPES = [(3, 5), (4,), (2, 3, 4), (5, 70_000)]
"""The last is longer than what is worked on at a time."""


def drawn(rng: np.random.Generator, shape: tuple[int, ...], count: int, dtype: str) -> tuple:
    """Draw a base, weights for each sample, and `count` arrays."""
    arrays = [rng.standard_normal(shape).astype(dtype) for _ in range(count)]
    return rng.standard_normal(shape).astype(dtype), rng.standard_normal((shape[0], count)).astype(dtype), arrays


@pytest.mark.parametrize("library", NAMESPACES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_combination_is_the_sum_from_left_to_right(library, dtype, shape, count, rng: np.random.Generator):
    """The formula to the last bit, whatever the library and the size; the arrays stay as they are."""
    base, weights, arrays = drawn(rng, shape, count, dtype)
    expected = base
    for i, array in enumerate(arrays):
        expected = expected + weights[:, i].reshape(-1, *(1,) * (len(shape) - 1)) * array
    given = lift(NAMESPACES[library], [base, weights, *arrays])
    with using_kernels("none"):
        found = combined(given[0], given[1], given[2:])
    assert found.dtype == given[0].dtype
    np.testing.assert_array_equal(lower(found), expected)
    for before, after in zip([base, weights, *arrays], given, strict=True):
        np.testing.assert_array_equal(lower(after), before)


@pytest.mark.parametrize("library", NAMESPACES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("count", [1, 7])
def test_overlaps_are_the_products_of_each_sample(library, shape, count, rng: np.random.Generator):
    """They do not depend on the other samples, and a sample alone has the same to the last bit."""
    x, _, arrays = drawn(rng, shape, count, "float64")
    given = lift(NAMESPACES[library], [x, *arrays])
    found = lower(overlaps(given[1:], given[0]))
    rows = np.stack(arrays, axis=1).reshape(shape[0], count, -1)
    np.testing.assert_allclose(found, np.einsum("bkn,bn->bk", rows, x.reshape(shape[0], -1)), rtol=1e-12, atol=1e-12)
    alone = lift(NAMESPACES[library], [each[:1] for each in (x, *arrays)])
    np.testing.assert_array_equal(lower(overlaps(alone[1:], alone[0])), found[:1])


def test_nothing_added_is_the_base(rng: np.random.Generator):
    """Without arrays the base itself comes back."""
    base, weights, _ = drawn(rng, (3, 2), 0, "float32")
    assert combined(base, weights, []) is base
