"""Layers by the statistics of a batch, and the running statistics that move with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from equilib.arrays import Array, Tree
from equilib.layers.held import layers_in

_used: ContextVar[list[Any] | None] = ContextVar("_used", default=None)


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
    with unobserved(layer, type(layer).__name__, "give it a method observe(params, x), as Chain has it"):
        return layer(params, x), params


@contextmanager
def unobserved(layer: Any, where: str, instead: str) -> Iterator[None]:
    """Run what calls `layer` in training: whatever is in it sees no batch.

    Raises ValueError, which says where it is and what to do instead, if a layer in it would use the batch, before; or
    behind, if one turned up that nobody could see.
    """
    message = f"a BatchNorm in {where} cannot use the statistics of a batch: {instead}"
    if observes(layer):
        raise ValueError(message)
    with running_statistics() as used:
        yield
    if used:
        raise ValueError(message)


@contextmanager
def running_statistics() -> Iterator[list[Any]]:
    """Yield a list of the layers that are called, meanwhile, by running statistics."""
    found: list[Any] = []
    token = _used.set(found)
    try:
        yield found
    finally:
        _used.reset(token)


def note_running(layer: Any) -> None:
    """Take note that a layer is called by its running statistics: no search through objects finds what a call does."""
    found = _used.get()
    if found is not None:
        found.append(layer)


def observes(layer: Any) -> bool:
    """Tell whether a layer, or one that it is made of, has an `observe` that moves statistics."""
    return _observes(layer, set())


def _observes(layer: Any, seen: set[int]) -> bool:
    if id(layer) in seen or isinstance(layer, type) or not hasattr(layer, "init"):
        return False
    seen.add(id(layer))
    parts = layers_in(layer)
    if parts or hasattr(layer, "children"):
        return any(_observes(part, seen) for part in parts)
    return hasattr(layer, "observe")
