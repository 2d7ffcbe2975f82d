"""Losses."""

from __future__ import annotations

from math import prod

from equilib.arrays import Array, array_namespace
from equilib.autodiff.boxes import static_value
from equilib.autodiff.rules import LinearMap, linear_rule, primitive
from equilib.ops.elementwise import multiply, subtract
from equilib.ops.reductions import logsumexp, mean
from equilib.ops.reductions import sum as sum_over
from equilib.ops.shapes import shape_of


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Return the mean of −log softmax(logits)[label] over the batch, shapes (batch, classes) and (batch,).

    Raises ValueError if the shapes do not fit together.
    """
    value = static_value(logits)
    if value.ndim != 2 or tuple(labels.shape) != (value.shape[0],):
        raise ValueError(
            f"logits of shape {tuple(value.shape)} and labels of shape {tuple(labels.shape)} do not fit: "
            "give (batch, classes) and (batch,)"
        )
    xp = array_namespace(value)
    classes = xp.arange(value.shape[-1], dtype=labels.dtype, device=getattr(value, "device", None))
    one_hot = xp.astype(classes[None, :] == labels[:, None], value.dtype)
    return mean(subtract(logsumexp(logits, -1), sum_over(multiply(logits, one_hot), -1)))


def mse(x: Array, y: Array) -> Array:
    """Return the mean of (x − y)², shape (); the shapes of x and y broadcast."""
    return _mean_square(subtract(x, y))


@primitive
def _mean_square(x: Array) -> Array:
    xp = array_namespace(x)
    numbers = xp.reshape(x, (-1,))
    return xp.vecdot(numbers, numbers) / x.size


@linear_rule(_mean_square)
def _(ans: Array, x: Array) -> LinearMap:
    factor = 2 / max(1, prod(shape_of(x)))
    return LinearMap(lambda v: multiply(sum_over(multiply(x, v)), factor), lambda g: multiply(x, multiply(g, factor)))
