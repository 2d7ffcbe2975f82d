"""Linear equations at a fixed point as functions of autograd, forward mode and `torch.func`, to any order.

The solution of x = A x + b, with A = J or Jᵀ at (z, θ), has dx = A dx + (db + dA x), and a cotangent c of it becomes
b̄ = y and the gradient of ⟨y, A x⟩ with respect to (z, θ), where y = Aᵀ y + c.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from equilib.torch.equation import Equation
from equilib.torch.transforms import in_forward_mode, primal, pulled, pushed


class Resolved(torch.autograd.Function):
    """The x of x = A x + b, shape (batch, size), with A = J or Jᵀ at z, of b, z and the leaves."""

    @staticmethod
    def forward(equation: Equation, transpose: bool, b: Tensor, z: Tensor, *leaves: Tensor) -> Tensor:  # noqa: FBT001
        """Solve."""
        return equation.resolve(b, z, leaves, transpose=transpose)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what derivatives need."""
        ctx.equation, ctx.transpose, _, z, *leaves = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(output, z, *leaves)
        ctx.save_for_forward(output, z, *leaves)

    @staticmethod
    def backward(ctx: Any, c: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return y = Aᵀ y + c, and the gradient of ⟨y, A x⟩ by z and the leaves."""
        x, z, *leaves = ctx.saved_tensors
        equation, transpose = ctx.equation, ctx.transpose
        if c is None:
            return (None,) * (4 + len(leaves))
        y = resolved(equation, c, z, leaves, transpose=not transpose)
        left, right = (x, y) if transpose else (y, x)
        bars = pulled(lambda z, *given: transposed_product(equation, left, z, given), (z, *leaves), right)
        return None, None, y, *bars

    @staticmethod
    def jvp(ctx: Any, _: Any, __: Any, b_dot: Tensor | None, z_dot: Tensor | None, *dots: Tensor | None) -> Tensor:
        """Return dx = A dx + (db + dA x)."""
        with in_forward_mode():
            return Resolved._pushed(ctx, b_dot, z_dot, dots)

    @staticmethod
    def _pushed(ctx: Any, b_dot: Tensor | None, z_dot: Tensor | None, dots: Sequence[Tensor | None]) -> Tensor:
        x, z, *leaves = map(primal, ctx.saved_tensors)
        equation, transpose = ctx.equation, ctx.transpose

        def product(z: Tensor, *given: Tensor) -> Tensor:
            if transpose:
                return transposed_product(equation, x, z, given)
            found = pushed(lambda z: equation.value(z, given, strict=True), (z,), (x,))
            return torch.zeros_like(z) if found is None else found

        moved = pushed(product, (z, *leaves), (z_dot, *dots))
        b = [each for each in (b_dot, moved) if each is not None]
        return resolved(equation, sum(b[1:], b[0]), z, leaves, transpose=transpose) if b else torch.zeros_like(x)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], equation: Equation, transpose: Any, *of: Tensor) -> Any:
        """Solve all of them as one batch."""
        inner, (b, z), moved = folded(equation, info, in_dims[2:4], of[:2], in_dims[4:], of[2:])
        x = Resolved.apply(inner, transpose, b, z, *moved)
        return unfolded(x, info, of[0], in_dims[2]), 0


def resolved(equation: Equation, b: Tensor, z: Tensor, leaves: Sequence[Tensor], *, transpose: bool) -> Tensor:
    """Return x = A x + b, shape (batch, size), as a function of b, z and the leaves."""
    found: Tensor = Resolved.apply(equation, transpose, b, z, *leaves)
    return found


def transposed_product(equation: Equation, w: Tensor, z: Tensor, leaves: Sequence[Tensor]) -> Tensor:
    """Return Jᵀ w at z, both of shape (batch, size)."""
    found = pulled(lambda z: equation.value(z, leaves, strict=True), (z,), w)[0]
    return torch.zeros_like(z) if found is None else found


class Mappable(Protocol):
    """**Protocol:** an equation of which several can be solved side by side."""

    def over(self, lanes: int, dims: Sequence[int | None], randomness: str) -> Self:
        """Return that of `lanes` batches in a row, with leaves of which some have an axis of lanes in front."""


M = TypeVar("M", bound=Mappable)


def unfolded(rows: Tensor, info: Any, state: Tensor, dim: int | None, axis: int = 0) -> Tensor:
    """Return rows, whose `axis` is (lanes · batch), with lanes and batch apart, for a state with lanes at `dim`."""
    batch = state.shape[int(dim == 0)]
    return rows.reshape(*rows.shape[:axis], info.batch_size, batch, *rows.shape[axis + 1 :])


def folded(
    equation: M,
    info: Any,
    axes: Sequence[int | None],
    states: Sequence[Tensor],
    dims: Sequence[int | None],
    leaves: Sequence[Tensor],
) -> tuple[M, list[Tensor], list[Tensor]]:
    """Return the equation of all lanes, states of shape (lanes · batch, size), and leaves with lanes in front."""
    lanes = info.batch_size
    rows = []
    for state, axis in zip(states, axes, strict=True):
        whole = state.expand(lanes, *state.shape) if axis is None else state.movedim(axis, 0)
        rows.append(whole.reshape(lanes * whole.shape[1], whole.shape[2]))
    moved = [leaf if axis is None else leaf.movedim(axis, 0) for leaf, axis in zip(leaves, dims, strict=True)]
    inner = equation.over(lanes, [None if axis is None else 0 for axis in dims], info.randomness)
    return inner, rows, moved
