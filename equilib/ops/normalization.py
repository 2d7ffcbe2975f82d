"""Group normalization. Features are channels last: (batch, ..., channels)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, reduce
from math import prod
from typing import Any

from equilib.arrays import Array, array_namespace, is_half
from equilib.autodiff.boxes import static_value
from equilib.autodiff.rules import joint_rule, primitive
from equilib.kernels import operation
from equilib.ops.elementwise import add, floating, multiply, subtract
from equilib.ops.elementwise import pow as power
from equilib.ops.half_precision import in_single
from equilib.ops.reductions import mean as mean_over
from equilib.ops.shapes import broadcast_to, reshape, shape_of, sum_to

Moments = tuple[Array, Array]
"""The mean and 1/√(σ² + ε) of each group, shapes (batch, groups)."""


def group_norm(
    x: Array, groups: int, epsilon: float = 1e-5, scale: Array | None = None, shift: Array | None = None
) -> Array:
    """Normalize each sample's groups of channels to mean 0 and variance 1 (Wu & He 2018, eq. 1).

    y = (x − μ) / √(σ² + ε) · scale + shift, with μ and σ² over all positions and the channels of one group. The shapes
    are (batch, ..., channels), and (channels,) of scale and shift. A group per channel makes instance norm, one group
    in all makes layer norm.

    Raises ValueError if `groups` does not divide the number of channels, or `scale` or `shift` has another shape.
    """
    shape = shape_of(x)
    if not shape:
        raise ValueError("group norm takes an array of shape (batch, ..., channels), not ()")
    channels = shape[-1]
    if groups < 1 or channels % groups:
        raise ValueError(f"{groups} groups do not divide {channels} channels")
    for name, array in (("scale", scale), ("shift", shift)):
        if array is not None and shape_of(array) != (channels,):
            raise ValueError(f"{name} has the shape {shape_of(array)}: give one number for each of {channels} channels")
    if 0 in shape:  # there is no mean of nothing, and none is needed
        return _scaled(x, scale, shift)
    if is_half(x):
        return in_single(_group_norm, x, scale, shift, groups, epsilon, [])
    return _group_norm(floating(x), scale, shift, groups, epsilon, [])


def _scaled(normal: Array, scale: Array | None, shift: Array | None) -> Array:
    scaled = normal if scale is None else multiply(normal, scale)
    return scaled if shift is None else add(scaled, shift)


@primitive
def _group_norm(
    x: Array, scale: Array | None, shift: Array | None, groups: int, epsilon: float, kept: list[Moments]
) -> Array:
    out, *moments = _normalize(x, scale, shift, groups, epsilon)
    kept.append((moments[0], moments[1]))
    return out


@operation("group_norm")
def _normalize(
    x: Array, scale: Array | None, shift: Array | None, groups: int, epsilon: float
) -> tuple[Array, Array, Array]:
    """Return y, and μ and 1/√(σ² + ε) of each group, shape (batch, groups)."""
    xp, shape = array_namespace(x), _grouped_shape(x, groups)
    grouped = xp.reshape(x, shape)

    def average(a: Array) -> Array:
        # In two steps of one size each: NumPy is slow over axes that are no neighbours.
        return xp.mean(xp.mean(a, axis=1), axis=-1)

    mean = average(grouped)
    centred = grouped - mean[:, None, :, None]
    inverse = 1 / xp.sqrt(average(centred * centred) + epsilon)
    normal = xp.reshape(centred * inverse[:, None, :, None], x.shape)
    scaled = normal if scale is None else normal * scale
    return (scaled if shift is None else scaled + shift), mean, inverse


@operation("group_norm_push")
def _push(
    v: Array,
    x: Array,
    scale: Array | None,
    mean: Array,
    inverse: Array,
    d_scale: Array | None,
    d_shift: Array | None,
    groups: int,
) -> Array:
    normal = _normal(x, mean, inverse, groups)
    moved = _symmetric(v, normal, inverse)
    moved = moved if scale is None else multiply(moved, scale)
    moved = moved if d_scale is None else add(moved, multiply(reshape(normal, shape_of(x)), d_scale))
    return moved if d_shift is None else add(moved, d_shift)


@operation("group_norm_pull")
def _pull(
    g: Array, x: Array, scale: Array | None, mean: Array, inverse: Array, groups: int
) -> tuple[Array, Array, Array]:
    """Return the cotangents of x, of scale and of shift."""
    normal, channels = _normal(x, mean, inverse, groups), shape_of(x)[-1:]
    of_x = _symmetric(g if scale is None else multiply(g, scale), normal, inverse)
    return of_x, sum_to(multiply(g, reshape(normal, shape_of(x))), channels), sum_to(g, channels)


def _normal(x: Array, mean: Array, inverse: Array, groups: int) -> Array:
    """Return (x − μ) / √(σ² + ε), split into groups."""
    return multiply(subtract(reshape(x, _grouped_shape(x, groups)), _spread(mean)), _spread(inverse))


def _symmetric(v: Array, normal: Array, inverse: Array) -> Array:
    # (v − ⟨v⟩ − y ⟨y v⟩) / √(σ² + ε): a symmetric map, hence its own transpose.
    split = reshape(v, shape_of(normal))
    along = multiply(normal, _group_mean(multiply(normal, split)))
    return reshape(multiply(subtract(subtract(split, _group_mean(split)), along), _spread(inverse)), shape_of(v))


def _spread(moment: Array) -> Array:
    samples, groups = shape_of(moment)
    return reshape(moment, (samples, 1, groups, 1))


def _grouped_shape(x: Array, groups: int) -> tuple[int, int, int, int]:
    n, *space, channels = shape_of(x)
    return n, prod(space), groups, channels // groups


def _group_mean(x: Array) -> Array:
    return mean_over(mean_over(x, 1, keepdims=True), 3, keepdims=True)


@joint_rule(_group_norm)
class _GroupNormMap:
    """The derivative with respect to x, scale and shift: arguments 0, 1 and 2."""

    def __init__(self, argnums: tuple[int, ...], ans: Array, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.argnums = argnums
        self.x, self.scale, _, self.groups, self.epsilon, self.kept = args

    def push(self, positions: Sequence[int], tangents: Sequence[Array]) -> Array:
        given = {self.argnums[p]: tangent for p, tangent in zip(positions, tangents, strict=True)}
        if 0 in given:
            return _push(given[0], self.x, self.scale, *self._moments, given.get(1), given.get(2), self.groups)
        normal = reshape(_normal(self.x, *self._moments, self.groups), shape_of(self.x))
        terms = [multiply(normal, given[1])] if 1 in given else []
        terms += [broadcast_to(given[2], shape_of(self.x))] if 2 in given else []
        return reduce(add, terms)

    def pull(self, positions: Sequence[int], cotangent: Array) -> Sequence[Array]:
        cotangents = _pull(cotangent, self.x, self.scale, *self._moments, self.groups)
        return [cotangents[self.argnums[position]] for position in positions]

    @cached_property
    def _moments(self) -> Moments:
        if static_value(self.x) is self.x:
            moments: Moments = self.kept[0]
            return moments
        # Those that were kept are numbers, these are functions of x.
        grouped = reshape(self.x, _grouped_shape(self.x, self.groups))
        mean = _group_mean(grouped)
        centred = subtract(grouped, mean)
        inverse = power(add(_group_mean(multiply(centred, centred)), self.epsilon), -0.5)
        shape = (shape_of(self.x)[0], self.groups)
        return reshape(mean, shape), reshape(inverse, shape)
