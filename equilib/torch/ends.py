"""Ends of the graph of f: leaves to which cotangents go back through it, and no further.

Cotangents are asked for by `torch.autograd.grad`, together with Jᵀ·w. It runs the hooks of a tensor, which run once
more when its cotangent is handed on, and goes on into the graph of one that has a graph, maybe to another one that is
asked for. So an input with a graph has a leaf in its place, and what has hooks, or what f closes over and has a graph,
keeps f's graph linked to what was there before it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from equilib.torch.call import Call
from equilib.torch.closures import Edge, edge_of


def stand_ins(call: Call) -> list[Tensor]:
    """Return the leaves of a call, with leaves of their own in the places of inputs that have a graph or hooks."""
    replaced = {id(leaf) for leaf in call.leaves if leaf.grad_fn is not None or hooked(leaf)} & call.given
    if any(hooked(leaf) and id(leaf) not in replaced for leaf in call.leaves):
        return list(call.leaves)
    return [leaf.detach().requires_grad_() if id(leaf) in replaced else leaf for leaf in call.leaves]


def ends_of(edges: set[Edge], leaves: Sequence[Tensor]) -> list[Tensor | None] | None:
    """Return for each of the leaves itself if y depends on it, else None; no list where y depends on something else.

    The edges are those into y, which f returned, by `edges_into`.
    """
    mine = {edge_of(leaf): leaf for leaf in leaves if leaf.requires_grad and leaf.is_leaf and not hooked(leaf)}
    if edges - mine.keys():
        return None
    used = {id(mine[edge]) for edge in edges}
    return [leaf if id(leaf) in used else None for leaf in leaves]


def hooked(leaf: Tensor) -> bool:
    """Tell whether a leaf has hooks, which must run once for its gradient."""
    return bool(leaf._backward_hooks)
