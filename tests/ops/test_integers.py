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
