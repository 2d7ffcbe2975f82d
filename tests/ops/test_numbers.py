"""A number of Python's, to every operation that takes an array of shape (), is that array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import value_and_grad

ALONE = "abs cos exp gelu log negative relu sigmoid sign silu sin softplus sqrt tanh max mean min std sum var"
WEIGHT = np.arange(6.0).reshape(3, 2)

OPERATIONS: dict[str, Callable[[Any], Any]] = {
    **{name: getattr(ops, name) for name in ALONE.split()},
    **{
        f"{name} of a matrix": lambda x, name=name: getattr(ops, name)(x, WEIGHT)
        for name in ("add", "maximum", "minimum")
    },
    "maximum of two": lambda x: ops.maximum(x, 1.0),
    "pow": lambda x: ops.pow(x, 2.5),
    "clip": lambda x: ops.clip(x, 0.0, 5.0),
    "clip by an array": lambda x: ops.clip(x, np.zeros(()), None),
    "where": lambda x: ops.where(np.array([True, False]), x, 2.0),
    "mse": lambda x: ops.mse(x, 2.0),
    "einsum": lambda x: ops.einsum(",ij->i", x, WEIGHT),
    "broadcast_to": lambda x: ops.broadcast_to(x, (2, 3)),
    "reshape": lambda x: ops.reshape(x, (1, 1)),
    "stack": lambda x: ops.stack([x, 2.0]),
    "getitem": lambda x: ops.getitem(x, None),
    "flip": lambda x: ops.flip(x, ()),
    "pad": lambda x: ops.pad(x, ()),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_number_is_an_array_without_axes(name: str) -> None:
    """Of a float, an int and a truth value an operation returns what it returns of the same as an array."""
    for number in (1.5, 3, True):
        if name in ("negative", "sign") and number is True:  # which NumPy refuses
            continue
        found, expected = (np.asarray(OPERATIONS[name](each)) for each in (number, np.asarray(number)))
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-3 if number is True else 1e-14)  # NumPy's are half


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_number_has_the_derivative_of_an_array_without_axes(name: str) -> None:
    """By a float it is what it is by the same as an array."""
    loss = lambda x: ops.sum(OPERATIONS[name](x))  # noqa: E731
    found, expected = (value_and_grad(loss)(each)[1] for each in (1.5, np.asarray(1.5)))
    np.testing.assert_allclose(found, expected, rtol=1e-14)


REFUSALS: dict[str, Callable[[Any], Any]] = {
    **{name: getattr(ops, name) for name in ("softmax", "log_softmax", "logsumexp", "matrix_transpose")},
    **{name: getattr(ops, name) for name in ("layer_norm", "rms_norm")},
    **{name: lambda x, name=name: getattr(ops, name)(x, 0) for name in ("flip", "max", "mean", "var")},
    "group_norm": lambda x: ops.group_norm(x, 1),
    "pad": lambda x: ops.pad(x, ((1, 1),)),
    "take": lambda x: ops.take(x, [0]),
    "cross_entropy": lambda x: ops.cross_entropy(x, np.array(0)),
    "attention": lambda x: ops.scaled_dot_product_attention(x, x, x),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_needs_axes_refuses_a_number_as_an_array_without_them(name: str) -> None:
    """In a sentence of its own, which names the axis or the shape, and for both alike."""
    said = []
    for x in (1.5, np.asarray(1.5)):
        with pytest.raises(ValueError, match=r"axis|axes|shape") as caught:
            REFUSALS[name](x)
        said.append(str(caught.value))
    assert said[0] == said[1] or name == "matrix_transpose"  # of which NumPy says it of an array
