"""States of an integration that are trees, packed: integrators see one array of shape (batch, size)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from equilib.arrays import Array, Tree, is_tree
from equilib.fixed_points.packing import Packing, functions_for
from equilib.ode.events import Event
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeSolution


class StateTree(Packing):
    """The packing of y, whose maps have a time before it; a system without a batch axis is a batch of one.

    Raises
    ------
    TypeError, ValueError
        If `y0` is no tree of arrays (batch, ...).
    """

    def __init__(self, y0: Tree, *, batched: bool = True) -> None:
        super().__init__(y0, "y0", batched=batched)
        self._batched, self._fewest = batched, min(map(len, self.shapes))

    @classmethod
    def of(cls, y0: Tree, *, batched: bool = True) -> StateTree | None:
        """Return how y0 is packed; None where it is an array (batch, ...). Raises what the class does."""
        return None if batched and not is_tree(y0) else cls(y0, batched=batched)

    def pack(self, tree: Tree) -> Array:
        """Return a tree like the state, traced or not, as one array of shape (batch, size)."""
        packed = super().pack(tree)
        return packed if self._batched else packed[None, :]

    def unpack(self, packed: Array) -> Tree:
        """Return an array (..., batch, size), traced or not, as the tree of arrays (..., batch, ...)."""
        return super().unpack(packed if self._batched else packed[..., 0, :])

    def map_of(self, f: Callable[..., Tree]) -> Callable[..., Array]:
        """Return f(t, tree, *inputs) as a map of arrays; f's t has the axes of the leaf with the fewest, or none."""
        return lambda t, y, *inputs: self.pack(self.checked(self._at(f, "f(t, y)", t, y, *inputs), y))

    def event(self, event: Event) -> Event:
        """Return the event of the packed state."""

        def g(t: Array, y: Array, *inputs: Tree) -> Any:
            value = self._at(event.g, "g(t, y)", t, y, *inputs)
            return value if self._batched else functions_for([value]).reshape(value, (1,))

        return event.of(g)

    def _at(self, function: Callable[..., Any], call: str, t: Array, y: Array, *inputs: Tree) -> Any:
        shape = (t.shape[0],) + (1,) * (self._fewest - 1) if self._batched else ()
        time: Array = functions_for([t]).reshape(t, shape)
        return self.called(function, call, f"t of shape {tuple(time.shape)} and y", time, self.unpack(y), *inputs)

    def ode(self, f: OdeProblem) -> OdeProblem:
        """Return the problem of the packed state; raises ValueError if its derivatives are not automatic."""
        if not f.automatic:
            raise ValueError("a state that is a tree needs automatic derivatives: leave out linearize, or pack it")
        return f.of(self.map_of(f.f), f.derivatives, *f.inputs)

    def integrated(self, packed: OdeSolution) -> OdeSolution:
        """Return a solution whose y, trajectory and records of events are of trees."""
        dense = None if packed.dense is None else replace(packed.dense, tree=self)
        events = tuple(replace(each, y=self.unpack(each.y)) for each in packed.events)
        return replace(packed, y=self.unpack(packed.y), dense=dense, events=events)
