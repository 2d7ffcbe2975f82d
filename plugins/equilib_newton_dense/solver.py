"""Newton's method for z = f(z): (I − J) d = f(z) − z by LU, z ← z + λ d."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from equilib import Evaluator
from equilib.arrays import Array
from equilib.numerics.dense import dense_jacobian, identity_like, require_small, solve_dense
from equilib.numerics.line_search import NewtonPoint, line_search
from equilib.options import Checked, option


@dataclass(frozen=True)
class NewtonDenseState(NewtonPoint):
    """An iterate that f is linearized at; `failed` marks samples whose line search found no decrease."""

    failed: np.ndarray


@dataclass(frozen=True)
class NewtonDense(Checked):
    """Newton's method with the dense Jacobian of each sample and a line search (Kelley 1995, §§5, 8).

    For small states: a step takes one product J·v for each element of a sample. Where I − J is singular, the step is
    the shortest one that solves the linearized equation in the least-squares sense.
    """

    globalization: str = option(
        "line-search", help="choose the remedy for steps that increase the residual", choices=("line-search", "none")
    )
    backtracks: int = option(8, help="shorten a step so often before the sample is given up", minimum=0)
    largest: int = option(1000, help="refuse states of more elements; a matrix holds their number squared", minimum=1)

    def require_size(self, size: int) -> None:
        """Refuse samples of more elements than `largest`; raises StateTooLargeError."""
        require_small(size, self.largest, solver="newton-dense", instead="newton-gmres")

    def init(self, f: Evaluator, z0: Array) -> NewtonDenseState:
        """Linearize at the initial guess; raises StateTooLargeError if a sample has more than `largest` elements."""
        self.require_size(prod(z0.shape[1:]))
        return _state(NewtonPoint.at(f, z0), np.zeros(z0.shape[0], dtype=bool))

    def step(self, f: Evaluator, state: NewtonDenseState) -> NewtonDenseState:
        """Solve for the Newton step and go along it as far as the residual decreases."""
        J = dense_jacobian(state.linear)
        direction = solve_dense(identity_like(J) - J, state.residual, f.active)
        if self.globalization == "none":
            return _state(NewtonPoint.at(f, state.z + direction), np.zeros_like(state.failed))
        exact = np.zeros(state.norm.shape)
        return _state(*line_search(f, state, direction, forcing=exact, backtracks=self.backtracks))


def _state(point: NewtonPoint, failed: np.ndarray) -> NewtonDenseState:
    return NewtonDenseState(**vars(point), failed=failed)
