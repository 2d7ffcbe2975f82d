"""Products of sparse matrices, which are constants, with arrays."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from equilib.arrays import Array, array_namespace, coefficients, from_host
from equilib.arrays.namespaces import refuse_others
from equilib.autodiff.rules import with_transposes
from equilib.ops.elementwise import floating
from equilib.ops.shapes import reshape, shape_of


def sparse_matmul(matrix: Any, x: Array) -> Array:
    """Return matrix @ x, shapes (n, k) and (..., k, m) to (..., n, m), or (k,) to (n,), in the dtype of x.

    `matrix` is a constant of scipy.sparse, in any of its formats, or of cupyx.scipy.sparse where x is CuPy's. A matrix
    of scipy.sparse with arrays of another library is multiplied as rows of equal length, padded with zeros. Integers in
    x are taken as floating-point numbers, since the matrix may have fractions.

    Raises TypeError if the matrix is not sparse, or SciPy has no products in the dtype of x; ValueError if the shapes
    do not fit.
    """
    if not hasattr(matrix, "tocsr"):
        raise TypeError(f"sparse_matmul takes a matrix of scipy.sparse, not {type(matrix).__name__}; use matmul")
    refuse_others(x)
    x = floating(x)
    shape = shape_of(x)
    if not shape or shape[-2:][0] != matrix.shape[1]:
        raise ValueError(f"a matrix of shape {tuple(matrix.shape)} does not fit to an array of shape {shape}")
    if len(shape) == 1:
        return reshape(_product(reshape(x, (-1, 1)), matrix), (-1,))
    return _product(x, matrix)


@with_transposes(lambda x, matrix: lambda w: _product(w, matrix.T))
def _product(x: Array, matrix: Any) -> Array:
    if not isinstance(x, np.ndarray) and isinstance(matrix.data, np.ndarray):
        return _padded(x, matrix.tocsr())
    if x.dtype == np.float16:
        raise TypeError("SciPy has no sparse products in float16; give x in float32")
    *lead, length, columns = x.shape
    matrix = matrix if matrix.dtype == x.dtype else matrix.astype(x.dtype)
    # One product with all columns side by side.
    xp, samples = array_namespace(x), prod(lead)
    beside = xp.permute_dims(xp.reshape(x, (samples, length, columns)), (1, 0, 2))
    product = matrix @ xp.reshape(beside, (length, samples * columns))
    apart = xp.permute_dims(xp.reshape(product, (matrix.shape[0], samples, columns)), (1, 0, 2))
    return xp.reshape(apart, (*lead, matrix.shape[0], columns))


def _padded(x: Array, csr: Any) -> Array:
    xp, counts = array_namespace(x), np.diff(csr.indptr)
    rows = np.repeat(np.arange(csr.shape[0]), counts)
    places = np.arange(rows.size) - np.repeat(csr.indptr[:-1], counts)
    numbers = np.zeros((counts.max(initial=0), csr.shape[0]), np.int64)
    weights = np.zeros(numbers.shape)
    numbers[places, rows], weights[places, rows] = csr.indices, csr.data
    out = xp.zeros((*x.shape[:-2], csr.shape[0], x.shape[-1]), dtype=x.dtype, device=getattr(x, "device", None))
    for number, weight in zip(numbers, weights[..., None], strict=True):
        out = out + coefficients(weight, x) * xp.take(x, from_host(number, x), axis=x.ndim - 2)
    return out
