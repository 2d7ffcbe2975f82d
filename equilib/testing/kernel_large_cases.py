"""Calls of every operation on arrays that loops take in many parts, few and cheap to compute by the formula."""

from __future__ import annotations

from collections.abc import Container, Iterator

import numpy as np

from equilib.kernels.shapes import CONVOLUTIONS
from equilib.ops.windows import NO_PADDING
from equilib.testing.kernel_cases import (
    NORMALIZATIONS,
    POINTWISE,
    POOLINGS,
    SAMPLES,
    SUMS,
    UPDATES,
    Call,
    Cases,
    Geometry,
    Make,
    chosen,
    convolutions,
    elementwise,
    maker,
    normalizations,
    poolings,
)

LONG, MANY, IMAGES = (300_007,), (70_001, 5), (9, 47, 43, 18)
"""One long row, more samples than 16 bits count, and images: of sizes that no block and no team of threads divides."""

BATCHES = (MANY, (3, 100_003))
GEOMETRIES = (
    Geometry((9, 33, 35), (24, 17)),
    Geometry((9, 64, 61), (8, 13), (4, 4), (2, 2)),
    Geometry((70_001, 1, 2), (2, 3), (1, 2), padding=NO_PADDING),
)


def large_calls(operations: Container[str], dtype: str) -> Iterator[Call]:
    """Yield calls of operations with arrays of one dtype."""
    yield from chosen(_CASES, operations, maker(dtype, seed=2))


def _sums(make: Make) -> Iterator[Call]:
    yield from (Call("sum", (make(*MANY), axis, False)) for axis in (None, 0, -1))
    yield Call("sum", (make(*IMAGES), (0, 1, 2), False))
    yield Call("matmul", (make(*MANY), make(5, 7)))
    yield Call("matmul", (make(701, 401), make(401, 303)))


def _samples(make: Make) -> Iterator[Call]:
    for shape in BATCHES:
        base, arrays = make(*shape), [make(*shape) for _ in range(3)]
        yield Call("dot", (base, arrays[0]))
        yield Call("norms", (tuple(arrays), False))
        yield Call("weighted_sum", (base, (1.0, -2.5, 0.25), arrays))
        yield Call("combined", (base, make(shape[0], 3), arrays))
        yield Call("overlaps", (arrays, base))
        basis = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in arrays]
        yield Call("orthogonalized", (basis, base))


def _updates(make: Make) -> Iterator[Call]:
    p, g, mean, square = ([make(*shape) for shape in (MANY, LONG)] for _ in range(4))
    yield Call("adam", (p, g, mean, [each**2 for each in square], 1e-3, 0.9, 0.999, 0.3, 0.1, 1e-8, 0.1))
    yield Call("squares", (p,))


_CASES: Cases = {
    POINTWISE: lambda make: elementwise(make, (LONG, MANY, IMAGES)),
    SUMS: _sums,
    SAMPLES: _samples,
    UPDATES: _updates,
    NORMALIZATIONS: lambda make: normalizations(make, (((70_001, 6), 2), (IMAGES, 6))),
    POOLINGS: lambda make: poolings(make, ((IMAGES, (3, 2), (2, 2)),)),
    CONVOLUTIONS: lambda make: convolutions(make, GEOMETRIES, ("tanh",)),
}
