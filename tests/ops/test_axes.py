"""Axes that there are not, axes of length 0, and rows by numbers of any kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.arrays import Array, to_host
from equilib.autodiff import linearize, value_and_grad

LIBRARIES = ("numpy", "torch", "jax")

OVER: dict[str, Callable[[Array, int], Array]] = {
    **{
        name: lambda x, axis, name=name: getattr(ops, name)(x, axis)
        for name in ("sum", "mean", "var", "std", "max", "min", "logsumexp", "softmax", "log_softmax")
    },
    "sum over two": lambda x, axis: ops.sum(x, (0, axis)),
    "max over two": lambda x, axis: ops.max(x, (0, axis)),
    "flip": lambda x, axis: ops.flip(x, (axis,)),
    "concat": lambda x, axis: ops.concat((x, x), axis),
    "permute_dims": lambda x, axis: ops.permute_dims(x, (0, axis)),
    "take": lambda x, axis: ops.take(x, [0], axis),
    "put_sum": lambda x, axis: ops.put_sum(x, [0, 1], (2, 3), axis),
}


def lifted(library: str, host: np.ndarray) -> Array:
    """Return an array of NumPy's as one of a library."""
    xp = np if library == "numpy" else pytest.importorskip({"torch": "torch", "jax": "jax.numpy"}[library])
    return xp.asarray(host.astype("float32"))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", OVER)
def test_an_axis_that_there_is_not_is_one_sentence(name: str, library: str) -> None:
    """Every operation names the axis and the shape, by an error that is both of those that libraries raise."""
    for shape in ((2, 3), (2, 0)):
        x = lifted(library, np.ones(shape))
        for axis in (2, -3, 7):
            if name == "put_sum" and shape == (2, 0):
                continue
            with pytest.raises(IndexError, match=rf"axis {axis} is out of bounds .* of shape \({shape[0]}, ") as caught:
                OVER[name](x, axis)
            assert isinstance(caught.value, ValueError)


def test_an_axis_is_a_whole_number(rng: np.random.Generator) -> None:
    """One of NumPy's is as good as Python's, there and back; a fraction and a text are refused."""
    x = rng.standard_normal((2, 3))
    for operation in (ops.sum, ops.mean, ops.max, ops.logsumexp, ops.softmax):
        one, other = (linearize(partial(operation, axis=axis), x) for axis in (1, np.int64(1)))
        np.testing.assert_array_equal(one.value, other.value)
        np.testing.assert_array_equal(one.vjp(one.value)[0], other.vjp(one.value)[0])
    for axis in (1.0, "1"):
        with pytest.raises(TypeError, match="an axis is a whole number, got"):
            ops.softmax(x, axis)  # type: ignore[arg-type]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", ["mean", "var", "mean of all", "var of one"])
def test_what_divides_by_nothing_is_not_a_number(name: str, library: str) -> None:
    """Means over no elements, and a variance without a degree of freedom, have derivatives as PyTorch has them."""
    of_one = name == "var of one"
    operation: dict[str, Callable[[Array], Any]] = {
        "mean": lambda x: ops.sum(ops.mean(x, 0)),
        "var": lambda x: ops.sum(ops.var(x, 0)),
        "mean of all": ops.mean,
        "var of one": lambda x: ops.var(x, correction=1.0),
    }
    x = lifted(library, np.ones(1) if of_one else np.ones((0, 3)))
    with np.errstate(all="ignore"):
        value, gradient = value_and_grad(operation[name])(x)
    assert np.isnan(to_host(value))
    assert gradient.shape == x.shape
    assert np.isnan(to_host(gradient)).all()


@pytest.mark.parametrize("library", LIBRARIES)
def test_rows_are_taken_by_integers_of_any_kind(library: str) -> None:
    """NumPy's integers of every width, lists and an empty list number the rows of every library, there and back."""
    host = np.arange(6.0).reshape(3, 2)
    x = lifted(library, host)
    kinds = ("uint8", "int8", "uint16", "int32", "uint32", "int64", "uint64")
    for given in (*(np.array([2, 0], kind) for kind in kinds), [2, 0], []):
        rows = np.asarray(given, np.int64)
        linear = linearize(lambda x, given=given: ops.take(x, given), x)
        np.testing.assert_array_equal(to_host(linear.value), host[rows])
        (pulled,) = linear.vjp(linear.value)
        expected = np.zeros((3, 2))
        expected[rows] = host[rows]
        np.testing.assert_array_equal(to_host(pulled), expected)


def test_bytes_of_pytorch_number_rows() -> None:
    """PyTorch's own indexing takes two widths of integers only."""
    torch = pytest.importorskip("torch")
    x = torch.arange(6.0).reshape(3, 2)
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64):
        assert ops.take(x, torch.tensor([2, 0], dtype=dtype)).tolist() == [[4, 5], [0, 1]]


@pytest.mark.parametrize("library", LIBRARIES)
def test_lists_of_different_lengths_number_nothing(library: str) -> None:
    """Such a list is refused in a sentence, and so is an array of numbers that has no axis."""
    x = lifted(library, np.ones((3, 2)))
    with pytest.raises(TypeError, match=r"indices must be integers, .*, got lists of different lengths"):
        ops.take(x, [[0], [1, 2]])
    with pytest.raises(IndexError, match=r"axis 0 is out of bounds for an array of shape \(\)"):
        ops.take(x[0, 0], 0)
