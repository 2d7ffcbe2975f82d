"""Linearizations of f by PyTorch's autograd, on the arrays of a solver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from equilib.arrays import Array
from equilib.fixed_points.linearization import Linearization
from equilib.torch.bridge import Bridge

InputsVjp = Callable[[Tensor], tuple[Any, ...]]


def linearization(
    bridge: Bridge, z: Tensor, y: Tensor, inputs_vjp: InputsVjp, leaves: Sequence[Tensor] = ()
) -> Linearization:
    """Return the products with the derivative of y by z, both of shape (batch, size), in whose graph z is a leaf.

    With the leaves that `inputs_vjp` is of, Jᵀ·w and their cotangents come in one pass as well. J·v goes back through
    the graph of Jᵀ·u, which is linear in u and is made once.
    """
    twice: list[Tensor] = []
    depends = y.requires_grad

    def vjp(w: Array) -> Array:
        if not depends:
            return bridge.array(torch.zeros_like(z))
        (found,) = torch.autograd.grad(y, z, bridge.tensor(w), retain_graph=True, allow_unused=True)
        return bridge.array(torch.zeros_like(z) if found is None else found)

    def jvp(v: Array) -> Array:
        if depends and not twice:
            with torch.enable_grad():
                u = torch.zeros_like(y, requires_grad=True)
                back = torch.autograd.grad(y, z, u, create_graph=True, allow_unused=True)[0]
            twice.extend((u, back) if back is not None else ())
        if not twice:
            return bridge.array(torch.zeros_like(z))
        found = torch.autograd.grad(twice[1], twice[0], bridge.tensor(v), retain_graph=True, allow_unused=True)[0]
        return bridge.array(torch.zeros_like(z) if found is None else found)

    def both_vjps(w: Array) -> tuple[Array, tuple[Any, ...]]:
        first, *rest = of_leaves(y, (z, *leaves))(bridge.tensor(w))
        return bridge.array(first), tuple(rest)

    return Linearization(
        value=bridge.array(y),
        jvp=jvp,
        vjp=vjp,
        inputs_vjp=lambda w: inputs_vjp(bridge.tensor(w)),
        both_vjps=both_vjps if leaves else None,
    )


def of_leaves(y: Tensor, leaves: Sequence[Tensor]) -> InputsVjp:
    """Return the map of w to the cotangents of leaves of the graph of y, zeros where it does not depend on them."""
    wanted = [leaf for leaf in leaves if leaf.requires_grad]

    def inputs_vjp(w: Tensor) -> tuple[Any, ...]:
        found = iter(
            torch.autograd.grad(y, wanted, w, retain_graph=True, allow_unused=True)
            if wanted and y.requires_grad
            else [None] * len(wanted)
        )
        bars = [next(found) if leaf.requires_grad else None for leaf in leaves]
        return tuple(torch.zeros_like(leaf) if bar is None else bar for leaf, bar in zip(leaves, bars, strict=True))

    return inputs_vjp
