"""Formulas of the operations on many numbers, and on numbers that are no easy ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import linearize
from equilib.ops import convolution

SAME = ((1, 1), (1, 1))


def normalized(x: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> Any:
    """Return group_norm with two groups."""
    return ops.group_norm(x, 2, 1e-5, scale, shift)


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


@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
def test_images_in_parts_are_images(stride: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch):
    """However many images are laid out at a time, a convolution and its transposes are the same to rounding."""
    x, weight = rng.standard_normal((7, 6, 5, 3)), rng.standard_normal((3, 3, 3, 4))

    def results() -> list[np.ndarray]:
        y = ops.conv2d(x, weight, stride, SAME)
        transposed = ops.conv2d_input_transpose(y, weight, x.shape, stride, SAME)
        return [y, transposed, ops.conv2d_weight_transpose(x, y, (3, 3), stride, SAME)]

    whole = results()
    for numbers in (1, 2000):
        monkeypatch.setattr(convolution, "_LAID_OUT", numbers)
        for ours, theirs in zip(results(), whole, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_nan_stays_in_its_image(rng: np.random.Generator):
    """A NaN in one image leaves the convolution of the others as it is, bit for bit."""
    x, weight = rng.standard_normal((3, 5, 5, 64)), rng.standard_normal((3, 3, 64, 4))
    spoiled = x.copy()
    spoiled[1, 2, 2, 0] = np.nan
    clean, dirty = ops.conv2d(x, weight), ops.conv2d(spoiled, weight)
    assert np.array_equal(clean[[0, 2]], dirty[[0, 2]])
    assert np.isnan(dirty[1]).any()


@pytest.mark.parametrize("call", [ops.conv2d, ops.conv2d_block])
def test_a_kernel_that_does_not_fit_is_refused(call: Any):
    """A kernel larger than the image, and one for other channels, are refused before any code computes them."""
    with pytest.raises(ValueError, match="does not fit"):
        call(np.ones((1, 2, 2, 64)), np.ones((3, 3, 64, 1)))
    with pytest.raises(ValueError, match="the images have 64 channels"):
        call(np.ones((1, 5, 5, 64)), np.ones((3, 3, 3, 1)))


def test_cotangents_of_another_shape_are_refused():
    """The transposes of a convolution take arrays of the shape of its result, no others."""
    x, weight = np.ones((2, 5, 5, 3)), np.ones((3, 3, 3, 4))
    with pytest.raises(ValueError, match=r"must have the shape \(2, 3, 3, 4\), it has \(2, 5, 5, 4\)"):
        ops.conv2d_input_transpose(np.ones((2, 5, 5, 4)), weight, x.shape)
    with pytest.raises(ValueError, match=r"must have the shape \(2, 3, 3, 4\), it has \(2, 5, 5, 4\)"):
        ops.conv2d_weight_transpose(x, np.ones((2, 5, 5, 4)), (3, 3))
    with pytest.raises(ValueError, match="activation must be identity, tanh, sigmoid, relu, got 'gelu'"):
        ops.conv2d_block(x, weight, activation="gelu")
