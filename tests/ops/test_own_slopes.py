"""Slopes where operations are not smooth, or where something within them overflows, by libraries that differentiate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.arrays import Array, to_host
from equilib.autodiff import value_and_grad

TIES = np.array([[1.0, 2.0, 2.0], [0.5, 0.5, 0.5]])
AROUND_0 = np.array([-1.0, -0.0, 0.0, 2.0])
FAR = np.array([-3e38, -1e20, -1e12, -100.0, 0.0, 100.0, 1e12, 1e20, 3e38])
BOUNDS = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])

KINKS: dict[str, tuple[Callable[[Array], Array], np.ndarray]] = {
    "relu": (ops.relu, AROUND_0),
    "abs": (ops.abs, AROUND_0),
    "sign": (ops.sign, AROUND_0),
    "softplus": (ops.softplus, np.concatenate([AROUND_0, FAR])),
    "sigmoid": (ops.sigmoid, FAR),
    "silu": (ops.silu, FAR),
    "tanh": (ops.tanh, FAR),
    "gelu": (ops.gelu, FAR),
    "clip": (lambda x: ops.clip(x, 0.0, 1.0), BOUNDS),
    "clip from below": (lambda x: ops.clip(x, 0.0), BOUNDS),
    "clip by arrays": (lambda x: ops.clip(x, np.zeros(5), np.ones(5)), BOUNDS),
    "max": (ops.max, TIES),
    "max over an axis": (lambda x: ops.max(x, 1), TIES),
    "min over both": (lambda x: ops.min(x, (0, 1)), TIES),
    "maximum": (lambda x: ops.maximum(x, 2.0), TIES),
    "minimum": (lambda x: ops.minimum(x, 0.5), TIES),
    "max pool": (lambda x: ops.max_pool(ops.reshape(x, (1, 2, 3, 1)), (2, 2), (1, 1)), TIES),
    "std": (lambda x: ops.std(x, 1), TIES),
    "layer norm": (ops.layer_norm, TIES),
    "rms norm": (ops.rms_norm, np.zeros((2, 3))),
    "softmax": (lambda x: ops.softmax(x)[..., 0], np.array([[0.0, -np.inf], [1e4, 0.0]])),
    "logsumexp": (ops.logsumexp, np.array([[0.0, -np.inf], [1e4, 1e4]])),
    "cross entropy": (lambda x: ops.cross_entropy(x, np.array([0])), np.array([[0.0, -np.inf, 1.0]])),
    **{f"pow {each}": (lambda x, each=each: ops.pow(x, each), AROUND_0) for each in (0, 1, 2, 0.0, 1.0, 2.0, 3.0)},
}


def lifted(library: str, host: np.ndarray) -> Array:
    """Return an array of NumPy's as one of a library."""
    xp = pytest.importorskip({"torch": "torch", "jax": "jax.numpy"}[library])
    return xp.asarray(host.astype("float32"))


def gradient(library: str, function: Callable[[Array], Array], x: Array) -> Any:
    """Return the gradient of the sum of a function by the library itself, which can be differentiated again."""
    if library == "jax":
        import jax

        return jax.grad(lambda x: function(x).sum())(x)
    import torch

    if not x.requires_grad:
        x = x.requires_grad_()
    total = function(x).sum()
    if not total.requires_grad:
        return torch.zeros_like(x)
    (found,) = torch.autograd.grad(total, x, create_graph=True, allow_unused=True, materialize_grads=True)
    return found


def on_host(array: Any) -> np.ndarray:
    """Return an array on the host, without its graph."""
    return to_host(array.detach() if hasattr(array, "detach") else array)


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("name", KINKS)
def test_a_library_takes_the_slope_that_is_documented(name: str, library: str) -> None:
    """PyTorch and JAX, where they differentiate an operation themselves, find the derivative that its rule has."""
    function, host = KINKS[name]
    with np.errstate(all="ignore"):
        _, expected = value_and_grad(lambda x: ops.sum(function(x)), allow_unused=True)(host)
    found = gradient(library, function, lifted(library, host))
    np.testing.assert_allclose(on_host(found), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 3.0])
def test_whole_powers_are_smooth_at_0_in_each_library(exponent: float, library: str) -> None:
    """The derivatives of xⁿ at 0 are 0, but for the n-th, which is n!, whoever takes them."""
    function: Callable[[Array], Array] = lambda x: ops.pow(x, exponent)  # noqa: E731
    for order in range(1, 4):
        function = lambda x, inner=function: gradient(library, inner, x)  # noqa: E731
        found = on_host(function(lifted(library, np.zeros(1))))
        assert found == ((1, 1, 2, 6)[order] if order == exponent else 0)


def test_bounds_may_be_traced_by_jax() -> None:
    """Under jit bounds whose values nobody knows are taken as they are, and others are still compared."""
    jax = pytest.importorskip("jax")
    x = lifted("jax", BOUNDS)
    found = jax.jit(lambda x, low: ops.clip(x, low, low + 1))(x, 0 * x)
    np.testing.assert_array_equal(on_host(found), np.clip(BOUNDS, 0, 1))
    with pytest.raises(ValueError, match="clip needs min <= max"):
        jax.jit(lambda x: ops.clip(x, 1.0, np.zeros(5)))(x)
