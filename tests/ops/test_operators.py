"""Python's operators on traced arrays of a library that autograd does not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest

from equilib import ops
from equilib.arrays import array_namespace
from equilib.autodiff import linearize
from equilib.autodiff.boxes import TracedArray
from tests.arrays_under_test import distance, lift, lower

_OPERATORS = {
    "x + y": (lambda x, y: x + y, ops.add),
    "x − y": (lambda x, y: x - y, ops.subtract),
    "x · y": (lambda x, y: x * y, ops.multiply),
    "x / y": (lambda x, y: x / y, ops.divide),
    "x @ y": (lambda x, y: x @ y, ops.matmul),
    "2 + x": (lambda x, y: 2 + x, lambda x, y: ops.add(2, x)),
    "2 − x": (lambda x, y: 2 - x, lambda x, y: ops.subtract(2, x)),
    "2 · x": (lambda x, y: 2 * x, lambda x, y: ops.multiply(2, x)),
    "2 / x": (lambda x, y: 2 / x, lambda x, y: ops.divide(2, x)),
    "x ** 3": (lambda x, y: x**3, lambda x, y: ops.pow(x, 3)),
    "−x": (lambda x, y: -x, lambda x, y: ops.negative(x)),
    "|x|": (lambda x, y: abs(x), lambda x, y: ops.abs(x)),
    "x[1, :]": (lambda x, y: x[1, :], lambda x, y: ops.getitem(x, (1, slice(None)))),
    "x.T": (lambda x, y: x.T, lambda x, y: ops.matrix_transpose(x)),
}


@pytest.fixture
def pair(rng: np.random.Generator) -> list[Any]:
    """Return two square matrices of the strict library."""
    return lift(strict, [rng.standard_normal((3, 3)), rng.standard_normal((3, 3)) + 4.0])


def traced(f: Callable[[Any], Any], x: Any) -> Any:
    """Return what f returns of the traced x, without differentiating."""
    seen = []

    def observed(x: Any) -> Any:
        seen.append(f(x))
        return x

    linearize(observed, x)
    return seen[0]


@pytest.mark.parametrize("name", _OPERATORS)
def test_operators_are_operations(name: str, pair: list[Any]):
    """An operator and the operation it stands for have the same value and the same derivative."""
    operator, operation = (linearize(f, *pair) for f in _OPERATORS[name])
    assert distance(operator.value, operation.value) == 0
    assert distance(operator.vjp(operator.value)[0], operation.vjp(operation.value)[0]) == 0


@pytest.mark.parametrize(
    "compare",
    [
        lambda x, y: x < y,
        lambda x, y: x <= y,
        lambda x, y: x > y,
        lambda x, y: x >= y,
        lambda x, y: x == y,
        lambda x, y: x != y,
    ],
    ids=["<", "<=", ">", ">=", "==", "!="],
)
def test_comparisons_are_constants(compare: Callable[[Any, Any], Any], pair: list[Any]):
    """A comparison of a traced array is a plain array of booleans, with the values of the untraced one."""
    x, y = pair
    mask = traced(lambda x: compare(x, y), x)
    assert type(mask) is type(x)
    np.testing.assert_array_equal(lower(mask), lower(compare(x, y)))


def test_a_traced_array_shows_its_metadata(pair: list[Any]):
    """Shape, dtype, number of axes, size, device and length can be read off a traced array."""
    x = pair[0]

    def metadata(x: Any) -> tuple[Any, ...]:
        return x.shape, x.dtype, x.ndim, x.size, x.device, len(x)

    assert traced(metadata, x) == ((3, 3), strict.float64, 2, 9, x.device, 3)
    assert traced(type, x) is TracedArray


def test_the_namespace_of_a_traced_array_is_ours(pair: list[Any]):
    """Code written on `array_namespace(x)` is differentiated by the operations of `equilib.ops`."""
    x = pair[0]
    generic = linearize(lambda x: array_namespace(x).tanh(x), x)
    assert traced(array_namespace, x) is ops
    assert distance(generic.jvp(x), linearize(ops.tanh, x).jvp(x)) == 0


def test_traced_arrays_can_be_dictionary_keys(pair: list[Any]):
    """Elementwise == does not take hashing by identity away."""
    assert traced(lambda x: {x: 1}[x], pair[0]) == 1
