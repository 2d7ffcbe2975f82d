"""A network with one equilibrium layer in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from equilib.arrays import Array
from equilib.models.deq import DeepEquilibrium
from equilib.models.equilibrium import Equilibrium
from equilib.protocols import Layer
from equilib.trees import Tree


@dataclass(frozen=True)
class DEQChain:
    """before → equilibrium → after, returning the prediction and the record of the solve together."""

    before: Layer
    deq: DeepEquilibrium
    after: Layer

    def unrolled(self, depth: int) -> DEQChain:
        """Return the same network with a fixed depth."""
        return replace(self, deq=self.deq.unrolled(depth))

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of the three parts."""
        return {"before": self.before.init(rng), "deq": self.deq.init(rng), "after": self.after.init(rng)}

    def __call__(self, params: Tree, x: Array, *, rng: np.random.Generator | None = None) -> tuple[Array, Equilibrium]:
        """Return the prediction and the record."""
        equilibrium = self.deq(params["deq"], self.before(params["before"], x), rng=rng)
        return self.after(params["after"], equilibrium.z_star), equilibrium
