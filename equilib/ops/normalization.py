"""Group normalization. Features are channels last: (batch, ..., channels)."""

from __future__ import annotations

from math import prod

from equilib.arrays import Array, array_namespace
from equilib.autodiff.rules import LinearMap, linear_rule, primitive
from equilib.ops.elementwise import add, multiply, pow, subtract
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
        Divides the number of channels; one group per channel is instance norm, one group in all is layer norm.

    Raises
    ------
    ValueError
        If `groups` does not divide the number of channels.
    """
    if x.shape[-1] % groups:
        raise ValueError(f"{groups} groups do not divide {x.shape[-1]} channels")
    xp = array_namespace(x)
    grouped = xp.reshape(x, _grouped_shape(x, groups))
    centred = grouped - xp.mean(grouped, axis=_SPACE_AND_CHANNELS, keepdims=True)
    variance = xp.mean(centred * centred, axis=_SPACE_AND_CHANNELS, keepdims=True)
    return xp.reshape(centred / xp.sqrt(variance + epsilon), x.shape)


def _grouped_shape(x: Array, groups: int) -> tuple[int, int, int, int]:
    n, *space, channels = shape_of(x)
    return n, prod(space), groups, channels // groups


@linear_rule(group_norm)
def _(ans: Array, x: Array, groups: int, epsilon: float = 1e-5) -> LinearMap:
    shape, split = shape_of(x), _grouped_shape(x, groups)
    normal = reshape(ans, split)
    grouped = reshape(x, split)
    centred = subtract(grouped, mean(grouped, _SPACE_AND_CHANNELS, True))
    variance = mean(multiply(centred, centred), _SPACE_AND_CHANNELS, True)
    scale = pow(add(variance, epsilon), -0.5)

    def symmetric(v: Array) -> Array:
        # J v = (v − ⟨v⟩ − y ⟨y v⟩) / √(σ² + ε): symmetric, hence its own transpose.
        v = reshape(v, split)
        along = multiply(normal, mean(multiply(normal, v), _SPACE_AND_CHANNELS, True))
        flat = subtract(subtract(v, mean(v, _SPACE_AND_CHANNELS, True)), along)
        return reshape(multiply(flat, scale), shape)

    return LinearMap(symmetric, symmetric)
