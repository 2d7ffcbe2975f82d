"""The experiment `mnist`: a deep equilibrium model reads handwritten digits.

The recipe `tutorial` is the one of DeepEquilibriumNetworks.jl's basic MNIST tutorial; `default` keeps its data and its
number of epochs, and is better and faster.
"""

from __future__ import annotations

from dataclasses import dataclass

from equilib.options import option
from equilib.runs.context import RunContext
from equilib_experiments.data import Mnist, load_mnist
from equilib_experiments.images import EquilibriumClassification
from equilib_experiments.recipes.mnist import MODELS, RECIPES
from equilib_experiments.recipes.recipe import Recipe, choose


@dataclass(frozen=True)
class MnistExperiment(EquilibriumClassification):
    """Train on MNIST and report the accuracy on images that were not trained on."""

    recipe: str = option("default", help="architecture and schedule", choices=tuple(RECIPES))
    model: str = option(
        "regdeq",
        help="convolutions with the initial guess zeros, f(0, x) or a layer; two scales; dense layers; a small state",
        choices=MODELS,
    )

    def recipe_of(self) -> Recipe:
        """Return the recipe that the options choose."""
        return choose(RECIPES, self.recipe, self.model)

    def load(self, context: RunContext) -> Mnist:
        """Load the digits."""
        return load_mnist(data_dir=context.data_dir, report=context.reporter.line)

    def called(self) -> str:
        """Return what the model is, for people."""
        return f"{self.model}, recipe {self.recipe}"
