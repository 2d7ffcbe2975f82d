"""Half precision: what sums many numbers is computed in single, whose range and digits the sums need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from equilib.arrays import Array, array_namespace, is_array, is_half
from equilib.autodiff.boxes import static_value
from equilib.ops.elementwise import astype


def single(x: Array) -> Array:
    """Return an array in half precision, of any shape, in single; others as they are."""
    return astype(x, array_namespace(static_value(x)).float32) if is_half(x) else x


def in_single(operation: Callable[..., Array], *args: Any) -> Array:
    """Return operation(*args), computed with the arrays in half precision as single, in half where no other is wider.

    Mean, variance and norms of numbers near 250 are near 250, but their sums and squares are beyond float16.
    """
    values = [static_value(each) for each in args]
    kinds = [value.dtype for value in values if is_array(value) and _is_floating(value)]
    result = operation(*map(single, args))
    return astype(result, kinds[0]) if all(kind == kinds[0] for kind in kinds) else result


def _is_floating(value: Array) -> bool:
    return bool(array_namespace(value).isdtype(value.dtype, "real floating"))
