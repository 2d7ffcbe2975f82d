"""The models of Pal et al. (2022, arXiv:2201.12240) under their names; `docs/models.md` says what each is made of."""
# ruff: noqa: N802  these are constructors

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equilib.fixed_points.solver import Solver, WholeSolver
from equilib.layers import Fork
from equilib.layers.protocol import Layer
from equilib.models.cell import Cell
from equilib.models.deq import DeepEquilibrium
from equilib.models.initial_guess import InitialGuess, LayerGuess, OneStepGuess
from equilib.models.multiscale import MultiScaleCell
from equilib.models.neural_ode import CellODE
from equilib.ode.library import AnyIntegrator


def SkipDEQ(cell: Cell, guess: Layer, solver: str | Solver | WholeSolver, **settings: Any) -> DeepEquilibrium:
    """Make a deep equilibrium model whose solve starts at guess(x), a layer with parameters of its own.

    Settings are the other fields of `DeepEquilibrium`.
    """
    return DeepEquilibrium(cell, solver, LayerGuess(guess), **settings)


def SkipRegDEQ(cell: Cell, solver: str | Solver | WholeSolver, **settings: Any) -> DeepEquilibrium:
    """Make a deep equilibrium model whose solve starts at f(0, x); settings are those of `DeepEquilibrium`."""
    return DeepEquilibrium(cell, solver, OneStepGuess(), **settings)


def MultiScaleDEQ(cell: MultiScaleCell, solver: str | Solver | WholeSolver, **settings: Any) -> DeepEquilibrium:
    """Make a multiscale model whose solve starts at zero; settings are those of `DeepEquilibrium`.

    The `output` of its record is a tuple of arrays, one for each scale.
    """
    return DeepEquilibrium(cell, solver, **settings)


def MultiScaleSkipDEQ(
    cell: MultiScaleCell, solver: str | Solver | WholeSolver, guess: Sequence[Layer] | None = None, **settings: Any
) -> DeepEquilibrium:
    """Make a multiscale model whose solve starts at `guess[i](x)` in scale i, or at f(0, x) without such layers."""
    start: InitialGuess = OneStepGuess() if guess is None else LayerGuess(Fork(*guess))
    return DeepEquilibrium(cell, solver, start, **settings)


def MultiScaleNeuralODE(cell: MultiScaleCell, integrator: str | AnyIntegrator, **settings: Any) -> CellODE:
    """Make the neural ODE z' = f(z, x) − z of several scales; settings are the other fields of `CellODE`."""
    return CellODE(cell, integrator, **settings)
