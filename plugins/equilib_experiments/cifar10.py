"""The experiment `cifar10`: an equilibrium of two scales classifies small photographs.

The recipe `source` is FastDEQ's network with 170,000 parameters, for a GPU; `small` trains in minutes without one.
"""

from __future__ import annotations

from dataclasses import dataclass

from equilib.commands.images import ImageInput
from equilib.options import option
from equilib.runs.context import RunContext
from equilib_experiments.data import Cifar10, load_cifar10
from equilib_experiments.images import EquilibriumClassification
from equilib_experiments.reading import PHOTOGRAPHS
from equilib_experiments.recipes.cifar10 import MODELS, RECIPES
from equilib_experiments.recipes.recipe import Recipe, choose


@dataclass(frozen=True)
class Cifar10Experiment(EquilibriumClassification):
    """Train on CIFAR-10 and report the accuracy on images that were not trained on."""

    recipe: str = option("small", help="architecture and schedule", choices=tuple(RECIPES))
    model: str = option("mdeq", help="initial guess: zeros, or a layer for each scale", choices=MODELS)

    def recipe_of(self) -> Recipe:
        """Return the recipe that the options choose."""
        return choose(RECIPES, self.recipe, self.model)

    def load(self, context: RunContext) -> Cifar10:
        """Load the photographs."""
        return load_cifar10(data_dir=context.data_dir, report=context.reporter.line)

    def reads(self) -> ImageInput:
        """Return photographs."""
        return PHOTOGRAPHS

    def called(self) -> str:
        """Return what the model is, for people."""
        return f"{self.model}, recipe {self.recipe}"
