"""Matrix products."""

from __future__ import annotations

from equilib.arrays import Array, array_namespace
from equilib.autodiff.rules import LinearMap, linear_rule, primitive
from equilib.ops.shapes import matrix_transpose, reshape, shape_of, sum_to


@primitive
def matmul(x: Array, y: Array) -> Array:
    """Return the matrix product x @ y over the last two axes; the leading axes broadcast.

    Raises
    ------
    ValueError
        If an argument has fewer than two axes.
    """
    if x.ndim < 2 or y.ndim < 2:
        raise ValueError(f"matmul needs matrices, got shapes {x.shape} and {y.shape}; reshape vectors first")
    return array_namespace(x, y).matmul(x, y)


@linear_rule(matmul, 0)
def _(ans: Array, x: Array, y: Array) -> LinearMap:
    shape = shape_of(x)
    return LinearMap(lambda v: matmul(v, y), lambda g: sum_to(matmul(g, matrix_transpose(y)), shape))


@linear_rule(matmul, 1)
def _(ans: Array, x: Array, y: Array) -> LinearMap:
    shape = shape_of(y)
    return LinearMap(lambda v: matmul(x, v), lambda g: sum_to(matmul(matrix_transpose(x), g), shape))


def dense(x: Array, weight: Array) -> Array:
    """Return x @ weight over the last axis of x, shape (..., inputs) to (..., outputs).

    One two-dimensional product: CuPy runs broadcast products several times slower.
    """
    *lead, inputs = shape_of(x)
    rows = matmul(reshape(x, (-1, inputs)), weight)
    return reshape(rows, (*lead, shape_of(weight)[1]))
