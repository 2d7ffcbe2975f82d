"""Cases of convolution, windows, pooling and group normalization."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import signal

from equilib import ops
from tests.arrays_under_test import constant_like
from tests.ops.case import Case, Shape

Pair = tuple[int, int]


class Geometry(NamedTuple):
    """An image, a kernel, and how one moves over the other."""

    image: Shape
    kernel: Shape
    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))

    @property
    def result(self) -> Shape:
        """Shape of the convolved images."""
        height, width = (
            (n + low + high - k) // s + 1
            for n, k, s, (low, high) in zip(self.image[1:3], self.kernel[:2], self.stride, self.padding, strict=True)
        )
        return self.image[0], height, width, self.kernel[3]


GEOMETRIES = {
    "3x3, same size": Geometry((2, 5, 4, 3), (3, 3, 3, 2), (1, 1), ((1, 1), (1, 1))),
    "3x3, no padding": Geometry((2, 5, 4, 3), (3, 3, 3, 2)),
    "1x1": Geometry((2, 3, 4, 3), (1, 1, 3, 2)),
    "1x1, stride 2": Geometry((2, 3, 4, 3), (1, 1, 3, 2), (2, 2)),
    "3x3, stride 2": Geometry((2, 7, 5, 2), (3, 3, 2, 3), (2, 2), ((1, 1), (1, 1))),
    "2x3, uneven padding and stride": Geometry((1, 5, 6, 2), (2, 3, 2, 2), (2, 1), ((1, 0), (0, 2))),
    "uneven padding": Geometry((1, 4, 5, 2), (3, 2, 2, 2), (1, 1), ((0, 2), (1, 0))),
    "padding wider than the kernel on the right": Geometry((1, 3, 3, 1), (3, 3, 1, 2), (1, 1), ((2, 0), (1, 3))),
    "padding wider than the kernel at the top": Geometry((1, 3, 3, 1), (2, 2, 1, 1), (1, 1), ((3, 0), (0, 1))),
    "the last rows are not reached": Geometry((1, 6, 7, 1), (2, 2, 1, 2), (3, 2)),
    "stride longer than the kernel": Geometry((2, 7, 5, 1), (2, 1, 1, 2), (3, 2), ((0, 1), (1, 0))),
    "the kernel is the image": Geometry((2, 3, 2, 2), (3, 2, 2, 3)),
}


def correlate(x: np.ndarray, weight: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Convolve by SciPy, one pair of channels at a time, and keep every stride-th pixel."""
    padded = np.pad(x, ((0, 0), *geometry.padding, (0, 0)))
    planes = [
        [
            sum(signal.correlate2d(image[:, :, i], weight[:, :, i, o], mode="valid") for i in range(weight.shape[2]))
            for o in range(weight.shape[3])
        ]
        for image in padded
    ]
    down, right = geometry.stride
    return np.moveaxis(np.array(planes), 1, -1)[:, ::down, ::right]


def _contributions(geometry: Geometry):
    """Yield (pixel, kernel place, result position) for every product in the sum; padding is left out."""
    (top, _), (left, _) = geometry.padding
    for i, j in np.ndindex(geometry.result[1:3]):
        for a, b in np.ndindex(geometry.kernel[:2]):
            row, col = i * geometry.stride[0] + a - top, j * geometry.stride[1] + b - left
            if 0 <= row < geometry.image[1] and 0 <= col < geometry.image[2]:
                yield (row, col), (a, b), (i, j)


def _input_transpose(g: np.ndarray, weight: np.ndarray, geometry: Geometry) -> np.ndarray:
    out = np.zeros(geometry.image)
    for (row, col), (a, b), (i, j) in _contributions(geometry):
        out[:, row, col, :] += g[:, i, j, :] @ weight[a, b].T
    return out


def _weight_transpose(x: np.ndarray, g: np.ndarray, geometry: Geometry) -> np.ndarray:
    out = np.zeros(geometry.kernel)
    for (row, col), (a, b), (i, j) in _contributions(geometry):
        out[a, b] += x[:, row, col, :].T @ g[:, i, j, :]
    return out


def _convolutions() -> list[Case]:
    cases = []
    for detail, each in GEOMETRIES.items():
        where = (each.stride, each.padding)
        cases += [
            Case(
                "conv2d",
                lambda x, w, where=where: ops.conv2d(x, w, *where),
                (each.image, each.kernel),
                lambda x, w, each=each: correlate(x, w, each),
                detail,
            ),
            Case(
                "conv2d_input_transpose",
                lambda g, w, each=each, where=where: ops.conv2d_input_transpose(g, w, each.image, *where),
                (each.result, each.kernel),
                lambda g, w, each=each: _input_transpose(g, w, each),
                detail,
            ),
            Case(
                "conv2d_weight_transpose",
                lambda x, g, each=each, where=where: ops.conv2d_weight_transpose(x, g, each.kernel[:2], *where),
                (each.image, each.result),
                lambda x, g, each=each: _weight_transpose(x, g, each),
                detail,
            ),
        ]
    return cases


ACTIVATIONS = {
    "identity": lambda x: x,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0),
}


def _blocks() -> list[Case]:
    def case(activation: str, each: Geometry, before: Shape, after: Shape) -> Case:
        function = ACTIVATIONS[activation]
        return Case(
            "conv2d_block",
            lambda x, w, b, a: ops.conv2d_block(x, w, b, a, activation, each.stride, each.padding),
            (each.image, each.kernel, before, after),
            lambda x, w, b, a: function(correlate(x, w, each) + b) + a,
            activation,
        )

    same, strided = GEOMETRIES["3x3, same size"], GEOMETRIES["3x3, stride 2"]
    plain = Case(
        "conv2d_block",
        lambda x, w: ops.conv2d_block(x, w, activation="tanh"),
        (same.image, same.kernel),
        lambda x, w: np.tanh(correlate(x, w, same._replace(padding=((0, 0), (0, 0))))),
        "nothing added",
    )
    return [
        plain,
        case("identity", same, same.result, (2,)),
        case("tanh", same, (2,), same.result),
        case("sigmoid", strided, strided.result, (1, *strided.result[1:])),
        case("relu", same, (2,), ()),
    ]


WINDOWS = {
    "2x2, stride 2": ((2, 4, 6, 3), (2, 2), (2, 2)),
    "3x2, overlapping": ((1, 5, 4, 2), (3, 2), (1, 1)),
    "uneven strides, a remainder": ((1, 6, 6, 2), (2, 3), (3, 2)),
    "one window": ((2, 3, 2, 2), (3, 2), (1, 1)),
}


def _places(shape: Shape, window: Pair, stride: Pair):
    rows, cols = ((n - k) // s + 1 for n, k, s in zip(shape[1:3], window, stride, strict=True))
    for i, j in np.ndindex(rows, cols):
        yield (i, j), (slice(i * stride[0], i * stride[0] + window[0]), slice(j * stride[1], j * stride[1] + window[1]))


def _by_window(window: Pair, stride: Pair, reduce):
    """Return the function that reduces x[:, window, :] to a piece for each place of a window."""

    def reference(x: np.ndarray) -> np.ndarray:
        pieces = {place: reduce(x[:, rows, cols, :]) for place, (rows, cols) in _places(x.shape, window, stride)}
        height, width = (1 + max(place[axis] for place in pieces) for axis in (0, 1))
        return np.stack([np.stack([pieces[i, j] for j in range(width)], 1) for i in range(height)], 1)

    return reference


def _fold(x: np.ndarray, shape: Shape, window: Pair, stride: Pair) -> np.ndarray:
    out = np.zeros(shape)
    for (i, j), (rows, cols) in _places(shape, window, stride):
        out[:, rows, cols, :] += x[:, i, j].reshape(shape[0], *window, shape[3])
    return out


def _windows() -> list[Case]:
    cases = []
    for detail, (shape, window, stride) in WINDOWS.items():
        flat = _by_window(window, stride, lambda piece: piece.reshape(piece.shape[0], -1, piece.shape[3]))
        unfolded = flat(np.zeros(shape)).shape
        cases += [
            Case("patches", lambda x, w=window, s=stride: ops.patches(x, w, s), (shape,), flat, detail),
            Case(
                "fold",
                lambda x, shape=shape, w=window, s=stride: ops.fold(x, shape, w, s),
                (unfolded,),
                lambda x, shape=shape, w=window, s=stride: _fold(x, shape, w, s),
                detail,
            ),
            Case(
                "average_pool",
                lambda x, w=window, s=stride: ops.average_pool(x, w, s),
                (shape,),
                _by_window(window, stride, lambda piece: piece.sum((1, 2)) / (piece.shape[1] * piece.shape[2])),
                detail,
            ),
            Case(
                "max_pool",
                lambda x, w=window, s=stride: ops.max_pool(x, w, s),
                (shape,),
                _by_window(
                    window, stride, lambda piece: np.sort(piece.reshape(piece.shape[0], -1, piece.shape[3]), 1)[:, -1]
                ),
                detail,
                "apart",
            ),
        ]
    return cases


def _normalized(x: np.ndarray, groups: int, epsilon: float) -> np.ndarray:
    out = np.empty_like(x)
    size = x.shape[-1] // groups
    for sample in range(x.shape[0]):
        for group in range(groups):
            mine = (sample, ..., slice(group * size, (group + 1) * size))
            out[mine] = (x[mine] - np.mean(x[mine])) / np.sqrt(np.var(x[mine]) + epsilon)
    return out


def _group_norms() -> list[Case]:
    kinds = [
        ((2, 3, 4, 6), 1, 1e-5),
        ((2, 3, 4, 6), 3, 1e-5),
        ((2, 3, 4, 6), 6, 1e-5),
        ((2, 5, 4), 2, 1e-1),
        ((3, 6), 2, 1e-5),
    ]
    plain = [
        Case(
            "group_norm",
            lambda x, groups=groups, epsilon=epsilon: ops.group_norm(x, groups, epsilon),
            (shape,),
            lambda x, groups=groups, epsilon=epsilon: _normalized(x, groups, epsilon),
            f"{groups} groups of {shape}",
        )
        for shape, groups, epsilon in kinds
    ]
    x, scale, shift = kinds[1][0], (6,), (6,)
    image = np.random.default_rng(3).standard_normal(x)
    return [
        *plain,
        Case(
            "group_norm",
            lambda x, scale, shift: ops.group_norm(x, 3, 1e-5, scale, shift),
            (x, scale, shift),
            lambda x, scale, shift: _normalized(x, 3, 1e-5) * scale + shift,
            "scaled and shifted",
        ),
        Case(
            "group_norm",
            lambda x, scale: ops.group_norm(x, 2, 1e-5, scale),
            (x, scale),
            lambda x, scale: _normalized(x, 2, 1e-5) * scale,
            "scaled",
        ),
        Case(
            "group_norm",
            lambda x, shift: ops.group_norm(x, 6, 1e-5, None, shift),
            (x, shift),
            lambda x, shift: _normalized(x, 6, 1e-5) + shift,
            "shifted",
        ),
        Case(
            "group_norm",
            lambda scale, shift: ops.group_norm(constant_like(image, scale), 3, 1e-5, scale, shift),
            (scale, shift),
            lambda scale, shift: _normalized(image, 3, 1e-5) * scale + shift,
            "of a constant",
        ),
    ]


CASES = [*_convolutions(), *_blocks(), *_windows(), *_group_norms()]
