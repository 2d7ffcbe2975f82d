"""Convolution with what follows it, a bias, an activation and a sum, as one operation with one derivative."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from equilib.arrays import Array
from equilib.autodiff.boxes import static_value
from equilib.autodiff.rules import joint_rule, primitive
from equilib.kernels import operation
from equilib.ops.activations import BY_VALUE, times_slope
from equilib.ops.convolution import (
    check_channels,
    conv2d,
    conv2d_input_transpose,
    conv2d_weight_transpose,
    images_of,
    kernel_size,
)
from equilib.ops.elementwise import add
from equilib.ops.shapes import broadcast_to, shape_of, sum_to
from equilib.ops.windows import NO_PADDING, UNIT, Padding, Pair

IDENTITY = "identity"
"""The activation that does nothing."""


def conv2d_block(
    x: Array,
    weight: Array,
    before: Array | None = None,
    after: Array | None = None,
    activation: str = IDENTITY,
    stride: Pair = UNIT,
    padding: Padding = NO_PADDING,
) -> Array:
    """Return φ(conv2d(x, weight) + before) + after, of the shape of the convolution.

    `before` and `after` broadcast to that shape. The activation φ is "identity" or one whose slope follows from its
    value: "tanh", "sigmoid" or "relu".

    Raises ValueError as `conv2d` does, or if there is no such activation.
    """
    if activation != IDENTITY and activation not in BY_VALUE:
        raise ValueError(f"activation must be {', '.join((IDENTITY, *BY_VALUE))}, got {activation!r}")
    if after is not None and any(static_value(each) is not each for each in (x, weight, before, after)):
        # The derivative needs the value of φ, not what is added to it.
        return add(_block(x, weight, before, None, activation, stride, padding), after)
    return _block(x, weight, before, after, activation, stride, padding)


@primitive
def _block(
    x: Array, weight: Array, before: Array | None, after: Array | None, activation: str, stride: Pair, padding: Padding
) -> Array:
    check_channels(x, weight)
    images_of(x.shape, kernel_size(weight), stride, padding)
    return _forward(x, weight, before, after, activation, stride, padding)


@operation("conv2d_block")
def _forward(
    x: Array, weight: Array, before: Array | None, after: Array | None, activation: str, stride: Pair, padding: Padding
) -> Array:
    y = conv2d(x, weight, stride, padding)
    y = y if before is None else y + before
    y = y if activation == IDENTITY else BY_VALUE[activation][0](y)
    return y if after is None else y + after


@operation("conv2d_block_push")
def _push(v: Array, weight: Array, y: Array, activation: str, stride: Pair, padding: Padding) -> Array:
    return times_slope(conv2d(v, weight, stride, padding), y, activation)


@operation("conv2d_block_pull")
def _pull(
    g: Array, weight: Array, y: Array, activation: str, shape: tuple[int, ...], stride: Pair, padding: Padding
) -> Array:
    return conv2d_input_transpose(times_slope(g, y, activation), weight, shape, stride, padding)


@operation("conv2d_block_weight")
def _pull_weight(x: Array, g: Array, y: Array, activation: str, kernel: Pair, stride: Pair, padding: Padding) -> Array:
    return conv2d_weight_transpose(x, times_slope(g, y, activation), kernel, stride, padding)


@joint_rule(_block)
class _BlockMap:
    """The derivative φ'·(conv2d(v, w) + conv2d(x, dw) + d before), and its transposes of φ'·g."""

    def __init__(self, argnums: tuple[int, ...], ans: Array, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.argnums, self.y = argnums, ans
        self.x, self.weight, self.before, _, self.activation, *self.geometry = args

    def push(self, positions: Sequence[int], tangents: Sequence[Array]) -> Array:
        given = {self.argnums[p]: tangent for p, tangent in zip(positions, tangents, strict=True)}
        if self.activation != IDENTITY and given.keys() == {0}:
            return _push(given[0], self.weight, self.y, self.activation, *self.geometry)
        terms = [conv2d(given[0], self.weight, *self.geometry)] if 0 in given else []
        terms += [conv2d(self.x, given[1], *self.geometry)] if 1 in given else []
        terms += [broadcast_to(given[2], shape_of(self.y))] if 2 in given else []
        total = reduce(add, terms)
        return total if self.activation == IDENTITY else times_slope(total, self.y, self.activation)

    def pull(self, positions: Sequence[int], cotangent: Array) -> Sequence[Array]:
        wanted = [self.argnums[position] for position in positions]
        if self.activation != IDENTITY and 2 not in wanted:
            return [self._fused(argnum, cotangent) for argnum in wanted]
        inner = cotangent if self.activation == IDENTITY else times_slope(cotangent, self.y, self.activation)
        return [self._pull(argnum, inner) for argnum in wanted]

    def _fused(self, argnum: int, g: Array) -> Array:
        if argnum == 0:
            return _pull(g, self.weight, self.y, self.activation, shape_of(self.x), *self.geometry)
        return _pull_weight(self.x, g, self.y, self.activation, kernel_size(self.weight), *self.geometry)

    def _pull(self, argnum: int, g: Array) -> Array:
        if argnum == 0:
            return conv2d_input_transpose(g, self.weight, shape_of(self.x), *self.geometry)
        if argnum == 1:
            return conv2d_weight_transpose(self.x, g, kernel_size(self.weight), *self.geometry)
        return sum_to(g, shape_of(self.before))
