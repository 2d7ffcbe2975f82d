"""Operations on the host that go through their arguments a block at a time, in one thread or in several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import linearize
from equilib.machine import threads as workers
from equilib.ops.host import blocks


def normalized(x: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> Any:
    """Return group_norm with two groups."""
    return ops.group_norm(x, 2, 1e-5, scale, shift)


OPERATIONS = {
    "gelu": ops.gelu,
    "sigmoid": ops.sigmoid,
    "tanh": ops.tanh,
    "group norm": normalized,
}


def products(operation: Any, samples: int) -> list[np.ndarray]:
    """Return the value of an operation on so many samples, and what J and Jᵀ make of them, twice."""
    rng = np.random.default_rng(samples)
    x, v = rng.standard_normal((2, samples, 3, 5, 6)).astype("float32")
    args = (x, *rng.standard_normal((2, 6)).astype("float32")) if operation is normalized else (x,)
    linear = linearize(operation, *args)
    pulled = [each for _ in range(2) for each in linear.vjp(v, tuple(range(len(args))))]
    return [linear.value, *pulled, linear.jvp(v), linearize(operation, *args).jvp(v)]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("samples", [1, 2, 3, 33])
def test_shares_and_blocks_make_no_difference(operation: Any, samples: int, monkeypatch: pytest.MonkeyPatch):
    """However many threads share the samples, and however small the blocks, the results are the same bit for bit."""
    monkeypatch.setattr(workers, "_count", 1)
    expected = products(operation, samples)
    monkeypatch.setattr(workers, "_WORTHWHILE", 0)
    monkeypatch.setattr(blocks, "_WORTHWHILE", 0)
    for count, length in ((1, 1000), (2, 10**6), (2, 700), (3, 1500)):
        monkeypatch.setattr(blocks, "_BLOCK", length)
        monkeypatch.setattr(workers, "_count", count)
        for ours, theirs in zip(products(operation, samples), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_need_not_be_contiguous(order: Any, rng: np.random.Generator):
    """A view gives what a copy of it gives."""
    x = np.asarray(rng.standard_normal((4, 5, 6, 8)), order=order)[::2, :, ::-1]
    scale, shift = rng.standard_normal((2, 16))[:, ::2]
    for operation, args in ((ops.gelu, (x,)), (ops.sigmoid, (x,)), (ops.tanh, (x,)), (normalized, (x, scale, shift))):
        view, copy = linearize(operation, *args), linearize(operation, *(each.copy() for each in args))
        np.testing.assert_array_equal(view.value, copy.value)
        np.testing.assert_array_equal(view.vjp(x)[0], copy.vjp(x.copy())[0])


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_group_norm_of_numbers_far_from_zero(groups: int, rng: np.random.Generator):
    """Single precision loses no more digits than subtracting the mean does, forward and back."""
    x = (300 + rng.standard_normal((2, 26, 26, 8))).astype("float32")
    w = rng.standard_normal(x.shape).astype("float32")
    single = linearize(lambda x: ops.group_norm(x, groups), x)
    double = linearize(lambda x: ops.group_norm(x, groups), x.astype("float64"))
    np.testing.assert_allclose(single.value, double.value, atol=2e-4)
    np.testing.assert_allclose(single.vjp(w)[0], double.vjp(w.astype("float64"))[0], atol=2e-4)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(
    "axis", [None, 0, 1, -1, -2, (0, 1), (1, 0), (1, 2), (0, 1, 2), (0, 2), (-3, 2), (0, 1, 2, 3), ()], ids=str
)
def test_sums_of_many_numbers(axis: Any, keepdims: bool, rng: np.random.Generator):
    """Many numbers add up to what few do: over any axes, the sum is that of the samples one at a time."""
    x = rng.standard_normal((33, 7, 8, 20))
    for array in (x, x[::2], np.moveaxis(x, 3, 0)):
        expected = np.add.reduce(array, axis=axis, keepdims=keepdims)
        actual = ops.sum(array, axis, keepdims)
        assert actual.shape == expected.shape
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


def test_sums_of_many_numbers_are_rounded_little(rng: np.random.Generator):
    """Over all positions of a batch, single precision adds positive numbers up to five digits."""
    x = rng.uniform(1, 2, (64, 40, 40, 16)).astype("float32")
    np.testing.assert_allclose(ops.sum_to(x, (16,)), x.sum(axis=(0, 1, 2), dtype="float64"), rtol=1e-5)


def test_an_axis_that_is_not_there_is_refused():
    """The sum of many numbers over an axis that they do not have is the error that it is for few."""
    for axis in (4, -5, (0, 4)):
        with pytest.raises(np.exceptions.AxisError, match="out of bounds"):
            ops.sum(np.ones((30, 10, 5, 20)), axis)


def test_relu_does_not_hide_a_nan():
    """Relu of what is not a number is not a number."""
    np.testing.assert_array_equal(ops.relu(np.array([np.nan, -1.0, 2.0])), [np.nan, 0.0, 2.0])
