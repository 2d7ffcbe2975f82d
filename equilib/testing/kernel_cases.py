"""Calls of every operation with which kernels are compared: arguments of odd sizes, and functions to differentiate."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np

from equilib import ops
from equilib.arrays import Array, two_norm
from equilib.kernels import OPERATIONS
from equilib.kernels.shapes import CONVOLUTIONS
from equilib.ops.convolution import images_of
from equilib.ops.windows import NO_PADDING, UNIT, Padding, Pair

Make = Callable[..., np.ndarray]
"""Draws an array of the given shape."""


class Call(NamedTuple):
    """A call of an operation: its name, and all its arguments, arrays of NumPy's."""

    operation: str
    args: tuple[Any, ...]


Cases = Mapping[tuple[str, ...], Callable[[Make], Iterator[Call]]]
"""Operations, and what yields calls of them."""


class Geometry(NamedTuple):
    """Images, a kernel, and how one moves over the other."""

    images: tuple[int, int, int]
    channels: Pair
    kernel: Pair = (3, 3)
    stride: Pair = UNIT
    padding: Padding = ((1, 1), (1, 1))


GEOMETRIES = (
    Geometry((5, 13, 13), (16, 16)),
    Geometry((1, 6, 7), (64, 64)),
    Geometry((3, 5, 4), (3, 2), padding=NO_PADDING),
    Geometry((2, 1, 1), (5, 3)),
    Geometry((0, 6, 6), (8, 8)),
    Geometry((2, 9, 8), (1, 8)),
    Geometry((2, 7, 7), (8, 4), (1, 1), padding=NO_PADDING),
    Geometry((3, 10, 9), (8, 12), (4, 4), (2, 2)),
    Geometry((2, 7, 6), (3, 4), (2, 3), (2, 1), ((1, 0), (0, 2))),
    Geometry((2, 7, 5), (2, 2), (2, 1), (3, 2), ((0, 1), (1, 0))),
    Geometry((1, 3, 3), (1, 2), padding=((2, 0), (1, 3))),
    Geometry((2, 3, 4), (2, 3), (3, 4), padding=NO_PADDING),
    Geometry((11, 3, 4), (17, 19)),
    Geometry((1, 1, 2), (17, 16)),
    Geometry((1, 2, 2), (16, 21), padding=((3, 4), (5, 3))),
    Geometry((9, 2, 1), (3, 5), (2, 2), padding=((2, 3), (4, 2))),
    Geometry((2, 2, 3), (3, 2), (5, 4), padding=((2, 2), (1, 0))),
    Geometry((9, 7, 5), (2, 3), (2, 2), (3, 4), NO_PADDING),
)
"""Few and many channels, no image and more than eight, sizes beside those of blocks and tiles; paddings and strides
beyond the kernel, kernels beyond the image."""
SHAPES = ((3, 5, 7), (33, 257), (0, 4), (1,), (6, 40, 50))
FAR = (-1.5e38, -1e20, -100.0, 0.0, 100.0, 1e20, 1.5e38)
"""Numbers up to the end of single precision, with room for twice as much, of which calls are made, too."""
NORMALIZED = (((3, 4, 5, 6), 1), ((3, 4, 5, 6), 6), ((1, 9, 8), 2), ((4, 24), 3), ((5, 13, 13, 16), 8))
POOLED = (
    ((2, 6, 6, 16), (2, 2), (2, 2)),
    ((3, 7, 5, 3), (3, 2), (1, 2)),
    ((9, 5, 4, 17), (2, 1), (3, 2)),
    ((1, 4, 4, 1), (4, 4), UNIT),
)
BATCHES = ((3, 4, 5, 2), (1, 300), (40, 130), (0, 6))
VALUED = ("tanh", "sigmoid", "relu")
"""Activations whose slope follows from their value."""


def calls(operations: Container[str], dtype: str) -> Iterator[Call]:
    """Yield calls of operations with arrays of one dtype: usual and odd shapes, one sample, none."""
    yield from chosen(_CASES, operations, maker(dtype, seed=0))


def chosen(cases: Cases, operations: Container[str], make: Make) -> Iterator[Call]:
    """Yield the calls of operations among cases, of which those that have none of them draw nothing."""
    for names, yielding in cases.items():
        if any(each in operations for each in names):
            yield from (call for call in yielding(make) if call.operation in operations)


def maker(dtype: str, seed: int) -> Make:
    """Return what draws arrays of normally distributed numbers."""
    rng = np.random.default_rng(seed)
    return lambda *shape: rng.standard_normal(shape).astype(dtype)


def elementwise(make: Make, shapes: Iterable[tuple[int, ...]] = SHAPES) -> Iterator[Call]:
    """Yield activations and their slopes, of shapes, and far from 0, where squares are out of range."""
    far = np.asarray(FAR, make(0).dtype)
    yield from (Call(name, (far,)) for name in (*VALUED, "gelu", "gelu_slope"))
    for shape in shapes:
        x = 3 * make(*shape)
        yield from (Call(name, (x,)) for name in (*VALUED, "gelu", "gelu_slope"))
        for name in VALUED:
            y = formula_of(name, x)
            yield Call(f"{name}_slope", (y,))
            yield Call("times_slope", (make(*shape), y, name))


def _sums(make: Make) -> Iterator[Call]:
    x = make(6, 5, 7, 16)
    for axis in (None, 0, -1, (0, 1, 2), (1, 3), (2,)):
        yield Call("sum", (x, axis, False))
        yield Call("sum", (x, axis, True))
    yield Call("sum", (make(0, 3), 0, False))
    yield Call("sum", (make(300, 20), (0,), False))
    shapes = (((37, 19), (19, 23)), ((1, 5), (5, 3)), ((2, 4, 5), (5, 3)), ((2, 4, 5), (2, 5, 3)), ((0, 4), (4, 3)))
    yield from (Call("matmul", (make(*one), make(*other))) for one, other in shapes)
    yield Call("matmul", (make(300, 40), make(30, 40).T))


def _samples(make: Make) -> Iterator[Call]:
    for shape in BATCHES:
        base, unit = make(*shape), [_normalized(make(*shape)) for _ in range(3)]
        yield Call("dot", (base, make(*shape)))
        rows = tuple(make(shape[0], prod(shape[1:])) for _ in range(3))
        yield from (Call("norms", (rows[:count], mean)) for count in (1, 3) for mean in (False, True))
        yield Call("weighted_sum", (None, (0.5,), (base,)))
        yield Call("weighted_sum", (base, (1.0, -2.5, 1e-3), [make(*shape) for _ in range(3)]))
        scaled = make(shape[0], *(1 for _ in shape[1:]))
        yield Call("weighted_sum", (base, (scaled, -scaled), (make(*shape), make(*shape))))
        for count in (1, 3):
            arrays = [make(*shape) for _ in range(count)]
            yield Call("combined", (base, make(shape[0], count), arrays))
            yield Call("combined", (None, make(shape[0], count), arrays))
            yield Call("overlaps", (tuple(arrays), base))
            yield Call("orthogonalized", (unit[:count], base))


def _updates(make: Make) -> Iterator[Call]:
    constants = 1e-3, 0.9, 0.999, 1 - 0.9**3, 1 - 0.999**3, 1e-8
    for shapes in (((3, 3, 16, 8), (64,), (), (1,)), ((700, 3),), ((5, 1),) * 40):
        p, g, mean = ([make(*shape) for shape in shapes] for _ in range(3))
        square = [make(*shape) ** 2 for shape in shapes]
        yield from (Call("adam", (p, g, mean, square, *constants, d)) for d in (0.0, 0.1))
        yield Call("squares", (p,))


def normalizations(make: Make, cases: Iterable[tuple[tuple[int, ...], int]] = NORMALIZED) -> Iterator[Call]:
    """Yield group norms, and their derivatives, of shapes and groups."""
    for shape, groups in cases:
        x, g, (c,) = make(*shape) + 2, make(*shape), shape[-1:]
        for scale, shift in ((None, None), (make(c), make(c)), (make(c), None)):
            yield Call("group_norm", (x, scale, shift, groups, 1e-5))
            _, *moments = formula_of("group_norm", x, scale, shift, groups, 1e-5)
            yield Call("group_norm_push", (g, x, scale, *moments, scale, shift, groups))
            yield Call("group_norm_pull", (g, x, scale, *moments, groups))


def poolings(make: Make, cases: Iterable[tuple[tuple[int, ...], Pair, Pair]] = POOLED) -> Iterator[Call]:
    """Yield poolings, and their derivatives, of shapes, windows and strides."""
    for shape, *where in cases:
        x = np.rint(make(*shape))  # values tie
        yield Call("max_pool", (x, *where))
        top = formula_of("max_pool", x, *where)
        yield Call("max_pool_push", (make(*shape), x, top, *where))
        yield Call("max_pool_pull", (make(*top.shape), x, top, *where))


def convolutions(
    make: Make, geometries: Iterable[Geometry] = GEOMETRIES, activations: Iterable[str] = VALUED
) -> Iterator[Call]:
    """Yield convolutions, and their derivatives, of geometries; the fused derivatives with these activations."""
    for images, channels, kernel, stride, padding in geometries:
        where = stride, padding
        x, weight = make(*images, channels[0]), make(*kernel, *channels) / 8
        size = (*images_of(x.shape, kernel, *where), channels[1])
        g = make(*size)
        yield Call("conv2d", (x, weight, *where))
        yield Call("conv2d_input_transpose", (g, weight, x.shape, *where))
        yield Call("conv2d_weight_transpose", (x, g, kernel, *where))
        bias, added = make(channels[1]), make(*size)
        for activation, before, after in (("identity", bias, added), ("tanh", None, added), ("relu", added, bias)):
            yield Call("conv2d_block", (x, weight, before, after, activation, *where))
        for activation in activations:
            y = formula_of("conv2d_block", x, weight, bias, None, activation, *where)
            yield Call("conv2d_block", (x, weight, bias, None, activation, *where))
            yield Call("conv2d_block_push", (x, weight, y, activation, *where))
            yield Call("conv2d_block_pull", (g, weight, y, activation, x.shape, *where))
            yield Call("conv2d_block_weight", (x, g, y, activation, kernel, *where))


POINTWISE = (*VALUED, *(f"{each}_slope" for each in VALUED), "gelu", "gelu_slope", "times_slope")
SUMS = ("sum", "matmul")
SAMPLES = ("dot", "norms", "weighted_sum", "combined", "overlaps", "orthogonalized")
UPDATES = ("adam", "squares")
NORMALIZATIONS = ("group_norm", "group_norm_push", "group_norm_pull")
POOLINGS = ("max_pool", "max_pool_push", "max_pool_pull")
_CASES: Cases = {
    POINTWISE: elementwise,
    SUMS: _sums,
    SAMPLES: _samples,
    UPDATES: _updates,
    NORMALIZATIONS: normalizations,
    POOLINGS: poolings,
    CONVOLUTIONS: convolutions,
}


def misfits(operations: Container[str], dtype: str) -> Iterator[Call]:
    """Yield calls that are mistakes: shapes that the formula refuses."""
    make: Make = lambda *shape: np.ones(shape, dtype)  # noqa: E731
    yield Call("matmul", (make(4, 5), make(6, 3)))
    yield Call("dot", (make(3, 4), make(3, 5)))
    yield Call("overlaps", ([make(3, 4), make(3, 5)], make(3, 4)))
    yield Call("combined", (make(3, 4), make(2, 1), [make(3, 4)]))
    yield Call("weighted_sum", (make(3, 4), (1.0,), (make(3, 5),)))
    yield Call("orthogonalized", ([make(3, 5)], make(3, 4)))
    leaves, wrong = [make(3, 4), make(5)], [make(3, 5), make(5)]
    yield Call("adam", (leaves, wrong, leaves, leaves, 0.1, 0.9, 0.9, 0.1, 0.1, 1e-8, 0.0))
    yield Call("norms", ((make(3, 4), make(3, 5)), False))
    yield Call("times_slope", (make(3, 4), make(3, 5), "tanh"))
    yield Call("max_pool_pull", (make(2, 2, 2, 3), make(2, 4, 4, 3), make(2, 2, 2, 1), (2, 2), (2, 2)))


def differentiable(dtype: str) -> Iterator[tuple[str, Callable[..., Array], tuple[np.ndarray, ...]]]:
    """Yield names, functions and arguments of what models differentiate."""
    rng = np.random.default_rng(1)
    make: Make = lambda *shape: rng.standard_normal(shape).astype(dtype)  # noqa: E731
    for name in (*VALUED, "gelu"):
        yield name, getattr(ops, name), (make(3, 4, 5),)
    yield "group_norm", lambda x, a, b: ops.group_norm(x, 2, 1e-5, a, b), (make(3, 4, 5, 6), make(6), make(6))
    yield "max_pool", lambda x: ops.max_pool(x, (2, 2), (2, 1)), (make(2, 6, 5, 3),)
    yield "dense", ops.dense, (make(5, 4), make(4, 3), make(3))
    x, weight, bias = make(2, 6, 5, 3), make(3, 3, 3, 4) / 4, make(4)
    for activation, stride in (("identity", UNIT), ("tanh", UNIT), ("sigmoid", (2, 2)), ("relu", UNIT)):
        where = stride, ((1, 1), (1, 1))
        after = make(2, *images_of(x.shape, (3, 3), *where)[1:], 4)
        block = lambda x, w, b, a, activation=activation, where=where: ops.conv2d_block(x, w, b, a, activation, *where)  # noqa: E731
        yield f"conv2d_block with {activation}", block, (x, weight, bias, after)
    yield "conv2d", lambda x, w: ops.conv2d(x, w, (2, 1), ((0, 1), (1, 1))), (x, weight)


def formula_of(operation: str, *args: Any) -> Any:
    """Return what the formula of an operation computes."""
    return OPERATIONS[operation].formula(*args)


def _normalized(x: np.ndarray) -> np.ndarray:
    norm: np.ndarray = two_norm(x).reshape(-1, *(1 for _ in x.shape[1:]))
    return x / np.where(norm > 0, norm, 1)
