"""The initial value problem y' = f(t, y): f, its inputs and its derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from equilib.arrays import Array, Tree
from equilib.fixed_points.problem import Linearization, Map, Problem, autodiff_linearize
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
    differentiable: ClassVar[bool] = True
    """Whether there are products J·v: not of an adjoint equation."""

    def __init__(self, f: Map, *inputs: Tree, linearize: Callable[..., Linearization] | None = None) -> None:
        super().__init__(f, *inputs, linearize=linearize or _autodiff_linearize)

    @property
    def automatic(self) -> bool:
        """Whether the derivatives are those of automatic differentiation."""
        return self.derivatives is _autodiff_linearize

    def at(self, t: np.ndarray, y: Array) -> Array:
        """Evaluate f at the times t of the lanes, on the host, shape (lanes,)."""
        return self(time_like(t, y), y)

    def linearize_at(self, t: np.ndarray, y: Array) -> Linearization:
        """Linearize f in y and the inputs at the times t of the lanes, shape (lanes,), as `linearize` does."""
        return self.linearize(time_like(t, y), y)


def _autodiff_linearize(f: Map, t: Array, y: Array, *inputs: Tree) -> Linearization:
    return autodiff_linearize(
        lambda state, *rest: f(t, state, *rest), y, *inputs, instead="OdeProblem(..., linearize=...)"
    )
