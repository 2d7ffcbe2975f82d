"""A network with one integration in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from equilib.arrays import Array
from equilib.layers.prepare import with_draws
from equilib.models.cell_ode import CellODE
from equilib.models.neural_ode import Evolution, NeuralODE
from equilib.protocols import Layer
from equilib.trees import Tree


@dataclass(frozen=True)
class ODEChain:
    """before → y(t₁) of a neural ODE → after, returning the prediction and the record of the integration together.

    Where the state joins several scales, `after` gets the tuple of them; `Merge` is a layer that takes it.
    """

    needs_rng: ClassVar[bool] = True  # a trainer passes `rng`; where nothing is drawn nothing changes

    before: Layer
    ode: NeuralODE | CellODE
    after: Layer

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of the three parts."""
        return {"before": self.before.init(rng), "ode": self.ode.init(rng), "after": self.after.init(rng)}

    def __call__(self, params: Tree, x: Array, *, rng: np.random.Generator | None = None) -> tuple[Array, Evolution]:
        """Return the prediction and the record; `rng` is for dropout, in training."""
        features = self.before(with_draws(self.before, params["before"], x, rng), x)
        evolution = self.ode.evolve(params["ode"], features, self.ode.span, rng=rng)
        return self.after(with_draws(self.after, params["after"], x, rng), evolution.output), evolution
