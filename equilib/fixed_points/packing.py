"""States that are trees, packed into the one array that solvers and integrators see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate, pairwise
from math import prod
from typing import Any

from equilib.arrays import Array, Tree, array_namespace, is_array, is_tree, leaves_like, named_leaves, tree_unflatten
from equilib.fixed_points.arguments import check_state
from equilib.fixed_points.boundary import explain, is_traced
from equilib.fixed_points.linearization import Linearization, Products
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution
from equilib.options.kinds import described


class Packing:
    """The way between a tree of arrays (batch, ...), of one dtype, and one array of shape (batch, size).

    Parameters
    ----------
    like : tree of arrays
        A state; its leaves may be traced.
    name : str
        What the user calls it.
    batched : bool
        False where its leaves have no batch axis: the array is then of shape (size,).

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """

    def __init__(self, like: Tree, name: str, *, batched: bool = True) -> None:
        named = list(named_leaves(like))
        if not any(is_array(leaf) or is_traced(leaf) for _, leaf in named):
            held = f" with {described(named[0][1])} at {named[0][0]!r}" if named else ""
            raise TypeError(
                f"{name} must be an array, such as np.zeros((batch, features)), or a tree of arrays, got "
                f"{described(like)}{held}"
            )
        for path, leaf in named:
            if not is_traced(leaf):
                check_state(leaf, _at(name, path))
        self.name, self.axes = name, int(batched)
        self.paths = [path for path, _ in named]
        self.shapes = [tuple(leaf.shape) for _, leaf in named]
        self.dtype = named[0][1].dtype
        for path, leaf in named:
            alike = not batched or (self.shapes[0] and leaf.shape[:1] == self.shapes[0][:1])
            if not alike or leaf.dtype != self.dtype:
                raise ValueError(
                    f"{name} at '{path}' has the shape {tuple(leaf.shape)} and dtype {leaf.dtype}, at "
                    f"'{self.paths[0]}' {self.shapes[0]} and {self.dtype}: give all of it "
                    f"{'one batch axis, and ' if batched else ''}one dtype"
                )
        self._like = tree_unflatten(like, list(range(len(named))))
        ends = list(accumulate((prod(shape[self.axes :]) for shape in self.shapes), initial=0))
        self._columns = list(pairwise(ends))

    def pack(self, tree: Tree) -> Array:
        """Return a tree like the state, traced or not, as one array of shape (batch, size)."""
        leaves = leaves_like(self._like, tree)
        xp = functions_for(leaves)
        rows = [xp.reshape(leaf, (*leaf.shape[: self.axes], prod(leaf.shape[self.axes :]))) for leaf in leaves]
        return rows[0] if len(rows) == 1 else xp.concat(rows, axis=self.axes)

    def unpack(self, packed: Array) -> Tree:
        """Return an array (..., batch, size), traced or not, as the tree of arrays (..., batch, ...)."""
        xp, lead = functions_for([packed]), tuple(packed.shape[:-1])
        leaves = [
            xp.reshape(packed[..., first:last], lead + shape[self.axes :])
            for (first, last), shape in zip(self._columns, self.shapes, strict=True)
        ]
        return tree_unflatten(self._like, leaves)

    def map_of(self, f: Callable[..., Tree]) -> Callable[..., Array]:
        """Return f(tree, *inputs) as a map of arrays."""

        def packed(z: Array, *inputs: Tree) -> Array:
            return self.pack(self.checked(self.called(f, "f(z)", "z", self.unpack(z), *inputs), z))

        return packed

    def called(self, function: Callable[..., Any], call: str, given: str, *arguments: Any) -> Any:
        """Return what a user's function returns; an error in it has a note about what it was `given`, and its tree."""
        try:
            return function(*arguments)
        except Exception as error:
            explain(error, call, f"{given}, a tree with {', '.join(map(repr, self.paths))}")
            raise

    def checked(self, returned: Tree, packed: Array) -> Tree:
        """Return what f returned at a state; raises ValueError if it is not like that."""
        state, lead = self.name.rstrip("0"), tuple(packed.shape[: self.axes])
        try:
            leaves = leaves_like(self._like, returned)
        except ValueError as error:
            raise ValueError(f"f must return a tree like {state}: {error}") from None
        for path, shape, leaf in zip(self.paths, self.shapes, leaves, strict=True):
            expected = lead + shape[self.axes :], self.dtype
            found = tuple(getattr(leaf, "shape", ())), getattr(leaf, "dtype", type(leaf).__name__)
            if found != expected:
                raise ValueError(
                    f"f must keep the shape and dtype of {_at(state, path)}: {expected[0]}, {expected[1]} became "
                    f"{found[0]}, {found[1]}"
                )
        return returned

    def problem(self, problem: FixedPointProblem) -> FixedPointProblem:
        """Return the problem of the packed state."""
        return problem.of(self.map_of(problem.f), self._derivatives(problem), *problem.inputs)

    def _derivatives(self, problem: FixedPointProblem) -> Callable[..., Linearization]:
        given = problem.derivatives
        if problem.automatic:
            return given
        if isinstance(given, Products):
            return Products(self._product(given.jvp), self._product(given.vjp), self._pull(given.inputs_vjp))

        def linearize(_: object, z: Array, *inputs: Tree) -> Linearization:
            inner = given(problem.f, self.unpack(z), *inputs)
            pull, push = inner.both_vjps, inner.inputs_jvp
            return replace(
                inner,
                value=self.pack(self.checked(inner.value, z)),
                jvp=lambda v: self.pack(inner.jvp(self.unpack(v))),
                vjp=lambda w: self.pack(inner.vjp(self.unpack(w))),
                inputs_vjp=lambda w: inner.inputs_vjp(self.unpack(w)),
                both_vjps=None if pull is None else lambda w: self._both(pull(self.unpack(w))),
                inputs_jvp=None if push is None else lambda tangents: self.pack(push(tangents)),
            )

        return linearize

    def _product(self, product: Callable[..., Tree] | None) -> Callable[..., Array] | None:
        return product and (lambda z, v, *inputs: self.pack(product(self.unpack(z), self.unpack(v), *inputs)))

    def _pull(self, pull: Callable[..., Any] | None) -> Callable[..., Any] | None:
        return pull and (lambda z, w, *inputs: pull(self.unpack(z), self.unpack(w), *inputs))

    def _both(self, pulled: tuple[Tree, tuple[Tree, ...]]) -> tuple[Array, tuple[Tree, ...]]:
        return self.pack(pulled[0]), pulled[1]

    def solution(self, packed: Solution) -> Solution:
        """Return a solution whose arrays like the state are trees; the solver's state stays packed."""
        z0, z, residual = map(self.unpack, (packed.z0, packed.z, packed.residual))
        return replace(packed, z0=z0, z=z, residual=residual)


def _at(name: str, path: str) -> str:
    return f"{name} at '{path}'" if path else name


def packing_of(state: Tree, name: str, *, batched: bool = True) -> Packing | None:
    """Return how a state that is a tree is packed, None where it is an array; raises what `Packing` does."""
    return Packing(state, name, batched=batched) if is_tree(state) else None


def packed(packing: Packing | None, state: Tree | None) -> Array | None:
    """Return a state packed, where it is a tree."""
    return state if packing is None or not is_tree(state) else packing.pack(state)


def functions_for(leaves: list[Any]) -> Any:
    """Return the module of functions for arrays, some of which may be traced."""
    if any(map(is_traced, leaves)):
        from equilib import ops  # deferred: what is traced has loaded it

        return ops
    return array_namespace(*leaves)
