"""Scaled dot-product attention."""

from __future__ import annotations

from math import sqrt

from equilib.arrays import Array, array_namespace
from equilib.autodiff import static_value
from equilib.ops.elementwise import floating, multiply, where
from equilib.ops.products import matmul
from equilib.ops.shapes import matrix_transpose, shape_of
from equilib.ops.soft_maximum import softmax


def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Array:
    """Return softmax(scale · Q Kᵀ) V (Vaswani et al. 2017, eq. 1), by default with scale = 1/√features.

    Raises ValueError if the shapes do not fit together, TypeError if the mask is of floating point.

    Parameters
    ----------
    query : array, shape (..., queries, features)
    key : array, shape (..., keys, features)
    value : array, shape (..., keys, outputs)
        The leading axes broadcast.
    mask : boolean array, optional
        Which keys a query may attend to, a constant that broadcasts to (..., queries, keys). A query without a key
        gives 0.
    causal : bool
        Whether query i attends to the keys 0, ..., i alone.

    Returns
    -------
    array, shape (..., queries, outputs)
    """
    query, key, value = map(floating, (query, key, value))
    shapes = [shape_of(each) for each in (query, key, value)]
    if min(map(len, shapes)) < 2 or shapes[0][-1] != shapes[1][-1] or shapes[1][-2] != shapes[2][-2]:
        raise ValueError(
            f"query, key and value of shapes {', '.join(map(str, shapes))} do not fit: give (..., queries, features), "
            "(..., keys, features) and (..., keys, outputs)"
        )
    if mask is not None and array_namespace(mask).isdtype(mask.dtype, "real floating"):
        raise TypeError(
            f"mask must be boolean, true where a query may attend to a key, it is of {mask.dtype}; of one that is "
            "added, 0 or −inf, give mask == 0"
        )
    scale = 1 / sqrt(shapes[0][-1] or 1) if scale is None else scale  # without features all scores are 0
    scores = multiply(matmul(query, matrix_transpose(key)), scale)
    allowed = _allowed(scores, mask, causal=causal)
    if allowed is None:
        return matmul(softmax(scores), value)
    xp = array_namespace(static_value(scores))
    # The least number, not −inf: a query without a key gets equal weights, which are then zero, and no nan.
    weights = softmax(where(allowed, scores, float(xp.finfo(static_value(scores).dtype).min)))
    return matmul(where(allowed, weights, 0.0), value)


def _allowed(scores: Array, mask: Array | None, *, causal: bool) -> Array | None:
    if not causal:
        return mask
    like = static_value(scores)
    xp, (queries, keys) = array_namespace(like), like.shape[-2:]
    device = getattr(like, "device", None)
    before = xp.arange(keys, device=device)[None, :] <= xp.arange(queries, device=device)[:, None]
    return before if mask is None else xp.logical_and(before, mask)
