"""Layers by the statistics of a batch, and the running statistics that move with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from equilib.arrays import Array, Tree
from equilib.layers.composite import map_children


def observing(layer: Any, params: Tree, x: Array) -> tuple[Any, Tree]:
    """Return layer(params, x), x of shape (batch, ...), by statistics of this batch, and the parameters with them.

    A `BatchNorm` uses the batch, in containers, and before and after the equilibrium of a `DEQChain` or the integration
    of an `ODEChain`; other layers are what they are. The parameters differ in the running statistics alone, with
    respect to which the derivative is zero.

    Raises ValueError if there is a `BatchNorm` elsewhere, as in the cell of an equilibrium, or in a class of one's own
    that has no `observe`.
    """
    if hasattr(layer, "observe"):
        found: tuple[Any, Tree] = layer.observe(params, x)
        return found
    refuse_observed(layer, type(layer).__name__, "give it a method observe(params, x), as Chain has it")
    return layer(params, x), params


def refuse_observed(layer: Any, where: str, instead: str) -> None:
    """Raise ValueError, which says where it is and what to do instead, if a layer in `layer` would use the batch."""
    if observes(layer):
        raise ValueError(f"a BatchNorm in {where} cannot use the statistics of a batch: {instead}")


def observes(layer: Any) -> bool:
    """Tell whether a layer, or one that it is made of, has an `observe` that moves statistics."""
    return _observes(layer, set())


def _observes(layer: Any, seen: set[int]) -> bool:
    if id(layer) in seen or isinstance(layer, type) or not hasattr(layer, "init"):
        return False
    seen.add(id(layer))
    parts = list(_parts(layer))
    if parts or hasattr(layer, "children"):
        return any(_observes(part, seen) for part in parts)
    return hasattr(layer, "observe")


def _parts(layer: Any) -> Iterator[Any]:
    """Yield what a layer is made of: its children, or what it holds that has parameters."""
    if hasattr(layer, "children"):
        found: list[Any] = []
        map_children(found.append, layer.children())
        yield from found
        return
    for held in getattr(layer, "__dict__", {}).values():
        several = held.values() if isinstance(held, dict) else held if isinstance(held, list | tuple) else (held,)
        yield from (each for each in several if hasattr(each, "init") and not isinstance(each, type))
