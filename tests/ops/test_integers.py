"""Operations whose results are real numbers, of integers and truth values: nothing wraps, nothing is cut."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import sparse

from equilib import ops
from equilib.arrays import Array, to_host

LABELS = np.array([2, 0, 1])
HALVES = sparse.csr_array(np.array([[0.5, 0.0, -0.5], [0.0, 0.0, 1.5]]))

OPERATIONS: dict[str, Callable[[Array], Array]] = {
    **{name: getattr(ops, name) for name in ("gelu", "sigmoid", "silu", "softplus")},
    **{name: getattr(ops, name) for name in ("softmax", "log_softmax", "logsumexp", "layer_norm", "rms_norm")},
    **{name: getattr(ops, name) for name in ("mean", "var", "std")},
    "mse": lambda x: ops.mse(x, ops.flip(x, (0,))),
    "group norm": lambda x: ops.group_norm(x, 2),
    "attention": lambda x: ops.scaled_dot_product_attention(x, x, x),
    "sparse product": lambda x: ops.sparse_matmul(HALVES, x),
    "average pool": lambda x: ops.average_pool(ops.reshape(x, (1, 3, 4, 1)), (2, 2), (1, 1)),
    "cross entropy": lambda x: ops.cross_entropy(x, LABELS),
}


def lifted(library: str, host: np.ndarray) -> Array:
    """Return an array of NumPy's as one of a library."""
    xp = np if library == "numpy" else pytest.importorskip({"torch": "torch", "jax": "jax.numpy"}[library])
    return xp.asarray(host.copy())


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "bool"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_integers_are_the_numbers_that_they_are(name: str, dtype: str, library: str, rng: np.random.Generator) -> None:
    """Of integers, also such as end their type's range, and of truth values it is that of the same real numbers."""
    least, most = {"uint8": (0, 255), "int8": (-128, 127), "int64": (-9, 9), "bool": (0, 1)}[dtype]
    host = rng.integers(least, most, (3, 4), endpoint=True).astype(dtype)
    host[0, :2] = least, most
    real = host.astype("float64" if library == "numpy" else "float32")
    found, expected = (OPERATIONS[name](lifted(library, each)) for each in (host, real))
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(to_host(found), to_host(expected), rtol=1e-5, atol=1e-5)


BOUNDS = {
    "fractions": (0.5, 1.5, [0.5, 1.0, 1.5]),
    "fractions in arrays": (np.array([0.5, 0.5, 0.5]), np.array([1.5, 1.0, 9.0]), [0.5, 1.0, 2.0]),
    "one fraction": (None, np.float64(1.5), [0.0, 1.0, 1.5]),
    "whole numbers": (1, 300, [1, 1, 2]),
    "a negative number": (-1, 1, [0, 1, 1]),
    "negative numbers": (np.array([-300, -1, 1]), 300, [0, 1, 2]),
}


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "float32"])
@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_is_neither_cut_nor_wrapped(name: str, dtype: str, library: str) -> None:
    """Numbers and arrays of NumPy's bound integers and floats as they are; only fractions make integers floating."""
    low, high, expected = BOUNDS[name]
    x = lifted(library, np.array([0, 1, 2], dtype))
    found = to_host(ops.clip(x, low, high))
    assert found.tolist() == expected
    assert (found.dtype.kind == "f") == (dtype == "float32" or "fraction" in name)
    assert found.dtype == np.float32 or dtype != "float32"


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_bounds_of_two_libraries_are_compared(library: str) -> None:
    """A bound of the library of x beside one of NumPy's is refused where they cross."""
    x = lifted(library, np.zeros(2))
    with pytest.raises(ValueError, match="clip needs min <= max"):
        ops.clip(x, x + 2, np.ones(2))
