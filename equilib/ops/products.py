"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any

from equilib.arrays import Array, array_namespace
from equilib.arrays.namespaces import refuse_others
from equilib.autodiff.rules import joint_rule, primitive, with_transposes
from equilib.kernels import operation
from equilib.ops.elementwise import add
from equilib.ops.shapes import broadcast_to, matrix_transpose, reshape, shape_of, sum_to


def matmul(x: Array, y: Array) -> Array:
    """Return x @ y, shapes (..., n, k) and (..., k, m) to (..., n, m); the leading axes broadcast.

    A vector is a row on the left and a column on the right, whose axis the product does not have: (k,) and (k,) to ().

    Raises ValueError if an argument has no axis.
    """
    refuse_others(x, y)
    if x.ndim > 1 and y.ndim > 1:
        return _matmul(x, y)
    if not (x.ndim and y.ndim):
        raise ValueError(f"matmul takes matrices and vectors, got shapes {x.shape} and {y.shape}; numbers multiply")
    row, column = x.ndim == 1, y.ndim == 1
    product = _matmul(reshape(x, (1, -1)) if row else x, reshape(y, (-1, 1)) if column else y)
    *lead, n, m = shape_of(product)
    return reshape(product, (*lead, *(() if row else (n,)), *(() if column else (m,))))


@with_transposes(
    lambda x, y: lambda w: sum_to(_matmul(w, matrix_transpose(y)), shape_of(x)),
    lambda x, y: lambda w: sum_to(_matmul(matrix_transpose(x), w), shape_of(y)),
)
def _matmul(x: Array, y: Array) -> Array:
    return _product(x, y)


@operation("matmul")
def _product(x: Array, y: Array) -> Array:
    return array_namespace(x, y).matmul(x, y)


def dense(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Return x @ weight + bias over the last axis of x, shape (..., inputs) to (..., outputs).

    One operation: of small arrays, the calls cost more than the arithmetic. One two-dimensional product: CuPy runs
    broadcast products several times slower.

    Raises ValueError if the last axis of x is not as long as the first of the weight.
    """
    refuse_others(x, weight)
    if x.shape[-1:] != weight.shape[:1]:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, and the weight, of shape {tuple(weight.shape)}, takes {weight.shape[0]} "
            "numbers along its last axis"
        )
    return _dense(x, weight) if bias is None else _dense(x, weight, bias)


@primitive
def _dense(x: Array, weight: Array, bias: Array | None = None) -> Array:
    product = _product(_as_rows(x), weight)
    if bias is not None:
        product = product + bias
    return product if x.ndim == 2 else array_namespace(product).reshape(product, (*x.shape[:-1], weight.shape[1]))


@joint_rule(_dense)
class _DenseMap:
    """The derivative of `dense`: dx W + x dW + db, and its transposes g Wᵀ, xᵀ g and the sum of g."""

    __slots__ = ("argnums", "args")

    def __init__(self, argnums: tuple[int, ...], ans: Array, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.argnums, self.args = argnums, args

    def push(self, positions: Sequence[int], tangents: Sequence[Array]) -> Array:
        given = {self.argnums[p]: tangent for p, tangent in zip(positions, tangents, strict=True)}
        x, weight = self.args[:2]
        terms = [_dense(given[0], weight)] if 0 in given else []
        terms += [_dense(x, given[1])] if 1 in given else []
        terms += [broadcast_to(given[2], (*shape_of(x)[:-1], shape_of(weight)[1]))] if 2 in given else []
        return reduce(add, terms)

    def pull(self, positions: Sequence[int], cotangent: Array) -> Sequence[Array]:
        return [self._pull(self.argnums[position], cotangent) for position in positions]

    def _pull(self, argnum: int, cotangent: Array) -> Array:
        x, weight = self.args[:2]
        if argnum == 0:
            return _dense(cotangent, weight.T)
        if argnum == 1:
            return matmul(_as_rows(x).T, _as_rows(cotangent))
        return sum_to(cotangent, shape_of(self.args[2]))


def _as_rows(x: Array) -> Array:
    if x.ndim == 2:
        return x
    *places, numbers = x.shape
    return reshape(x, (prod(places), numbers))
