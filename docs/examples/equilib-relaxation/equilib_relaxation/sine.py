"""A sine, fitted by an equilibrium of dense layers, as an experiment for equilib."""

from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.experiments import Recipe, equilibrium, sampled
from equilib.layers import Chain, Dense, TruncatedNormal
from equilib.models import DEQChain, InjectedCell, ZeroGuess
from equilib.options import Checked, option
from equilib.training.objectives import Regression
from equilib.training.plan import Plan
from equilib.training.schedules import Cosine


@dataclass(frozen=True)
class Sine(Checked):
    """A sine on [−3, 3], fitted by an equilibrium of dense layers."""

    points: int = option(400, help="draw so many points to train on", minimum=1)
    width: int = option(20, help="put so many numbers in the state", minimum=1)

    def make_recipe(self):
        """Return how the network is made, solved and trained."""

        def network(method):
            recur = Dense(self.width, self.width, initial_weight=TruncatedNormal(0.02))
            cell = InjectedCell(Chain(), recur, Chain(ops.tanh))
            inject = Dense(1, self.width, initial_weight=TruncatedNormal(2.0))
            return DEQChain(inject, equilibrium(cell, ZeroGuess(), method), Dense(self.width, 1))

        return Recipe(
            network=network,
            schedule=lambda steps: Cosine(0.02, steps),
            solver="anderson",
            options={"rtol": 1e-4, "max_steps": 40},
            objective=Regression(),
            plan=Plan(epochs=20),
            samples="points",
        )

    def load_data(self, context):
        """Return points of the sine, other ones for each seed."""
        return sampled(np.sin, context.rng(1).uniform(-3, 3, self.points), np.linspace(-3, 3, 100))
