"""The initial value problem y' = f(t, y): f, its inputs and its derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from equilib.arrays import Array, Tree, array_namespace, tree_leaves, tree_unflatten
from equilib.fixed_points.boundary import is_traced
from equilib.fixed_points.linearization import Linearization, Map, autodiff_linearize
from equilib.fixed_points.problem import Problem
from equilib.ode.flow import time_like


@dataclass(frozen=True, init=False, repr=False, eq=False)
class OdeProblem(Problem):
    """The equation y' = f(t, y, *inputs): what is asked, which no integration changes.

    Parameters
    ----------
    f : callable
        Maps a time, the state, shape (batch, ...), and the inputs to an array of the shape and dtype of the state. The
        time is an array that broadcasts against the state, shape (1, ..., 1), or (batch, 1, ..., 1) where samples step
        by themselves.
    inputs : trees of arrays
        What f depends on besides t and y (parameters); a sensitivity returns their cotangents.
    linearize : callable, optional
        `linearize(f, t, y, *inputs)` to the `Linearization` of f in y and the inputs; by default automatic
        differentiation.
    """

    state: ClassVar[str] = "y"
    arguments: ClassVar[tuple[str, ...]] = ("t", "y")
    differentiable: ClassVar[bool] = True
    """Whether there are products J·v: not of an adjoint equation."""

    def __init__(self, f: Map, *inputs: Tree, linearize: Callable[..., Linearization] | None = None) -> None:
        super().__init__(f, *inputs, linearize=_autodiff_linearize if linearize is None else linearize)

    @property
    def automatic(self) -> bool:
        """Whether the derivatives are those of automatic differentiation."""
        return self.derivatives is _autodiff_linearize

    @property
    def fine(self) -> bool:
        """Whether f is given times of float64 whatever the dtype of y: see `with_fine_times`."""
        return isinstance(self.f, _InDtypeOfState)

    def with_fine_times(self, *, fine: bool = True) -> OdeProblem:
        """Return the problem whose f is given times in float64, and whose slopes are in the dtype of y even so."""
        return self.of(_InDtypeOfState(self.f), self.derivatives, *self.inputs) if fine > self.fine else self

    def time(self, t: np.ndarray, y: Array) -> Array:
        """Return times of the lanes, on the host, shape (lanes,), as f takes them beside y."""
        return time_like(t, y, fine=self.fine)

    def at(self, t: np.ndarray, y: Array) -> Array:
        """Evaluate f at the times t of the lanes, on the host, shape (lanes,)."""
        return self(self.time(t, y), y)

    def longest_step(self, t: np.ndarray, largest: float | None) -> float | None:
        """Return how long a step from the times t of the lanes, shape (lanes,), may be: no longer than the option."""
        return largest

    def linearize_at(self, t: np.ndarray, y: Array) -> Linearization:
        """Linearize f in y and the inputs at the times t of the lanes, shape (lanes,), as `linearize` does."""
        return self.linearize(self.time(t, y), y)

    def linearize(self, *at: Array) -> Linearization:
        """Evaluate f once and keep what J·v and Jᵀ·w need; raises as `Problem.linearize` does."""
        if not self.fine:
            return super().linearize(*at)

        def derivatives(*arguments: Any) -> Linearization:
            return in_dtypes(self.derivatives(*arguments), at[-1], self.inputs)

        return Problem.linearize(self.of(self.f, derivatives, *self.inputs), *at)


class _InDtypeOfState:
    """A map (t, y, *inputs) to f in the dtype of y, to which times of float64 have not spread."""

    def __init__(self, f: Map) -> None:
        self.f = f

    def __call__(self, t: Array, y: Array, *inputs: Tree) -> Array:
        value, dtype = self.f(t, y, *inputs), y.dtype
        if getattr(value, "dtype", dtype) == dtype or value.dtype != t.dtype:
            return value
        if not is_traced(value):
            return array_namespace(value).astype(value, dtype)
        from equilib.ops.elementwise import astype

        return astype(value, dtype)


def in_dtypes(linear: Linearization, y: Array, inputs: tuple[Tree, ...]) -> Linearization:
    """Return the linearization with all it returns in the dtypes of y and of the inputs."""

    def like(given: Tree, of: Tree) -> Tree:
        kept = (
            leaf if leaf.dtype == its.dtype else array_namespace(leaf).astype(leaf, its.dtype)
            for leaf, its in zip(tree_leaves(given), tree_leaves(of), strict=True)
        )
        return tree_unflatten(of, list(kept))

    def pull(w: Array) -> tuple[Array, tuple[Tree, ...]]:
        y_bar, inputs_bar = linear.pull(w)
        return like(y_bar, y), like(inputs_bar, inputs)

    return replace(
        linear,
        value=like(linear.value, y),
        jvp=lambda v: like(linear.jvp(v), y),
        vjp=lambda w: like(linear.vjp(w), y),
        inputs_vjp=lambda w: like(linear.inputs_vjp(w), inputs),
        both_vjps=pull,
    )


def _autodiff_linearize(f: Map, t: Array, y: Array, *inputs: Tree) -> Linearization:
    return autodiff_linearize(
        lambda state, *rest: f(t, state, *rest), y, *inputs, instead="OdeProblem(..., linearize=...)"
    )
