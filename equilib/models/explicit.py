"""Prediction by the initial guess alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib.arrays import Array, array_namespace
from equilib.autodiff import static_value
from equilib.layers.prepare import with_draws
from equilib.models.deq import DeepEquilibrium
from equilib.models.drawn_cell import for_pass, joins
from equilib.models.equilibrium import Equilibrium
from equilib.models.initial_guess import ZeroGuess
from equilib.solution import Status
from equilib.trees import Tree


@dataclass(frozen=True)
class Explicit:
    """The initial guess of a deep equilibrium model as its output: nothing is solved (Pal et al. 2022, §3).

    It is worth something where training drew the guess to the fixed point. Its record has `MAX_STEPS` as every status,
    since no step was taken, and nan as residual, since f was not evaluated; `nfe` is 0 for a `LayerGuess`.

    Raises
    ------
    ValueError
        If the guess is zero for every input.
    """

    deq: DeepEquilibrium

    def __post_init__(self) -> None:
        if isinstance(self.deq.initial_guess, ZeroGuess):
            raise ValueError("a zero guess predicts nothing: train the model with a LayerGuess or a OneStepGuess")

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the model's parameters."""
        return self.deq.init(rng)

    def __call__(self, params: Tree, x: Array, *, rng: np.random.Generator | None = None) -> Equilibrium:
        """Return the initial guess for each sample of x."""
        guess = self.deq.initial_guess
        cell, own = for_pass(self.deq.cell, params["cell"], x, rng)
        z0 = guess(with_draws(guess, params["initial_guess"], x, rng), cell, own, x, cell.inject(own, x))
        value, several = static_value(z0), joins(cell)
        return Equilibrium(
            z_star=z0,
            u0=z0,
            residual=array_namespace(value).full_like(value, float("nan")),
            residual_norm=np.full(value.shape[0], np.nan),
            status=(Status.MAX_STEPS,) * value.shape[0],
            nfe=guess.nfe,
            split=None if several is None else several.split,
        )
