"""Losses."""

from __future__ import annotations

from math import prod

import numpy as np

from equilib.arrays import Array, array_namespace, as_places, constant_beside, is_array, is_half, to_host
from equilib.autodiff.boxes import static_value
from equilib.autodiff.rules import LinearMap, linear_rule, primitive
from equilib.errors import a
from equilib.ops.elementwise import floating, multiply, subtract, where
from equilib.ops.half_precision import in_single
from equilib.ops.reductions import logsumexp, mean
from equilib.ops.reductions import sum as sum_over
from equilib.ops.shapes import shape_of


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Return the mean of −log softmax(logits)[label], shapes (batch, ..., classes) and (batch, ...).

    Labels may be NumPy's. Samples may have several, as sequences have one at each position. A logit of −inf is a
    probability of zero.

    Raises ValueError if the shapes do not fit together, the batch is empty, or a label is no integer in [0, classes).
    """
    value, shape = static_value(logits), shape_of(logits)
    if not is_array(labels):
        raise ValueError(f"labels must be an array of integers, shape (batch, ...), not {a(type(labels).__name__)}")
    if len(shape) < 2 or tuple(labels.shape) != shape[:-1]:
        raise ValueError(
            f"logits of shape {shape} and labels of shape {tuple(labels.shape)} do not fit: "
            "give (batch, ..., classes) and (batch, ...)"
        )
    labels = constant_beside(labels, value)
    check_labels(labels, shape[-1])
    if is_half(value):
        return in_single(cross_entropy, logits, labels)
    xp = array_namespace(value)
    classes = xp.arange(shape[-1], device=getattr(value, "device", None))
    # Chosen, not multiplied by zero: −inf is a logit of other classes, too.
    own = where(classes == as_places(labels)[..., None], logits, xp.zeros_like(value))
    return mean(subtract(logsumexp(logits, -1), sum_over(own, -1)))


def check_labels(labels: Array, classes: int, *, name: str = "labels") -> None:
    """Refuse labels, shape (batch, ...), that are not the numbers of classes.

    Raises ValueError, whose text `name` opens.
    """
    xp = array_namespace(labels)
    if not xp.isdtype(labels.dtype, "integral"):
        raise ValueError(f"{name} must be integers, the numbers of classes, not {labels.dtype}")
    if not prod(labels.shape):
        raise ValueError(f"{name} are those of an empty batch, which has no mean loss")
    least, most = (int(each) for each in to_host(xp.stack([xp.min(labels), xp.max(labels)])))
    if least < 0 or most >= classes:
        raise ValueError(
            f"{name} go from {least} to {most}, where the {classes} classes are numbered from 0 to {classes - 1}"
        )


def mse(x: Array, y: Array) -> Array:
    """Return the mean of (x − y)², shape (); the shapes of x and y broadcast."""
    difference = subtract(floating(x), floating(y))
    return in_single(_mean_square, difference) if is_half(difference) else _mean_square(difference)


@primitive
def _mean_square(x: Array) -> Array:
    xp = np if type(x) is np.ndarray else array_namespace(x)
    numbers = xp.reshape(x, (-1,))
    return xp.vecdot(numbers, numbers) / prod(shape_of(x))


@linear_rule(_mean_square)
def _(ans: Array, x: Array) -> LinearMap:
    factor = 2 / max(1, prod(shape_of(x)))
    return LinearMap(lambda v: multiply(sum_over(multiply(x, v)), factor), lambda g: multiply(x, multiply(g, factor)))
