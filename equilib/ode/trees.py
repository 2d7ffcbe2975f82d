"""States of an integration that are trees: tuples, dicts and nests of arrays with one batch axis and one dtype.

Integrators see one array of shape (batch, size).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate, pairwise
from math import prod
from typing import Any

from equilib.arrays import (
    Array,
    Tree,
    array_namespace,
    is_array,
    leaves_like,
    named_leaves,
    tree_unflatten,
)
from equilib.fixed_points.arguments import check_state
from equilib.fixed_points.boundary import explain, is_traced
from equilib.ode.events import Event
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeSolution


class StateTree:
    """The way between a tree of arrays (batch, ...) and one array of shape (batch, size).

    Raises
    ------
    TypeError, ValueError
        If `y0` is none.
    """

    def __init__(self, y0: Tree) -> None:
        named = list(named_leaves(y0))
        if not any(is_array(leaf) or is_traced(leaf) for _, leaf in named):
            check_state(y0, "y0")
        for path, leaf in named:
            if not is_traced(leaf):
                check_state(leaf, f"y0 at '{path}'")
        self._paths = [path for path, _ in named]
        self._shapes = [tuple(leaf.shape) for _, leaf in named]
        self._dtype = named[0][1].dtype
        for path, leaf in named:
            if leaf.shape[:1] != self._shapes[0][:1] or not self._shapes[0] or leaf.dtype != self._dtype:
                raise ValueError(
                    f"y0 at '{path}' has the shape {tuple(leaf.shape)} and dtype {leaf.dtype}, at '{self._paths[0]}' "
                    f"{self._shapes[0]} and {self._dtype}: give all of it one batch axis, and one dtype"
                )
        self._like = tree_unflatten(y0, list(range(len(named))))
        ends = list(accumulate((prod(shape[1:]) for shape in self._shapes), initial=0))
        self._columns = list(pairwise(ends))
        self._axes = min(len(shape) for shape in self._shapes)

    def pack(self, tree: Tree) -> Array:
        """Return a tree like y0, traced or not, as one array of shape (batch, size)."""
        leaves = leaves_like(self._like, tree)
        xp = _functions(leaves)
        rows = [xp.reshape(leaf, (leaf.shape[0], prod(leaf.shape[1:]))) for leaf in leaves]
        return rows[0] if len(rows) == 1 else xp.concat(rows, axis=1)

    def unpack(self, packed: Array) -> Tree:
        """Return an array (..., batch, size), traced or not, as the tree of arrays (..., batch, ...)."""
        xp, lead = _functions([packed]), tuple(packed.shape[:-1])
        leaves = [
            xp.reshape(packed[..., first:last], lead + shape[1:])
            for (first, last), shape in zip(self._columns, self._shapes, strict=True)
        ]
        return tree_unflatten(self._like, leaves)

    def map_of(self, f: Callable[..., Tree]) -> Callable[..., Array]:
        """Return f(t, tree, *inputs) as a map of arrays; f's t has as many axes as the leaf with the fewest."""
        slope = lambda *arguments: self._checked(f(*arguments))  # noqa: E731
        return lambda t, y, *inputs: self.pack(self._called(slope, "f(t, y)", t, y, *inputs))

    def event(self, event: Event) -> Event:
        """Return the event of the packed state."""
        return event.of(lambda t, y, *inputs: self._called(event.g, "g(t, y)", t, y, *inputs))

    def _called(self, function: Callable[..., Any], call: str, t: Array, y: Array, *inputs: Tree) -> Any:
        time, state = self._time(t), self.unpack(y)
        try:
            return function(time, state, *inputs)
        except Exception as error:
            explain(
                error, call, f"t of shape {tuple(time.shape)} and y, a tree with {', '.join(map(repr, self._paths))}"
            )
            raise

    def _time(self, t: Array) -> Array:
        time: Array = _functions([t]).reshape(t, (t.shape[0],) + (1,) * (self._axes - 1))
        return time

    def problem(self, f: OdeProblem) -> OdeProblem:
        """Return the problem of the packed state; raises ValueError if its derivatives are not automatic."""
        if not f.automatic:
            raise ValueError("a state that is a tree needs automatic derivatives: leave out linearize, or pack it")
        return f.of(self.map_of(f.f), f.derivatives, *f.inputs)

    def solution(self, packed: OdeSolution) -> OdeSolution:
        """Return a solution whose y, trajectory and records of events are of trees."""
        dense = None if packed.dense is None else replace(packed.dense, tree=self)
        events = tuple(replace(each, y=self.unpack(each.y)) for each in packed.events)
        return replace(packed, y=self.unpack(packed.y), dense=dense, events=events)

    def _checked(self, slope: Tree) -> Tree:
        """Return what f returned; raises ValueError if it is not like y."""
        try:
            leaves = leaves_like(self._like, slope)
        except ValueError as error:
            raise ValueError(f"f must return a tree like y: {error}") from None
        for path, shape, leaf in zip(self._paths, self._shapes, leaves, strict=True):
            found = tuple(getattr(leaf, "shape", ())), getattr(leaf, "dtype", type(leaf).__name__)
            if found != (shape, self._dtype):
                raise ValueError(
                    f"f must keep the shape and dtype of y at '{path}': {shape}, {self._dtype} became "
                    f"{found[0]}, {found[1]}"
                )
        return slope


def is_tree(y0: object) -> bool:
    """Tell whether a state is a tree, not an array."""
    return isinstance(y0, dict | list | tuple)


def _functions(leaves: list[Any]) -> Any:
    """Return the module of functions for arrays, some of which may be traced."""
    if any(map(is_traced, leaves)):
        from equilib import ops  # deferred: what is traced has loaded it

        return ops
    return array_namespace(*leaves)
