"""Several arrays in one flat state, and the way between them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from equilib import ops
from equilib.arrays import Array
from equilib.ops.shapes import shape_of

Shapes = tuple[tuple[int, ...], ...]
"""For each scale the shape of one sample."""


def split_scales(z: Array, shapes: Shapes) -> tuple[Array, ...]:
    """Return the arrays of shape (batch, *shape) that lie in z, shape (batch, size)."""
    batch, parts, start = shape_of(z)[0], [], 0
    for shape in shapes:
        end = start + prod(shape)
        parts.append(ops.reshape(ops.getitem(z, (slice(None), slice(start, end))), (batch, *shape)))
        start = end
    return tuple(parts)


def join_scales(parts: Sequence[Array]) -> Array:
    """Return arrays of shape (batch, ...) as one, shape (batch, size)."""
    return ops.concat([ops.reshape(part, (shape_of(part)[0], prod(shape_of(part)[1:]))) for part in parts], 1)
