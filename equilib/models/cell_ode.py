"""A cell followed for a finite time, instead of to its fixed point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from equilib import ops
from equilib.arrays import Array
from equilib.layers.prepare import with_draws
from equilib.models.cell import Cell
from equilib.models.drawn_cell import for_pass, joins
from equilib.models.initial_guess import InitialGuess, ZeroGuess
from equilib.models.neural_ode import Evolution, evolve
from equilib.ode.library import AnyIntegrator
from equilib.ode.sensitivity import Interpolating, OdeSensitivity
from equilib.ode.solution import OdeOptions
from equilib.trees import Tree


@dataclass(frozen=True)
class CellODE:
    """z(t₁) of z' = f(z, x) − z, whose steady state is the fixed point of f; z(t₀) is the initial guess.

    With a `MultiScaleCell` it is the multiscale neural ODE (Pal et al. 2022, arXiv:2201.12240). The parameters are
    those of a `DeepEquilibrium` with the same cell and guess.

    Parameters
    ----------
    cell : Cell
    integrator : Integrator
    initial_guess : InitialGuess
    sensitivity : OdeSensitivity
        How the backward pass is done.
    options : OdeOptions
        Tolerances and limits.
    span : pair of float
        t₀ and t₁.
    """

    cell: Cell
    integrator: AnyIntegrator
    initial_guess: InitialGuess = field(default_factory=ZeroGuess)
    sensitivity: OdeSensitivity = field(default_factory=Interpolating)
    options: OdeOptions = field(default_factory=OdeOptions)
    span: tuple[float, float] = (0.0, 1.0)

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of the cell and of the initial guess."""
        return {"cell": self.cell.init(rng), "initial_guess": self.initial_guess.init(rng)}

    def __call__(self, params: Tree, x: Array, *, rng: np.random.Generator | None = None) -> Array:
        """Return z(t₁), for a cell of several scales the tuple of them.

        Raises
        ------
        IntegrationError
            If the options say so and some sample did not reach t₁.
        """
        return self.evolve(params, x, self.span, rng=rng).output

    def evolve(
        self, params: Tree, x: Array, t: Sequence[float], *, rng: np.random.Generator | None = None
    ) -> Evolution:
        """Return z at the times t, with the record of the integration; raises as a call does."""
        cell, own = for_pass(self.cell, params["cell"], x, rng)
        u = cell.inject(own, x)
        z0 = self.initial_guess(with_draws(self.initial_guess, params["initial_guess"], x, rng), cell, own, x, u)
        found = evolve(
            lambda time, z, own, u: ops.subtract(cell.step(own, z, u), z),
            z0,
            t,
            self.integrator,
            own,
            u,
            sensitivity=self.sensitivity,
            options=self.options,
        )
        several = joins(cell)
        return replace(found, split=None if several is None else several.split)
