"""The experiment `mnist-neural-ode`: Lux's tutorial "MNIST Classification using Neural ODEs"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from equilib.plugin.integration_choice import IntegrationMethod
from equilib.runs.context import RunContext
from equilib_experiments.data import Mnist, load_mnist
from equilib_experiments.images import ImageClassification
from equilib_experiments.recipes.dense import NEURAL_ODE
from equilib_experiments.recipes.recipe import Recipe


@dataclass(frozen=True)
class NeuralOdeExperiment(ImageClassification):
    """Classify MNIST by the solution of an ODE at t = 1; `--solver` names an integrator, `--adjoint` an ODE adjoint."""

    integrates: ClassVar[bool] = True

    def recipe_of(self) -> Recipe:
        """Return the tutorial's recipe."""
        return NEURAL_ODE

    def load(self, context: RunContext) -> Mnist:
        """Load the digits."""
        return load_mnist(data_dir=context.data_dir, report=context.reporter.line)

    def method_of(self, recipe: Recipe, context: RunContext) -> IntegrationMethod:
        """Return how the ODE is solved and differentiated."""
        return context.integration_method(recipe.solver, **recipe.method)

    def called(self) -> str:
        """Return what the model is, for people."""
        return "neural ODE"
