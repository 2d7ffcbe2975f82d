"""Group normalization. Features are channels last: (batch, ..., channels)."""

from __future__ import annotations

from math import prod

from equilib.arrays import Array, array_namespace
from equilib.autodiff.rules import LinearMap, linear_rule, primitive
from equilib.ops.elementwise import add, multiply, subtract
from equilib.ops.elementwise import pow as power
from equilib.ops.reductions import mean
from equilib.ops.shapes import reshape, shape_of

_SPACE_AND_CHANNELS = (1, 3)


@primitive
def group_norm(x: Array, groups: int, epsilon: float = 1e-5) -> Array:
    """Normalize each sample's groups of channels to mean 0 and variance 1 (Wu & He 2018, eq. 1).

    y = (x − μ) / √(σ² + ε), with μ and σ² over all positions and the channels of one group.

    Parameters
    ----------
    x : array, shape (batch, ..., channels)
    groups : int
        Divides the number of channels; one per channel makes instance norm, one in all makes layer norm.

    Raises
    ------
    ValueError
        If `groups` does not divide the number of channels.
    """
    if groups < 1 or x.shape[-1] % groups:
        raise ValueError(f"{groups} groups do not divide {x.shape[-1]} channels")
    xp = array_namespace(x)
    grouped = xp.reshape(x, _grouped_shape(x, groups))
    centred = grouped - xp.mean(grouped, axis=_SPACE_AND_CHANNELS, keepdims=True)
    variance = xp.mean(centred * centred, axis=_SPACE_AND_CHANNELS, keepdims=True)
    return xp.reshape(centred / xp.sqrt(variance + epsilon), x.shape)


def _grouped_shape(x: Array, groups: int) -> tuple[int, int, int, int]:
    n, *space, channels = shape_of(x)
    return n, prod(space), groups, channels // groups


def _group_mean(x: Array) -> Array:
    return mean(x, _SPACE_AND_CHANNELS, keepdims=True)


@linear_rule(group_norm)
def _(ans: Array, x: Array, groups: int, epsilon: float = 1e-5) -> LinearMap:
    shape, split = shape_of(x), _grouped_shape(x, groups)
    normal = reshape(ans, split)
    grouped = reshape(x, split)
    centred = subtract(grouped, _group_mean(grouped))
    variance = _group_mean(multiply(centred, centred))
    scale = power(add(variance, epsilon), -0.5)

    def symmetric(v: Array) -> Array:
        # J v = (v − ⟨v⟩ − y ⟨y v⟩) / √(σ² + ε): symmetric, hence its own transpose.
        v = reshape(v, split)
        along = multiply(normal, _group_mean(multiply(normal, v)))
        flat = subtract(subtract(v, _group_mean(v)), along)
        return reshape(multiply(flat, scale), shape)

    return LinearMap(symmetric, symmetric)
