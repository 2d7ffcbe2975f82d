"""A network with one equilibrium layer in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from equilib.arrays import Array
from equilib.layers.prepare import with_draws
from equilib.models.deq import DeepEquilibrium
from equilib.models.equilibrium import Equilibrium
from equilib.models.explicit import Explicit
from equilib.protocols import Layer
from equilib.trees import Tree


@dataclass(frozen=True)
class DEQChain:
    """before → equilibrium → after, returning the prediction and the record of the solve together.

    Where the state joins several scales, `after` gets the tuple of them; `Merge` is a layer that takes it.
    """

    needs_rng: ClassVar[bool] = True  # a trainer passes `rng`; where nothing is drawn nothing changes

    before: Layer
    deq: DeepEquilibrium
    after: Layer

    def unrolled(self, depth: int, *, checkpoints: int | None = None) -> DEQChain:
        """Return the same network with a fixed depth, as `DeepEquilibrium.unrolled`."""
        return replace(self, deq=self.deq.unrolled(depth, checkpoints=checkpoints))

    def loosened(self, factor: float) -> DEQChain:
        """Return the same network with tolerances `factor` times as large."""
        return replace(self, deq=self.deq.loosened(factor))

    def warm_starts(self) -> tuple[str, ...]:
        """Return which of `start` and `adjoint_guess` a call can be given."""
        return self.deq.warm_starts()

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of the three parts."""
        return {"before": self.before.init(rng), "deq": self.deq.init(rng), "after": self.after.init(rng)}

    def __call__(
        self,
        params: Tree,
        x: Array,
        *,
        rng: np.random.Generator | None = None,
        guess: Array | None = None,
        start: Array | None = None,
        adjoint_guess: Array | None = None,
    ) -> tuple[Array, Equilibrium]:
        """Return the prediction and the record; further arguments and errors are those of `DeepEquilibrium`."""
        features = self.before(with_draws(self.before, params["before"], x, rng), x)
        equilibrium = self.deq(params["deq"], features, rng=rng, guess=guess, start=start, adjoint_guess=adjoint_guess)
        return self.after(with_draws(self.after, params["after"], x, rng), equilibrium.output), equilibrium

    def explicit(self, params: Tree, x: Array) -> tuple[Array, Equilibrium]:
        """Return the prediction from the initial guess alone, without a solve; raises what `Explicit` does."""
        equilibrium = Explicit(self.deq)(params["deq"], self.before(params["before"], x))
        return self.after(params["after"], equilibrium.output), equilibrium
