"""The initial value problem y' = f(t, y): f, its linearization, and the count of every use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib.arrays import Array
from equilib.arrays.trees import Tree
from equilib.errors import NoDerivativeError
from equilib.fixed_points.boundary import checked, copied, evaluate, read_only, traced
from equilib.ode.flow import time_like


@dataclass(frozen=True, kw_only=True)
class OdeLinearization:
    """f near one point (t, y).

    `vjp(w)` is (∂f/∂y)ᵀ w; `pull(w)` is the pair of it and (∂f/∂inputs)ᵀ w, a tuple of trees, for one pass.
    """

    value: Array
    vjp: Callable[[Array], Array]
    pull: Callable[[Array], tuple[Array, tuple[Tree, ...]]]


class OdeProblem:
    """The equation y' = f(t, y, *inputs).

    Parameters
    ----------
    f : callable
        Maps a time, the state, shape (batch, ...), and the inputs to an array of the shape and dtype of the state. The
        time is an array that broadcasts against the state, shape (1, ..., 1), or (batch, 1, ..., 1) where samples step
        by themselves.
    inputs : trees of arrays
        What f depends on besides t and y (parameters); a sensitivity returns their cotangents.
    linearize : callable, optional
        `linearize(f, t, y, *inputs)` to an `OdeLinearization`; by default automatic differentiation.

    Attributes
    ----------
    nfe, nvjp : int
        Evaluations of f and of its pullbacks so far: calls on the whole batch.
    """

    def __init__(
        self,
        f: Callable[..., Array],
        *inputs: Tree,
        linearize: Callable[..., OdeLinearization] | None = None,
    ) -> None:
        self.f = f
        self.inputs = read_only(inputs)
        self._linearize = linearize or _autodiff_linearize
        self.nfe = self.nvjp = 0

    def fresh(self) -> OdeProblem:
        """Return the same problem with its counters at zero."""
        return OdeProblem(self.f, *self.inputs, linearize=self._linearize)

    def __call__(self, t: Array, y: Array) -> Array:
        """Evaluate f(t, y), in an array of its own; raises what `equilib.fixed_points.boundary.evaluate` does."""
        self.nfe += 1
        return copied(evaluate(self.f, y, *self.inputs, name="y", before=(t,)))

    def at(self, t: np.ndarray, y: Array) -> Array:
        """Evaluate f at the times t of the lanes, on the host, shape (lanes,)."""
        return self(time_like(t, y), y)

    def linearize(self, t: Array, y: Array) -> OdeLinearization:
        """Evaluate f(t, y), of the shape of y, once and keep what its pullbacks need; raises what `__call__` does."""
        self.nfe += 1
        try:
            linear = self._linearize(self.f, t, read_only(y), *self.inputs)
        except NoDerivativeError:
            evaluate(self.f, y, *self.inputs, name="y", before=(t,))  # where f itself is wrong, this says so
            raise
        checked(linear.value, y, name="y")

        def vjp(w: Array) -> Array:
            self.nvjp += 1
            return linear.vjp(w)

        def pull(w: Array) -> tuple[Array, tuple[Tree, ...]]:
            self.nvjp += 1
            return linear.pull(w)

        return OdeLinearization(value=linear.value, vjp=vjp, pull=pull)


def _autodiff_linearize(f: Callable[..., Array], t: Array, y: Array, *inputs: Tree) -> OdeLinearization:
    # Deferred: autograd is loaded by those who differentiate with it, not by `import equilib`.
    import equilib.ops  # noqa: F401  operators of traced arrays
    from equilib.autodiff import linearize

    linear = traced(
        linearize, lambda state, *rest: f(t, state, *rest), y, *inputs, instead="OdeProblem(..., linearize=...)"
    )
    everything = tuple(range(1 + len(inputs)))

    def pull(w: Array) -> tuple[Any, tuple[Tree, ...]]:
        first, *rest = linear.vjp(w, argnums=everything)
        return first, tuple(rest)

    return OdeLinearization(value=linear.value, vjp=lambda w: linear.vjp(w, argnums=(0,))[0], pull=pull)
