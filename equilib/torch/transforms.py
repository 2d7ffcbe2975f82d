"""Products with the derivative of a function of tensors, which can be differentiated again, in every mode of PyTorch.

PyTorch has two ways to differentiate: autograd's graph, and the transforms of `torch.func`, in which no graph may be
made by hand. Each is taken where it is in use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from equilib.errors import NoDerivativeError

Function = Callable[..., Tensor]


BATCHED = (
    "cotangents are not mapped over by is_grads_batched, vectorize=True or check_batched_grad here: take "
    "torch.func.jacrev or torch.func.vmap"
)


def require_unbatched(g: Tensor) -> None:
    """Raise `NoDerivativeError` for a cotangent, any shape, of PyTorch's older way to map, which has no rules."""
    if torch._C._functorch.is_legacy_batchedtensor(g):
        raise NoDerivativeError(BATCHED)


def transformed() -> bool:
    """Tell whether a transform of `torch.func` is at work."""
    return bool(torch._C._are_functorch_transforms_active())


def dual() -> bool:
    """Tell whether forward mode is at work, so that tensors may have tangents."""
    return forward_ad._current_level >= 0


def tangent_of(tensor: Tensor) -> Tensor | None:
    """Return the tangent of a tensor in forward mode, any shape, None where it has none."""
    return forward_ad.unpack_dual(tensor).tangent if dual() and not transformed() else None


def in_forward_mode() -> AbstractContextManager[Any]:
    """Return a block in which tangents are followed, which PyTorch does not do where a function tells its own."""
    return forward_ad._set_fwd_grad_enabled(True)  # noqa: FBT003  it has no name


def primal(tensor: Tensor) -> Tensor:
    """Return a tensor, any shape, without the tangent that it has at this level."""
    if not dual():
        return tensor
    with torch.enable_grad():  # it is a view, which else would require grad and have no graph
        return forward_ad.unpack_dual(tensor).primal


def graph_copy(tensor: Tensor) -> Tensor:
    """Return the tensor, any shape, as one of which partial derivatives can be taken, and derivatives of these."""
    if tensor.layout is torch.strided:
        copy = tensor.view_as(tensor)
    else:  # of a sparse one there are no views
        copy = tensor.clone() if tensor.requires_grad else tensor.detach()
    return copy if copy.requires_grad else copy.requires_grad_()


def pulled(f: Function, at: Sequence[Tensor], w: Tensor) -> list[Tensor | None]:
    """Return (∂f/∂x)ᵀ·w for each x of `at`, each of the shape of x; None where f does not depend on it.

    They are differentiable in `at` and in w.
    """
    if transformed():
        return list(torch.func.vjp(f, *at)[1](w))
    again = torch.is_grad_enabled() or dual()
    with torch.enable_grad():
        copies = [graph_copy(each) if differentiable(each) else each for each in at]
        wanted = [each for each in copies if each.requires_grad]
        y = f(*copies)
        if not y.requires_grad:
            return [None] * len(copies)
        found = iter(torch.autograd.grad(y, wanted, w, create_graph=again, allow_unused=True))
    return [next(found) if each.requires_grad else None for each in copies]


def pushed(f: Function, at: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> Tensor | None:
    """Return ∂f/∂x·v summed over `at`, of the shape of f; None for a tangent is zero. It is differentiable as well."""
    known = [number for number, each in enumerate(tangents) if each is not None]
    if not known:
        return None

    def of_known(*some: Tensor) -> Tensor:
        everything = list(at)
        for number, each in zip(known, some, strict=True):
            everything[number] = each
        return f(*everything)

    points, moves = [at[number] for number in known], [tangents[number] for number in known]
    if transformed():
        pushed: Tensor = torch.func.jvp(of_known, tuple(points), tuple(moves))[1]
        return pushed
    # J v is the derivative of Jᵀ u by u, which is linear.
    again = torch.is_grad_enabled() or dual()
    with torch.enable_grad():
        copies = [graph_copy(each) for each in points]
        y = of_known(*copies)
        u = torch.zeros_like(y, requires_grad=True)
        back = torch.autograd.grad(y, copies, u, create_graph=True, allow_unused=True)
        used = [(bar, move) for bar, move in zip(back, moves, strict=True) if bar is not None]
        if not used:
            return None
        bars, along = zip(*used, strict=True)
        (found,) = torch.autograd.grad(bars, u, along, create_graph=again, allow_unused=True)
    return found if found is None or again else found.detach()


def next_node() -> int:
    """Return the number that the next node of a graph has: those made by a thread have ascending numbers."""
    with torch.enable_grad():
        probe = torch.zeros((), requires_grad=True).view(())
    number: int = probe.grad_fn._sequence_nr()
    return number


def state_leaf(state: Tensor) -> Tensor:
    """Return a state, any shape, as a leaf of a new graph, which `is_leaf_since` knows."""
    leaf = state.detach().requires_grad_()
    leaf.leaf_of_equilib = next_node()
    return leaf


def is_leaf_since(tensor: Tensor, first: int) -> bool:
    """Tell whether `state_leaf` made a leaf when nodes had numbers from `first`.

    A solve inside of the f that is evaluated since then depends on it, and nothing outside does. An older one is the
    state of a solve outside: what f closes over.
    """
    number: int = getattr(tensor, "leaf_of_equilib", -1)
    return number >= first


def normal(tensor: Tensor) -> Tensor:
    """Return a tensor, any shape, of which graphs can be made: a copy of one that was made in inference mode."""
    return tensor.clone() if tensor.is_inference() else tensor


def differentiable(tensor: Tensor) -> bool:
    """Tell whether a tensor can have a derivative."""
    return tensor.is_floating_point() or tensor.is_complex()
