"""The experiment `mnist-steady-state`: the dense network of "Implement Deep Equilibrium Models via Neural ODEs"."""

from __future__ import annotations

from dataclasses import dataclass

from equilib.runs.context import RunContext
from equilib_experiments.data import Mnist, load_mnist
from equilib_experiments.images import EquilibriumClassification
from equilib_experiments.recipes.dense import STEADY_STATE
from equilib_experiments.recipes.recipe import Recipe


@dataclass(frozen=True)
class SteadyStateExperiment(EquilibriumClassification):
    """Classify MNIST by the steady state of z' = f(z, x) − z, on all images unless --limit says less."""

    def recipe_of(self) -> Recipe:
        """Return the post's recipe."""
        return STEADY_STATE

    def load(self, context: RunContext) -> Mnist:
        """Load the digits."""
        return load_mnist(data_dir=context.data_dir, report=context.reporter.line)

    def called(self) -> str:
        """Return what the model is, for people."""
        return "steady state"
