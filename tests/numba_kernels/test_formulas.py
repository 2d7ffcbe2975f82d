"""Each compiled kernel against the formula of its operation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import special

from equilib import ops
from equilib.kernels import OPERATIONS, Kernel
from equilib.training import optimizers

pytest.importorskip("numba")

from equilib_numba.family import Numba

KERNELS = list(Numba().kernels())
UNIT, SAME, NONE = (1, 1), ((1, 1), (1, 1)), ((0, 0), (0, 0))
ACTIVATION = "tanh"
MODULES = ops, optimizers  # operations are known once they are imported
CONVOLUTIONS = (  # images, kernel, outputs, stride, padding
    ((3, 7, 6, 20), (3, 3), 24, UNIT, SAME),
    ((1, 5, 4, 16), (3, 3), 17, UNIT, ((0, 2), (3, 0))),
    ((2, 8, 9, 5), (4, 3), 7, (2, 3), ((1, 0), (2, 1))),
    ((2, 7, 8, 3), (2, 2), 5, (3, 3), ((1, 0), (0, 1))),
    ((2, 6, 6, 4), (1, 1), 8, UNIT, NONE),
)


def arguments() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield operations and arguments in float32, small but with odd shapes."""
    rng = np.random.default_rng(0)

    def some(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    for shape, kernel, outputs, stride, padding in CONVOLUTIONS:
        x, weight = some(*shape), 0.1 * some(*kernel, shape[3], outputs)
        y = np.tanh(OPERATIONS["conv2d"].formula(x, weight, stride, padding))
        g, bias = some(*y.shape), some(outputs)
        yield "conv2d", (x, weight, stride, padding)
        yield "conv2d_block", (x, weight, bias, g, ACTIVATION, stride, padding)
        yield "conv2d_block", (x, weight, g, None, "relu", stride, padding)
        yield "conv2d_block", (x, weight, g, bias, "sigmoid", stride, padding)
        yield "conv2d_block_push", (x, weight, y, ACTIVATION, stride, padding)
        yield "conv2d_input_transpose", (g, weight, shape, stride, padding)
        yield "conv2d_block_pull", (g, weight, y, ACTIVATION, shape, stride, padding)
        yield "conv2d_block_pull", (g, weight, y, "sigmoid", shape, stride, padding)
        yield "conv2d_weight_transpose", (x, g, kernel, stride, padding)
        yield "conv2d_block_weight", (x, g, y, "relu", kernel, stride, padding)
    x, others = some(3, 5, 7, 12), [some(3, 5, 7, 12) for _ in range(4)]
    for name in ("tanh", "sigmoid", "relu", "gelu", "tanh_slope", "sigmoid_slope", "relu_slope", "gelu_slope"):
        yield name, (4 * x,)
    for name in ("tanh", "sigmoid", "relu"):
        yield "times_slope", (x, others[0], name)
    yield from (("sum", (x, axis, keep)) for axis, keep in (((0, 1, 2), False), ((1, 2), True), (0, False), (-2, True)))
    yield "sum", (some(1000, 16), 0, False)
    yield from (("matmul", (a, some(150, 41))) for a in (some(70, 150), some(150, 70).T))
    yield "matmul", (some(33, 700), some(19, 700).T)
    yield "dot", (x, others[0])
    yield "weighted_sum", (None, [0.5, -2.0], others[:2])
    yield "weighted_sum", (x, [0.5, -2.0, 1.0], others[:3])
    yield "combined", (x, some(3, 4), others)
    yield "overlaps", (others, x)
    yield "orthogonalized", (others, x)
    yield "orthogonalized", (others, 1e-25 * x)
    leaves = [x], [others[0]], [others[1]], [others[2] ** 2]
    yield "adam", (*leaves, 1e-3, 0.9, 0.99, 0.1, 0.01, 1e-8, 0.1)
    for window, stride in (((2, 2), (2, 2)), ((3, 2), (1, 2))):
        ties = np.rint(x)
        top = OPERATIONS["max_pool"].formula(ties, window, stride)
        yield "max_pool", (ties, window, stride)
        yield "max_pool_push", (others[0], ties, top, window, stride)
        yield "max_pool_pull", (some(*top.shape), ties, top, window, stride)
    for groups in (1, 3, 12):
        scale, shift = some(12), some(12)
        yield "group_norm", (x, scale, shift, groups, 1e-5)
        yield "group_norm", (x, None, None, groups, 1e-5)
        _, mean, inverse = OPERATIONS["group_norm"].formula(x, scale, shift, groups, 1e-5)
        yield "group_norm_push", (others[0], x, scale, mean, inverse, shift, None, groups)
        yield "group_norm_push", (others[0], x, None, mean, inverse, None, shift, groups)
        yield "group_norm_pull", (others[0], x, scale, mean, inverse, groups)


CASES = [(kernel, args) for name, args in arguments() for kernel in KERNELS if kernel.operation == name]


def parts(result: Any) -> tuple[np.ndarray, ...]:
    """Return the arrays of a result."""
    return result if isinstance(result, tuple) else (result,)


def wide(value: Any) -> Any:
    """Return arguments in float64."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float64)
    return [wide(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("kernel", "args"), CASES, ids=[kernel.operation for kernel, _ in CASES])
def test_a_kernel_computes_the_formula(kernel: Kernel, args: tuple[Any, ...]):
    """To rounding, in new arrays of C's order, the same bits twice, and leaves its arguments alone."""
    if not kernel.applies(*args):
        pytest.skip("the kernel does not apply")
    before = [np.array(each) for each in args if isinstance(each, np.ndarray)]
    code = kernel.function()
    found, again = parts(code(*args)), parts(code(*args))
    exact = parts(OPERATIONS[kernel.operation].formula(*map(wide, args)))
    for one, other, true in zip(found, again, exact, strict=True):
        assert one.dtype == np.float32
        assert one.flags.c_contiguous
        assert one.flags.owndata or one.base.base is None
        assert np.array_equal(one, other, equal_nan=True)
        np.testing.assert_allclose(one, true, rtol=0, atol=5e-6 * max(1e-30, float(np.abs(true).max())))
    for each, kept in zip((each for each in args if isinstance(each, np.ndarray)), before, strict=True):
        np.testing.assert_array_equal(each, kept)


SIGMOIDS = [each for each in KERNELS if each.operation in ("sigmoid", "conv2d_block")]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", SIGMOIDS, ids=[f"{each.operation}-{each.name}" for each in SIGMOIDS])
def test_the_sigmoid_is_exact_where_it_vanishes(kernel: Kernel, dtype: str):
    """Near 0 it is as exact, relative to itself, as elsewhere; far off it is 0 or 1, of NaN it is NaN."""
    farthest = 87.0 if dtype == "float32" else 700.0
    x = np.concatenate([np.linspace(-farthest, farthest, 997), [-1e4, 1e4, np.nan]]).astype(dtype)
    nothing = np.zeros((1, 4, 4, 16), dtype), np.zeros((3, 3, 16, x.size), dtype)
    args = (x,) if kernel.operation == "sigmoid" else (*nothing, x, None, "sigmoid", UNIT, SAME)
    if dtype not in kernel.dtypes:
        pytest.skip("the kernel does not apply")
    assert kernel.applies(*args)
    found = kernel.function()(*args)
    expected = np.broadcast_to(special.expit(x.astype(np.float64)), found.shape)
    np.testing.assert_allclose(found, expected, rtol=20 * float(np.finfo(dtype).eps))
