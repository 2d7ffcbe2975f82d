"""Group normalization. Features are channels last: (batch, ..., channels)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, reduce
from math import prod
from typing import Any

from equilib.arrays import Array, array_namespace
from equilib.autodiff.rules import joint_rule, primitive
from equilib.ops.elementwise import add, multiply, subtract
from equilib.ops.elementwise import pow as power
from equilib.ops.host.blocks import on_host
from equilib.ops.host.group_norm import GroupNormDerivative, Samples, group_norm_by_blocks
from equilib.ops.reductions import mean
from equilib.ops.shapes import broadcast_to, reshape, shape_of, sum_to

_SPACE_AND_CHANNELS = (1, 3)


def group_norm(
    x: Array, groups: int, epsilon: float = 1e-5, scale: Array | None = None, shift: Array | None = None
) -> Array:
    """Normalize each sample's groups of channels to mean 0 and variance 1 (Wu & He 2018, eq. 1).

    y = (x − μ) / √(σ² + ε) · scale + shift, with μ and σ² over all positions and the channels of one group. The shapes
    are (batch, ..., channels), and (channels,) of scale and shift. A group per channel makes instance norm, one group
    in all makes layer norm.

    Raises ValueError if `groups` does not divide the number of channels, or `scale` or `shift` has another shape.
    """
    channels = shape_of(x)[-1]
    if groups < 1 or channels % groups:
        raise ValueError(f"{groups} groups do not divide {channels} channels")
    for name, array in (("scale", scale), ("shift", shift)):
        if array is not None and shape_of(array) != (channels,):
            raise ValueError(f"{name} has the shape {shape_of(array)}: give one number for each of {channels} channels")
    return _group_norm(x, scale, shift, groups, epsilon, [])


@primitive
def _group_norm(
    x: Array, scale: Array | None, shift: Array | None, groups: int, epsilon: float, kept: list[Samples]
) -> Array:
    # On the host, `kept` takes what the derivative would compute again.
    if on_host(*(each for each in (x, scale, shift) if each is not None)):
        out, samples = group_norm_by_blocks(x, scale, shift, groups, epsilon)
        kept.append(samples)
        return out
    xp = array_namespace(x)
    grouped = xp.reshape(x, _grouped_shape(x, groups))
    centred = grouped - xp.mean(grouped, axis=_SPACE_AND_CHANNELS, keepdims=True)
    variance = xp.mean(centred * centred, axis=_SPACE_AND_CHANNELS, keepdims=True)
    normal = xp.reshape(centred / xp.sqrt(variance + epsilon), x.shape)
    scaled = normal if scale is None else normal * scale
    return scaled if shift is None else scaled + shift


def _grouped_shape(x: Array, groups: int) -> tuple[int, int, int, int]:
    n, *space, channels = shape_of(x)
    return n, prod(space), groups, channels // groups


def _group_mean(x: Array) -> Array:
    return mean(x, _SPACE_AND_CHANNELS, keepdims=True)


@joint_rule(_group_norm)
class _GroupNormMap:
    """The derivative with respect to x, scale and shift: arguments 0, 1 and 2."""

    def __init__(self, argnums: tuple[int, ...], ans: Array, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.argnums = argnums
        self.x, self.scale, _, self.groups, self.epsilon, self.kept = args

    def push(self, positions: Sequence[int], tangents: Sequence[Array]) -> Array:
        given = {self.argnums[p]: tangent for p, tangent in zip(positions, tangents, strict=True)}
        if 0 in given and self._on_host(*tangents):
            return self._by_blocks.push(given[0], given.get(1), given.get(2))
        terms = [self._scaled(self._symmetric(given[0]))] if 0 in given else []
        terms += [multiply(self._normal, given[1])] if 1 in given else []
        terms += [broadcast_to(given[2], shape_of(self.x))] if 2 in given else []
        return reduce(add, terms)

    def pull(self, positions: Sequence[int], cotangent: Array) -> Sequence[Array]:
        wanted = [self.argnums[position] for position in positions]
        if 0 in wanted and self._on_host(cotangent):
            cotangents = self._by_blocks.pull(cotangent)
            return [cotangents[argnum] for argnum in wanted]
        return [self._pull(argnum, cotangent) for argnum in wanted]

    def _pull(self, argnum: int, cotangent: Array) -> Array:
        if argnum == 0:
            return self._symmetric(self._scaled(cotangent))
        channels = shape_of(self.x)[-1:]
        return sum_to(multiply(cotangent, self._normal) if argnum == 1 else cotangent, channels)

    def _on_host(self, *vectors: Array) -> bool:
        if not (self.kept and on_host(self.x, *vectors)):
            return False
        return self.scale is None or on_host(self.scale, self.x)

    @cached_property
    def _by_blocks(self) -> GroupNormDerivative:
        return GroupNormDerivative(self.kept[0], self.scale)

    @cached_property
    def _normal_and_inverse(self) -> tuple[Array, Array]:
        """The normalized x and 1/√(σ² + ε), split into groups."""
        grouped = reshape(self.x, _grouped_shape(self.x, self.groups))
        centred = subtract(grouped, _group_mean(grouped))
        inverse = power(add(_group_mean(multiply(centred, centred)), self.epsilon), -0.5)
        return multiply(centred, inverse), inverse

    @property
    def _normal(self) -> Array:
        return reshape(self._normal_and_inverse[0], shape_of(self.x))

    def _scaled(self, v: Array) -> Array:
        return v if self.scale is None else multiply(v, self.scale)

    def _symmetric(self, v: Array) -> Array:
        # (v − ⟨v⟩ − y ⟨y v⟩) / √(σ² + ε): a symmetric map, hence its own transpose.
        normal, inverse = self._normal_and_inverse
        v = reshape(v, shape_of(normal))
        along = multiply(normal, _group_mean(multiply(normal, v)))
        flat = subtract(subtract(v, _group_mean(v)), along)
        return reshape(multiply(flat, inverse), shape_of(self.x))
