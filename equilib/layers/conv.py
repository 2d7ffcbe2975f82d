"""The convolution layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.epilogue import apply
from equilib.layers.initializers import Initializer, glorot_uniform, zeros
from equilib.layers.sizes import check_sizes, pair_of
from equilib.ops.convolution_block import IDENTITY
from equilib.ops.windows import Pair, spread


@dataclass(frozen=True)
class Conv:
    """Correlate images with kernels; channels last: (batch, H, W, inputs) to (batch, H', W', outputs).

    The kernel has a height and a width; one number is both. `padding` is rows and columns of zeros on each side; "same"
    keeps H and W, at stride 1 alone (an even kernel gets the odd row and column at the end). The kernel's pixels lie
    `dilation` apart; with `groups` each group of outputs sees its own group of inputs, as many groups as channels make
    it depthwise.

    Raises TypeError or ValueError if `padding` is neither "same" nor a number that is not negative, or "same" with a
    stride, a size is no positive whole number, or `groups` do not divide the channels.
    """

    inputs: int
    outputs: int
    kernel: int | tuple[int, int] = (3, 3)
    stride: int = 1
    padding: int | str = 0
    bias: bool = True
    initial_weight: Initializer = glorot_uniform
    dilation: int = 1
    groups: int = 1

    def __post_init__(self) -> None:
        if self.padding != "same" and not (isinstance(self.padding, int) and self.padding >= 0):
            raise ValueError(f"padding must be 'same' or a number of pixels, got {self.padding!r}")
        check_sizes(self, "inputs", "outputs", "stride", "dilation", "groups")
        check_same(self.padding, self.stride)
        object.__setattr__(self, "kernel", pair_of(self, "kernel"))
        check_groups(self.groups, self.inputs, self.outputs)

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the weight, shape (kernel height, kernel width, inputs // groups, outputs), and a bias of zeros."""
        params = {"weight": self.initial_weight(rng, (*self._window(), self.inputs // self.groups, self.outputs))}
        return {**params, "bias": zeros(rng, (self.outputs,))} if self.bias else params

    def __call__(self, params: Tree, x: Array) -> Array:
        """Convolve images, shape (batch, height, width, channels)."""
        return self.with_epilogue(params, x, IDENTITY, None)

    def with_epilogue(self, params: Tree, x: Array, activation: str, after: Array | None) -> Array:
        """Return φ(conv(x)) + after, of the shape of `conv(x)`, as `TakesEpilogue` says."""
        bias = params["bias"] if self.bias else None
        stride, dilation = (self.stride, self.stride), (self.dilation, self.dilation)
        down, across = (pads(self.padding, kernel, self.dilation) for kernel in self._window())
        if self.dilation == self.groups == 1:
            return ops.conv2d_block(x, params["weight"], bias, after, activation, stride, (down, across))
        y = ops.conv2d_general(x, params["weight"], stride, (down, across), dilation, self.groups)
        return apply(lambda _, y: y, None, y if bias is None else ops.add(y, bias), activation, after)

    def _window(self) -> tuple[int, int]:
        return cast("tuple[int, int]", self.kernel)  # one number has become two


def pads(padding: int | str, kernel: int, dilation: int) -> Pair:
    """Return the numbers of zeros before and after an axis; "causal" puts all of them before."""
    more = spread(kernel, dilation) - 1
    if isinstance(padding, int):
        return padding, padding
    return (more, 0) if padding == "causal" else (more // 2, more - more // 2)


def check_same(padding: int | str, stride: int) -> None:
    """Raise ValueError if the padding is "same" where a stride makes another size: which zeros are meant is unsaid."""
    if padding == "same" and stride > 1:
        raise ValueError(
            f"padding 'same' keeps the size, which a stride of {stride} does not: give the number of zeros on each "
            "side, such as padding=kernel // 2"
        )


def check_groups(groups: int, inputs: int, outputs: int) -> None:
    """Raise ValueError if the channels cannot be divided into so many groups."""
    if inputs % groups or outputs % groups:
        raise ValueError(f"{groups} groups do not divide {inputs} inputs and {outputs} outputs")
