"""Elementwise arithmetic with broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from math import copysign, inf
from numbers import Real
from typing import Any

import numpy as np

from equilib.arrays import Array, Namespace, array_namespace, as_places, constant_beside, differentiates, is_array
from equilib.arrays.namespaces import refuse_others
from equilib.autodiff.boxes import static_value
from equilib.autodiff.rules import LinearMap, linear_rule, primitive, with_rules, with_transposes
from equilib.errors import brief
from equilib.ops.shapes import broadcast_to, shape_of, sum_to
from equilib.options.kinds import described, is_number

_REFUSED = frozenset((list, tuple, str, np.ma.MaskedArray, np.matrix))
"""What Python's own operators would concatenate or repeat, compute otherwise, or refuse in other words."""


def _refuse(*arguments: Any) -> None:
    """Raise TypeError for a list, a tuple or a text, a masked array or a matrix."""
    refuse_others(*(each for each in arguments if type(each) in _REFUSED))


def diagonal(slope: Array) -> LinearMap:
    """Return the map v ↦ slope · v, its own transpose."""
    return LinearMap(lambda v: multiply(v, slope), lambda g: multiply(g, slope))


def _broadcast(argument: Array, ans: Array, scale: Callable[[Array], Array] = lambda v: v) -> LinearMap:
    # The argument was stretched to the shape of ans, so a cotangent is summed back over what was stretched.
    shape, out = shape_of(argument), shape_of(ans)
    if shape == out:
        return LinearMap(scale, scale)
    return LinearMap(lambda v: scale(broadcast_to(v, out)), lambda g: sum_to(scale(g), shape))


def _scaled(argument: Array, ans: Array, factor: Array) -> LinearMap:
    shape, out = shape_of(argument), shape_of(ans)
    if shape == out:
        return diagonal(factor)
    return LinearMap(lambda v: broadcast_to(multiply(v, factor), out), lambda g: sum_to(multiply(g, factor), shape))


@with_rules(lambda ans, x, y: _broadcast(x, ans), lambda ans, x, y: _broadcast(y, ans))
def add(x: Array, y: Array) -> Array:
    """Return x + y; shapes broadcast."""
    if type(x) in _REFUSED or type(y) in _REFUSED:
        _refuse(x, y)
    return x + y


@with_rules(lambda ans, x, y: _broadcast(x, ans), lambda ans, x, y: _broadcast(y, ans, negative))
def subtract(x: Array, y: Array) -> Array:
    """Return x − y; shapes broadcast."""
    if type(x) in _REFUSED or type(y) in _REFUSED:
        _refuse(x, y)
    return x - y


@with_rules(lambda ans, x, y: _scaled(x, ans, y), lambda ans, x, y: _scaled(y, ans, x))
def multiply(x: Array, y: Array) -> Array:
    """Return x · y, element by element; shapes broadcast."""
    if type(x) in _REFUSED or type(y) in _REFUSED:
        _refuse(x, y)
    return x * y


def _inverse(y: Array) -> Array:
    # Python raises where arrays divide: the mean over an axis of length 0 is a sum divided by 0.
    return copysign(inf, y) if isinstance(y, Real) and not y else divide(1.0, y)


@with_rules(lambda ans, x, y: _scaled(x, ans, _inverse(y)), lambda ans, x, y: _scaled(y, ans, negative(divide(ans, y))))
def divide(x: Array, y: Array) -> Array:
    """Return x / y, element by element; shapes broadcast."""
    if type(x) in _REFUSED or type(y) in _REFUSED:
        _refuse(x, y)
    return x / y


@with_transposes(lambda x, dtype: lambda w: astype(w, static_value(x).dtype))
def astype(x: Array, dtype: Any) -> Array:
    """Return x in another floating dtype, of the shape of x."""
    return array_namespace(x).astype(x, dtype)


def floating(x: Array) -> Array:
    """Return integers and truth values, of any shape, in their library's floating type, Python's as Python's.

    What else there is is returned as it is.

    Differences, products and sums of squares of narrow integers leave their range, where they wrap without a word.
    """
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        return float(x) if isinstance(x, int) else x
    if getattr(dtype, "kind", None) == "f":  # asked at every call: NumPy's answer first
        return x
    xp = array_namespace(static_value(x))
    return astype(x, xp.empty(0).dtype) if xp.isdtype(dtype, ("bool", "integral")) else x


@with_transposes(lambda x: negative)
def negative(x: Array) -> Array:
    """Return −x, of the shape of x."""
    if type(x) in _REFUSED:
        _refuse(x)
    return -x


# Without the case, the third derivative of x² at 0 would be 0 · 0⁻¹: not a number.
@with_rules(lambda ans, x, exponent: diagonal(multiply(pow(x, exponent - 1), exponent) if exponent else 0.0))
def pow(x: Array, exponent: float) -> Array:  # noqa: A001  the name in the array API standard
    """Return x ** exponent, of the shape of x, for a constant real exponent."""
    if type(x) in _REFUSED:
        _refuse(x)
    if hasattr(x, "at") and isinstance(exponent, float) and exponent.is_integer() and _is_floating(x):
        exponent = int(exponent)  # JAX's slope of x**0.0 at 0 is not a number
    return x**exponent


@with_rules(lambda ans, x: diagonal(ans))
def exp(x: Array) -> Array:
    """Return e^x, of the shape of x."""
    return array_namespace(x).exp(x)


@with_rules(lambda ans, x: diagonal(divide(1.0, x)))
def log(x: Array) -> Array:
    """Return the natural logarithm of x, of the shape of x."""
    return array_namespace(x).log(x)


@with_rules(lambda ans, x: diagonal(divide(0.5, ans)))
def sqrt(x: Array) -> Array:
    """Return √x, of the shape of x."""
    return array_namespace(x).sqrt(x)


@with_rules(lambda ans, x: diagonal(cos(x)))
def sin(x: Array) -> Array:
    """Return sin x, of the shape of x."""
    return array_namespace(x).sin(x)


@with_rules(lambda ans, x: diagonal(negative(sin(x))))
def cos(x: Array) -> Array:
    """Return cos x, of the shape of x."""
    return array_namespace(x).cos(x)


@primitive
def abs(x: Array) -> Array:  # noqa: A001  the name in the array API standard
    """Return |x|, of the shape of x; its derivative at 0 is 0."""
    xp = array_namespace(x)
    return xp.where(x == 0, xp.zeros_like(x), xp.abs(x)) if hasattr(x, "at") else xp.abs(x)  # JAX's slope there is 1


@linear_rule(abs)
def _(ans: Array, x: Array) -> LinearMap:
    value = static_value(x)
    return diagonal(array_namespace(value).sign(value))


@with_rules(lambda ans, x: diagonal(0.0))
def sign(x: Array) -> Array:
    """Return −1, 0 or 1, of the shape of x; its derivative is 0, at 0 too."""
    return array_namespace(x).sign(x)


@with_rules(lambda ans, x, y: _scaled(x, ans, _share(x, y, ans)), lambda ans, x, y: _scaled(y, ans, _share(y, x, ans)))
def maximum(x: Array, y: Array) -> Array:
    """Return the larger of x and y, shapes broadcast; where they tie, each gets half the derivative."""
    xp, x, y = _arrays(x, y)
    return xp.maximum(x, y)


@with_rules(lambda ans, x, y: _scaled(x, ans, _share(y, x, ans)), lambda ans, x, y: _scaled(y, ans, _share(x, y, ans)))
def minimum(x: Array, y: Array) -> Array:
    """Return the smaller of x and y, shapes broadcast; where they tie, each gets half the derivative."""
    xp, x, y = _arrays(x, y)
    return xp.minimum(x, y)


def _arrays(x: Array, y: Array) -> tuple[Namespace, Array, Array]:
    """Return the namespace and both as arrays: not every library takes a Python scalar here."""
    xp = array_namespace(x, y)
    if not hasattr(x, "dtype"):
        x = xp.asarray(x, dtype=getattr(y, "dtype", None))
    if not hasattr(y, "dtype"):
        y = xp.asarray(y, dtype=x.dtype)
    return xp, x, y


def _share(winner: Array, loser: Array, ans: Array) -> Array:
    winner, loser = static_value(winner), static_value(loser)
    xp, dtype = array_namespace(winner, loser), static_value(ans).dtype
    more, most = (xp.asarray(each) for each in (winner > loser, winner >= loser))
    return 0.5 * (xp.astype(more, dtype) + xp.astype(most, dtype))


@primitive
def clip(x: Array, min: float | Array | None = None, max: float | Array | None = None) -> Array:  # noqa: A002  array API
    """Return x between two constants, of the shape of x; the derivative is 1 from bound to bound, 0 beyond them.

    A bound is a number, which has no type of its own, or an array that broadcasts to x, and may be NumPy's. x of
    floating point keeps its type; x of integers becomes floating where a bound is.

    Raises ValueError if `min` is greater than `max`, or a bound does not broadcast; TypeError if it is something else.
    """
    low, high = _bound(min, x), _bound(max, x)
    if low is not None and high is not None and (_crossed(min, max) or (low is not min and _crossed(low, high))):
        raise ValueError(f"clip needs min <= max, got {brief(min)} and {brief(max)}")
    if not _is_floating(x):
        x, low, high = _of_integers(x, low, high)
    xp = array_namespace(x)
    clipped = xp.clip(x, low, high)
    # Other libraries take another slope at a bound, and not always the same.
    return xp.where(clipped == x, x, clipped) if differentiates(x) else clipped


def _crossed(low: Any, high: Any) -> bool:
    """Tell whether a lower bound is above the upper one somewhere, as far as their values are known."""
    try:
        crossed = low > high
        return bool(array_namespace(crossed).any(crossed) if is_array(crossed) else crossed)
    except Exception:  # a traced one has no value yet, which each library says in its own way
        return False


def _of_integers(x: Array, low: Any, high: Any) -> tuple[Array, Any, Any]:
    """Return x, which is not floating, and its bounds in types that clip it without cutting or wrapping a bound."""
    if _is_floating(low) or _is_floating(high):
        x = floating(x)
        return x, _bound(low, x), _bound(high, x)
    if not is_array(x):
        return x, low, high
    xp = array_namespace(x)
    x = as_places(x) if xp.isdtype(x.dtype, "bool") else x
    info = xp.iinfo(x.dtype)
    low = None if isinstance(low, int) and low <= info.min else low
    return x, low, None if isinstance(high, int) and high >= info.max else high


def _is_floating(x: Any) -> bool:
    dtype = getattr(x, "dtype", None)
    if dtype is None or getattr(dtype, "kind", None) == "f":
        return dtype is not None or isinstance(x, float)
    return bool(array_namespace(static_value(x)).isdtype(dtype, "real floating"))


def _bound(bound: Any, x: Array) -> Any:
    """Return a bound of clip: None, a number of Python's, or an array of x's library, and of its dtype if floating."""
    if bound is None or is_number(bound, Real):
        return bound.item() if isinstance(bound, np.generic) else bound
    if not is_array(bound):
        raise TypeError(f"a bound of clip must be a number or an array that broadcasts to x, got {described(bound)}")
    shape = tuple(bound.shape)
    wanted = shape_of(x)
    if len(shape) > len(wanted) or any(n not in (1, m) for n, m in zip(shape[::-1], wanted[::-1], strict=False)):
        raise ValueError(f"a bound of shape {shape} does not broadcast to x, of shape {wanted}")
    bound = constant_beside(bound, x) if is_array(x) and static_value(bound) is bound else bound
    return astype(bound, x.dtype) if is_array(x) and _is_floating(x) else bound


@linear_rule(clip)
def _(ans: Array, x: Array, min: Any = None, max: Any = None) -> LinearMap:  # noqa: A002
    value, clipped = static_value(x), static_value(ans)
    xp = array_namespace(clipped)
    return diagonal(xp.astype(xp.asarray(value == clipped), clipped.dtype))


@with_rules(
    None,
    lambda ans, condition, x, y: _broadcast(x, ans, lambda v: where(condition, v, 0.0)),
    lambda ans, condition, x, y: _broadcast(y, ans, lambda v: where(condition, 0.0, v)),
)
def where(condition: Array, x: Array, y: Array) -> Array:
    """Take x where the boolean `condition`, a constant, is true, else y; the three shapes broadcast."""
    return array_namespace(condition, x, y).where(condition, x, y)
