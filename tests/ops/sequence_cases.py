"""Cases of what models of sequences are made of: softmax, attention, norms of vectors, gathering, Einstein's sums."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import special

from equilib import ops
from tests.arrays_under_test import constant_like
from tests.ops.case import Case

_MASK = np.array([[True, False, True, False], [True, True, False, True], [False, False, False, False]])
_NUMBERS = np.array([[3, 0], [1, 3], [0, 0]])


def _softmax() -> list[Case]:
    return [
        Case(
            name, partial(operation, axis=axis), (shape,), partial(reference, axis=axis), f"axis {axis} of {len(shape)}"
        )
        for name, operation, reference in (
            ("softmax", ops.softmax, special.softmax),
            ("log_softmax", ops.log_softmax, special.log_softmax),
        )
        for shape, axis in (((2, 3), -1), ((2, 3, 4), 1))
    ]


def attend(q: np.ndarray, k: np.ndarray, v: np.ndarray, allowed: np.ndarray | bool, scale: float) -> np.ndarray:
    """Return attention by sums over exponentials."""
    powers = np.exp(scale * np.einsum("...qd,...kd->...qk", q, k)) * allowed
    total = powers.sum(-1, keepdims=True)
    return np.einsum("...qk,...kv->...qv", powers / np.where(total == 0, 1, total), v)


def _attention() -> list[Case]:
    shapes = ((2, 3, 5), (2, 4, 5), (2, 4, 6))
    attention = ops.scaled_dot_product_attention
    causal = np.tri(3, 4, dtype=bool)
    name = "scaled_dot_product_attention"
    return [
        Case(name, attention, shapes, partial(attend, allowed=True, scale=5**-0.5)),
        Case(
            name,
            lambda q, k, v: attention(q, k, v, causal=True, scale=0.7),
            ((2, 3, 3, 5), (3, 4, 5), (4, 6)),
            partial(attend, allowed=causal, scale=0.7),
            "causal, leading axes broadcast",
        ),
        Case(
            name,
            lambda q, k, v: attention(q, k, v, constant_like(_MASK, q)),
            shapes,
            partial(attend, allowed=_MASK, scale=5**-0.5),
            "with a query that has no key",
        ),
        Case(
            name,
            lambda q, k, v: attention(q, k, v, constant_like(_MASK, q), causal=True),
            shapes,
            partial(attend, allowed=_MASK & causal, scale=5**-0.5),
            "mask and causal",
        ),
    ]


def _norms() -> list[Case]:
    def layer(x: np.ndarray, *affine: np.ndarray, axes: int = 1, epsilon: float = 1e-5) -> np.ndarray:
        over = tuple(range(-axes, 0))
        normal = (x - x.mean(over, keepdims=True)) / np.sqrt(x.var(over, keepdims=True) + epsilon)
        scale, shift = affine or (1, 0)
        return normal * scale + shift

    def root_mean_square(x: np.ndarray, scale: np.ndarray | float = 1.0, epsilon: float = 1e-5) -> np.ndarray:
        return scale * x / np.sqrt((x**2).sum(-1, keepdims=True) / x.shape[-1] + epsilon)

    return [
        Case("layer_norm", ops.layer_norm, ((2, 3, 4),), layer),
        Case("layer_norm", ops.layer_norm, ((2, 3, 4), (4,), (4,)), layer, "scaled and shifted"),
        Case(
            "layer_norm",
            lambda x, scale, shift: ops.layer_norm(x, scale, shift, 1e-3, axes=2),
            ((5, 3, 4), (3, 4), (3, 4)),
            partial(layer, axes=2, epsilon=1e-3),
            "over two axes",
        ),
        Case("rms_norm", ops.rms_norm, ((2, 3, 4),), root_mean_square),
        Case(
            "rms_norm",
            partial(ops.rms_norm, epsilon=1e-2),
            ((3, 4), (4,)),
            partial(root_mean_square, epsilon=1e-2),
            "2",
        ),
    ]


def _gather() -> list[Case]:
    def taken(numbers: np.ndarray, axis: int):
        return lambda x: np.stack([x.take(k, axis) for k in numbers.flat], axis % x.ndim)

    def summed(x: np.ndarray) -> np.ndarray:
        out = np.zeros((5, 2))
        for slice_, place in zip(x.reshape(-1, 2), _NUMBERS.flat, strict=True):
            out[place] += slice_
        return out

    flat = _NUMBERS.ravel()
    return [
        Case("take", lambda x: ops.take(x, constant_like(flat, x)), ((4, 3),), taken(flat, 0), "rows"),
        Case("take", lambda x: ops.take(x, constant_like(flat, x), axis=-1), ((2, 3, 4),), taken(flat, -1), "columns"),
        Case(
            "take",
            lambda x: ops.take(x, constant_like(_NUMBERS, x), axis=1),
            ((2, 4, 3),),
            lambda x: taken(flat, 1)(x).reshape(2, 3, 2, 3),
            "by a table of numbers",
        ),
        Case(
            "take",
            lambda x: ops.take(x, constant_like(flat[:0], x)),
            ((4, 3),),
            lambda x: np.zeros((0, 3)),
            "nothing",
        ),
        Case("put_sum", lambda g: ops.put_sum(g, constant_like(_NUMBERS, g), (5, 2)), ((3, 2, 2),), summed),
    ]


_SUMS = {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "bhqd,bhkd->bhqk": ((2, 2, 3, 4), (2, 2, 5, 4)),
    "...ij,...jk": ((1, 2, 3), (5, 3, 4)),
    "a...,a->...": ((2, 3, 2), (2,)),
    "bi,bj,bk->ijk": ((2, 3), (2, 2), (2, 4)),
    "iij->j": ((3, 3, 2),),
    "ijj,j->i": ((2, 3, 3), (3,)),
    "ji": ((2, 3),),
    "i,j->": ((2,), (3,)),
    "i,i->i": ((3,), (3,)),
}


def _einsum() -> list[Case]:
    return [
        Case("einsum", partial(ops.einsum, text), shapes, lambda *x, text=text: np.asarray(np.einsum(text, *x)), text)
        for text, shapes in _SUMS.items()
    ]


CASES = [*_softmax(), *_attention(), *_norms(), *_gather(), *_einsum()]
