"""Cases of convolutions with holes and with groups, along one axis, and transposed."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib import ops
from tests.ops.case import Case, Shape


def by_loops(
    x: np.ndarray, weight: np.ndarray, stride: Any = (1, 1), padding: Any = 0, dilation: Any = (1, 1), groups: int = 1
) -> np.ndarray:
    """Convolve with one loop over the result's pixels and the kernel's places, group by group."""
    pads = ((0, 0), (0, 0)) if padding == 0 else padding
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    reach = [(k - 1) * d + 1 for k, d in zip(weight.shape, dilation, strict=False)]
    height, width = ((n - r) // s + 1 for n, r, s in zip(padded.shape[1:3], reach, stride, strict=True))
    out = np.zeros((len(x), height, width, weight.shape[3]))
    taken, made = weight.shape[2], weight.shape[3] // groups
    for i, j, a, b in np.ndindex(height, width, *weight.shape[:2]):
        pixel = padded[:, i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1]]
        for g in range(groups):
            mine = slice(g * made, (g + 1) * made)
            out[:, i, j, mine] += pixel[:, g * taken : (g + 1) * taken] @ weight[a, b, :, mine]
    return out


GENERAL: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "plain": ((2, 4, 4, 2), (3, 2, 2, 3), {"stride": (1, 2), "padding": ((1, 0), (1, 1))}),
    "holes": ((2, 6, 5, 2), (2, 3, 2, 3), {"padding": ((1, 1), (0, 2)), "dilation": (3, 2)}),
    "holes and stride": ((1, 7, 6, 1), (3, 2, 1, 2), {"stride": (2, 1), "dilation": (1, 2)}),
    "groups": ((2, 4, 3, 4), (2, 2, 2, 6), {"groups": 2}),
    "depthwise with holes": ((1, 5, 5, 3), (2, 2, 1, 3), {"stride": (1, 2), "dilation": (2, 2), "groups": 3}),
}
LINES: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "plain": ((2, 6, 3), (3, 3, 2), {"padding": (2, 0)}),
    "holes, stride, groups": ((2, 9, 4), (2, 2, 2), {"stride": 2, "padding": (1, 1), "dilation": 3, "groups": 2}),
}


def _line(x: np.ndarray, w: np.ndarray, *, stride: int = 1, padding: Any = (0, 0), dilation: int = 1, groups: int = 1):
    image = by_loops(x[:, None], w[None], (1, stride), ((0, 0), padding), (1, dilation), groups)
    return image[:, 0]


def enlarged(x: np.ndarray, w: np.ndarray, stride: Any, padding: Any, more: Any = (0, 0)) -> np.ndarray:
    """Add each pixel's multiple of the kernel where it belongs, then cut the padding off."""
    (top, bottom), (left, right) = padding
    sides = [(n - 1) * s + k + m for n, s, k, m in zip(x.shape[1:3], stride, w.shape[:2], more, strict=True)]
    out = np.zeros((len(x), *sides, w.shape[2]))
    for i, j, a, b in np.ndindex(*x.shape[1:3], *w.shape[:2]):
        out[:, i * stride[0] + a, j * stride[1] + b] += x[:, i, j] @ w[a, b].T
    return out[:, top : sides[0] - bottom, left : sides[1] - right]


TRANSPOSED: dict[str, tuple[Shape, Shape, tuple[Any, ...]]] = {
    "stride 2": ((2, 3, 2, 3), (3, 3, 2, 3), ((2, 2), ((1, 1), (1, 1)), (1, 0))),
    "plain": ((1, 3, 3, 2), (2, 3, 2, 2), ((1, 1), ((0, 0), (0, 1)))),
}

CASES = [
    *[
        Case(
            "conv2d_general",
            lambda x, w, options=options: ops.conv2d_general(x, w, **options),
            (image, kernel),
            lambda x, w, options=options: by_loops(x, w, **options),
            detail,
        )
        for detail, (image, kernel, options) in GENERAL.items()
    ],
    *[
        Case(
            "conv1d",
            lambda x, w, options=options: ops.conv1d(x, w, **options),
            (line, kernel),
            lambda x, w, options=options: _line(x, w, **options),
            detail,
        )
        for detail, (line, kernel, options) in LINES.items()
    ],
    *[
        Case(
            "conv2d_transpose",
            lambda x, w, where=where: ops.conv2d_transpose(x, w, *where),
            (image, kernel),
            lambda x, w, where=where: enlarged(x, w, *where),
            detail,
        )
        for detail, (image, kernel, where) in TRANSPOSED.items()
    ],
    Case(
        "patches",
        lambda x: ops.patches(x, (2, 2), (1, 2), (2, 3)),
        ((2, 4, 7, 3),),
        lambda x: np.stack([x[:, a : a + 2, b : b + 3 : 2] for a in (0, 2) for b in (0, 3)], 3),
        "with holes",
    ),
]
