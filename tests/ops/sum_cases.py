"""Cases of the operations that sum: reductions, matrix products and losses."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import sparse, special

from equilib import ops
from tests.arrays_under_test import constant_like
from tests.ops.case import Case

_AXES = (None, 0, 1, -1, (0, 2), (-1, 1), (0, 1, 2))


def _mean(x: np.ndarray, **over) -> np.ndarray:
    return np.add.reduce(x, **over) * (np.add.reduce(np.ones_like(x), **over) ** -1.0)


def _reductions() -> list[Case]:
    references = {"sum": np.add.reduce, "mean": _mean, "max": np.maximum.reduce, "min": np.minimum.reduce}
    cases = []
    for name, reference in references.items():
        for axis in _AXES:
            for keepdims in (False, True):
                over = {"axis": axis, "keepdims": keepdims}
                cases.append(
                    Case(
                        name,
                        partial(getattr(ops, name), **over),
                        ((2, 3, 4),),
                        partial(reference, **over),
                        f"axis {axis}{', kept' if keepdims else ''}",
                        "apart" if name in ("max", "min") else "normal",
                    )
                )
    cases += [
        Case("sum", ops.sum, ((),), lambda x: x, "of a 0-d array"),
        Case("mean", ops.mean, ((),), lambda x: x, "of a 0-d array"),
    ]
    return cases


def _spreads() -> list[Case]:
    def around(x: np.ndarray, axis, correction: float, keepdims: bool) -> np.ndarray:
        count = np.add.reduce(np.ones_like(x), axis=axis, keepdims=keepdims)
        square = _mean(x * x, axis=axis, keepdims=keepdims) - _mean(x, axis=axis, keepdims=keepdims) ** 2
        return square * count / (count - correction)

    cases = []
    for axis, correction, keepdims in ((None, 0, False), (1, 1, True), ((0, -1), 0.5, False)):
        over = {"axis": axis, "correction": correction, "keepdims": keepdims}
        detail = f"axis {axis}, correction {correction}"
        reference = partial(around, **over)
        cases += [
            Case("var", partial(ops.var, **over), ((2, 3, 4),), reference, detail),
            Case("std", partial(ops.std, **over), ((2, 3, 4),), lambda x, f=reference: f(x) ** 0.5, detail),
        ]
    return cases


def _logsumexp() -> list[Case]:
    return [
        Case("logsumexp", lambda x: ops.logsumexp(x), ((2, 3),), partial(special.logsumexp, axis=-1)),
        *[
            Case(
                "logsumexp",
                partial(ops.logsumexp, axis=axis),
                ((2, 3, 4),),
                partial(special.logsumexp, axis=axis),
                f"axis {axis}",
            )
            for axis in (0, 1, -2)
        ],
    ]


def _products() -> list[Case]:
    pairs = [
        ((2, 3), (3, 4)),
        ((5, 2, 3), (5, 3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((2, 1, 2, 3), (5, 3, 1)),
    ]
    products = [
        Case("matmul", ops.matmul, pair, lambda x, y: np.einsum("...ij,...jk->...ik", x, y), f"{pair[0]} @ {pair[1]}")
        for pair in pairs
    ]
    products += [
        Case("matmul", ops.matmul, ((3,), (3, 4)), lambda x, y: np.einsum("j,jk->k", x, y), "a row"),
        Case("matmul", ops.matmul, ((3,), (5, 3, 4)), lambda x, y: np.einsum("j,ijk->ik", x, y), "a row by several"),
        Case("matmul", ops.matmul, ((5, 2, 3), (3,)), lambda x, y: np.einsum("ijk,k->ij", x, y), "a column"),
        Case("matmul", ops.matmul, ((3,), (3,)), lambda x, y: np.sum(x * y), "two vectors"),
        Case("matmul", lambda x: ops.matmul(x, x), ((3,),), lambda x: np.sum(x * x), "a vector with itself"),
    ]
    matrix = np.array([[0, 2.0, 0, -1.0], [0, 0, 0, 0], [3.0, 0, 0.5, 0]])
    products += [
        Case(
            "sparse_matmul",
            lambda x, kind=kind: ops.sparse_matmul(kind(matrix), x),
            (shape,),
            lambda x: np.einsum("ij,...jk->...ik", matrix, x),
            f"{kind.__name__} @ {shape}",
        )
        for kind, shape in [
            (sparse.csr_array, (4, 2)),
            (sparse.csr_matrix, (1, 4, 3)),
            (sparse.coo_array, (2, 3, 4, 2)),
            (sparse.csc_array, (2, 4, 1)),
        ]
    ]
    products += [
        Case("sparse_matmul", lambda x: ops.sparse_matmul(sparse.csr_array(matrix), x), ((4,),), matrix.dot, "a vector")
    ]
    layers = [
        Case("dense", ops.dense, (shape, (3, 4)), lambda x, w: np.einsum("...i,io->...o", x, w), f"on {shape}")
        for shape in [(2, 3), (2, 5, 3), (3,)]
    ]
    layers += [
        Case(
            "dense",
            ops.dense,
            (shape, (3, 4), (4,)),
            lambda x, w, b: np.einsum("...i,io->...o", x, w) + b,
            f"on {shape}, biased",
        )
        for shape in [(2, 3), (2, 5, 3), (3,)]
    ]
    return products + layers


def _losses() -> list[Case]:
    labels = np.array([2, 0, 2, 1])

    def picked(logits: np.ndarray) -> np.ndarray:
        return np.mean([-special.log_softmax(row)[k] for row, k in zip(logits, labels, strict=True)])

    def squared(x: np.ndarray, y: np.ndarray | float) -> np.ndarray:
        return np.mean(np.square(x - y))

    return [
        *[
            Case(
                "cross_entropy",
                lambda x, dtype=dtype: ops.cross_entropy(x, constant_like(labels.astype(dtype), x)),
                ((4, 3),),
                picked,
                f"{dtype} labels",
            )
            for dtype in ("int64", "int32", "uint8")
        ],
        Case(
            "cross_entropy",
            lambda x: ops.cross_entropy(x, constant_like(labels.reshape(2, 2), x)),
            ((2, 2, 3),),
            lambda x: picked(x.reshape(4, 3)),
            "of sequences",
        ),
        Case("mse", ops.mse, ((2, 3), (2, 3)), squared),
        Case("mse", lambda x: ops.mse(x, 0.25), ((2, 3),), lambda x: squared(x, 0.25), "against a scalar"),
    ]


def _combinations() -> list[Case]:
    stretched = np.array([[2.0], [0.0]])
    return [
        Case(
            "weighted_sum",
            lambda x, y, z: ops.weighted_sum(x, (0.5, constant_like(stretched, z)), (y, z)),
            ((2, 3),) * 3,
            lambda x, y, z: x + y / 2 + np.array([2 * z[0], 0 * z[1]]),
            "with a base",
        ),
        Case(
            "weighted_sum",
            lambda x, y: ops.weighted_sum(None, (3.0, -1.0), (x, y)),
            ((2,), (2,)),
            lambda x, y: 3 * x - y,
        ),
    ]


CASES = [*_combinations(), *_reductions(), *_spreads(), *_logsumexp(), *_products(), *_losses()]
