"""Half precision: sums for means, variances and norms have the range and the digits of single."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.arrays import Array, array_namespace, in_dtype, to_host, tree_leaves, tree_map
from equilib.autodiff import linearize
from equilib.layers import AveragePool, BatchNorm, Dense, GlobalMeanPool, WeightNorm
from equilib.models.regularizers import mean_square
from equilib.training.optimizers import global_norm

KINDS = [("numpy", "float16"), ("torch", "float16"), ("torch", "bfloat16"), ("jax", "bfloat16")]
DIGITS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def lifted(library: str, dtype: str, tree: Any) -> Any:
    """Return a tree of NumPy's arrays as arrays of a library, floating ones in a dtype."""
    xp = np if library == "numpy" else pytest.importorskip({"torch": "torch", "jax": "jax.numpy"}[library])
    return in_dtype(tree_map(lambda leaf: xp.asarray(leaf), tree), dtype)


def numbers(array: Array) -> np.ndarray:
    """Return an array on the host in double precision."""
    xp = array_namespace(array)
    return np.asarray(to_host(xp.astype(array, xp.float32)), np.float64)


def by_batch(x: Array, own: Any) -> Array:
    """Return x, shape (4, 600), by the statistics of its batch."""
    return BatchNorm(600).observe(own, x)[0]


STATISTICS = BatchNorm(600).init(np.random.default_rng(0))
LABELS = np.arange(4) * 7
WEIGHT = {"direction": np.full((600, 1), 50.0), "gain": np.ones(1), "bias": np.zeros(1)}

OPERATIONS: dict[str, tuple[float, Callable[..., Array], Any]] = {
    "sum": (0.25, lambda x: ops.sum(x, 1), None),
    "sum over the batch": (50.0, lambda x: ops.sum(x, 0), None),
    "mean": (1.0, lambda x: ops.mean(x, 1), None),
    "mean of all": (1.0, ops.mean, None),
    "mean over the batch": (200.0, lambda x: ops.mean(x, 0, keepdims=True), None),
    "var": (4.0, lambda x: ops.var(x, 1), None),
    "corrected var": (4.0, lambda x: ops.var(x, 1, 1.0), None),
    "std": (100.0, lambda x: ops.std(x, 1), None),
    "layer norm": (100.0, lambda x, own: ops.layer_norm(x, own["scale"], own["shift"]), STATISTICS),
    "group norm": (100.0, lambda x: ops.group_norm(x, 3), None),
    "rms norm": (1.0, ops.rms_norm, None),
    "softmax": (0.01, ops.softmax, None),
    "log softmax": (0.1, ops.log_softmax, None),
    "logsumexp": (0.1, lambda x: ops.logsumexp(x, 1), None),
    "cross entropy": (0.1, ops.cross_entropy, LABELS),
    "mse": (0.5, lambda x: ops.mse(x, 0.0), None),
    "mean square": (0.5, mean_square, None),
    "average pool": (1.0, lambda x: ops.average_pool(ops.reshape(x, (4, 20, 30, 1)), (20, 30), (20, 30)), None),
    "pooled": (1.0, lambda x: GlobalMeanPool()({}, AveragePool(2)({}, ops.reshape(x, (4, 20, 30, 1)))), None),
    "batch norm": (4.0, by_batch, STATISTICS),
    "batch norm, running": (
        100.0,
        lambda x, own: BatchNorm(600)(own, x),
        {**STATISTICS, "variance": np.full(600, 6e4)},
    ),
    "weight norm": (0.1, lambda x, own: WeightNorm(Dense(600, 1))(own, x), WEIGHT),
}


CASES = [
    (*kind, name)
    for kind in KINDS
    for name in OPERATIONS
    if kind[0] != "jax" or name in ("var", "rms norm", "layer norm", "softmax")
]
"""JAX compiles each for a second or two, and has the same formulas."""


@pytest.mark.parametrize(("library", "dtype", "name"), CASES)
def test_half_is_what_single_computes(library: str, dtype: str, name: str, rng: np.random.Generator) -> None:
    """Value and gradient of numbers near 250, whose sums and squares are beyond float16, are single's, rounded."""
    scale, operation, others = OPERATIONS[name]
    x = lifted(library, dtype, scale * rng.uniform(200.0, 300.0, (4, 600)))
    given = lifted(library, dtype, others)
    wide, given_wide = in_dtype(x, "float32"), in_dtype(given, "float32")
    call = lambda x, own: operation(x) if others is None else operation(x, own)  # noqa: E731
    half, single = linearize(call, x, given), linearize(call, wide, given_wide)
    assert half.value.dtype == x.dtype
    tolerance = 2 * DIGITS[dtype] * max(1.0, np.abs(numbers(single.value)).max() if "log" in name else 1.0)
    np.testing.assert_allclose(numbers(half.value), numbers(single.value), rtol=tolerance, atol=tolerance * 0.1)
    cotangent = lifted(library, dtype, rng.standard_normal(np.shape(numbers(single.value))))
    (pulled,), (expected,) = half.vjp(cotangent), single.vjp(in_dtype(cotangent, "float32"))
    assert pulled.dtype == x.dtype
    largest = np.abs(numbers(expected)).max()
    np.testing.assert_allclose(numbers(pulled), numbers(expected), rtol=0, atol=2 * DIGITS[dtype] * largest + 1e-7)


@pytest.mark.parametrize(("library", "dtype"), KINDS)
def test_a_gradient_that_many_samples_share_loses_none(library: str, dtype: str) -> None:
    """The cotangent of a bias adds those of 5000 samples, of which half precision can count 2048."""
    x, bias = lifted(library, dtype, np.zeros((5000, 3))), lifted(library, dtype, np.zeros(3))
    for operation in (ops.add, lambda x, b: ops.dense(x, lifted(library, dtype, np.eye(3)), b)):
        linear = linearize(operation, x, bias)
        pulled = linear.vjp(lifted(library, dtype, np.ones((5000, 3))), (1,))[0]
        assert pulled.dtype == bias.dtype
        np.testing.assert_allclose(numbers(pulled), 5000.0, rtol=DIGITS[dtype])


@pytest.mark.parametrize(("library", "dtype"), KINDS)
def test_statistics_and_norms_of_half_stay_half(library: str, dtype: str, rng: np.random.Generator) -> None:
    """Running statistics keep their dtype, and the norm of a gradient in half precision is no infinity."""
    layer, x = BatchNorm(600), lifted(library, dtype, rng.uniform(200.0, 300.0, (4, 600)))
    params = lifted(library, dtype, STATISTICS)
    _, moved = layer.observe(params, x)
    assert {str(leaf.dtype) for leaf in tree_leaves(moved)} == {str(x.dtype)}
    np.testing.assert_allclose(numbers(moved["mean"]), 0.1 * numbers(x).mean(0), rtol=4 * DIGITS[dtype])
    assert global_norm({"gradient": x}) == pytest.approx(np.linalg.norm(numbers(x)), rel=1e-3)


def test_a_wider_array_widens_the_result() -> None:
    """Of arrays in half and in single the result is single, as NumPy promotes them."""
    x, scale = np.full((2, 300), 300.0, "float16"), np.ones(300, "float32")
    assert ops.rms_norm(x, scale).dtype == ops.layer_norm(x, scale).dtype == np.float32
    assert ops.mse(x, np.zeros(300, "float64")).dtype == np.float64


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_activations_have_slopes_where_squares_are_out_of_range(kind: tuple[str, str]) -> None:
    """Far from 0 the slope of every activation is 0 or 1, in both directions and twice."""
    x, one = lifted(*kind, (np.array([-3e4, -300.0, 300.0, 3e4]), np.ones(4)))
    for name in ("gelu", "relu", "sigmoid", "silu", "softplus", "tanh"):
        linear = linearize(getattr(ops, name), x)
        expected = [0, 0, 0, 0] if name in ("sigmoid", "tanh") else [0, 0, 1, 1]
        np.testing.assert_array_equal(numbers(linear.jvp(one)), expected)
        slope = linearize(lambda x, name=name: linearize(getattr(ops, name), x).jvp(one), x)
        np.testing.assert_array_equal(numbers(slope.jvp(one)), [0, 0, 0, 0])
