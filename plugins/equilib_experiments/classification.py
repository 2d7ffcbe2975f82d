"""The experiments that classify images: `mnist`, `mnist-neural-ode`, `mnist-steady-state` and `cifar10`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from equilib.errors import UserError
from equilib.experiments import ImageClassification, ImageRecipe
from equilib.options import option
from equilib_experiments.recipes import dense, digits, two_scales
from equilib_experiments.recipes.fastdeq import fastdeq

Recipes: TypeAlias = dict[str, dict[str, ImageRecipe]]

MNIST: Recipes = {
    "default": {
        **digits.RECIPES["default"],
        **{model: two_scales.digits(model) for model in two_scales.MODELS},
        "dense-deq": dense.FULLY_CONNECTED,
        "reduced": dense.REDUCED,
    },
    "tutorial": {**digits.RECIPES["tutorial"], "reduced": dense.REDUCED_SOURCE},
}
CIFAR10: Recipes = {
    "small": {model: two_scales.photographs(model) for model in two_scales.MODELS},
    "source": {model: fastdeq(model) for model in two_scales.MODELS},
}
"""Recipes by name and by model."""


@dataclass(frozen=True)
class MnistExperiment(ImageClassification):
    """Handwritten digits and a deep equilibrium model.

    The recipe `tutorial` is the one of DeepEquilibriumNetworks.jl's basic MNIST tutorial; `default` keeps its data and
    its number of epochs, and is better and faster.
    """

    recipe: str = option("default", help="choose architecture and schedule", choices=tuple(MNIST))
    model: str = option(
        "regdeq",
        help="choose the network: convolutions with the initial guess zeros (deq), f(0, x) (regdeq) or a layer's "
        "(skipdeq); two scales with the guess zeros (mdeq) or layers' (skip-mdeq); dense layers (dense-deq); a state "
        "of 128 numbers (reduced)",
        choices=tuple(dict.fromkeys(model for models in MNIST.values() for model in models)),
    )

    def image_recipe(self) -> ImageRecipe:
        """Return the recipe that the options choose."""
        return _chosen(MNIST, self.recipe, self.model)


@dataclass(frozen=True)
class Cifar10Experiment(ImageClassification):
    """Small photographs and an equilibrium of two scales.

    The recipe `source` is FastDEQ's network with 170,000 parameters, for a GPU; `small` trains in minutes without one.
    """

    recipe: str = option("small", help="choose architecture and schedule", choices=tuple(CIFAR10))
    model: str = option(
        "mdeq", help="choose the initial guess: zeros, or a layer for each scale", choices=two_scales.MODELS
    )

    def image_recipe(self) -> ImageRecipe:
        """Return the recipe that the options choose."""
        return _chosen(CIFAR10, self.recipe, self.model)


@dataclass(frozen=True)
class NeuralOdeExperiment(ImageClassification):
    """Handwritten digits and the solution of an ODE at t = 1 (Lux's tutorial "MNIST Classification using Neural ODEs").

    `--solver` names an integrator, `--adjoint` an adjoint of ODEs.
    """

    def image_recipe(self) -> ImageRecipe:
        """Return the tutorial's recipe."""
        return dense.NEURAL_ODE


@dataclass(frozen=True)
class SteadyStateExperiment(ImageClassification):
    """Handwritten digits and the steady state of z' = f(z, x) − z, on all images unless --limit says less.

    The dense network of "Implement Deep Equilibrium Models via Neural ODEs".
    """

    def image_recipe(self) -> ImageRecipe:
        """Return the post's recipe."""
        return dense.STEADY_STATE


def _chosen(recipes: Recipes, recipe: str, model: str) -> ImageRecipe:
    """Return the recipe of that name for that model; raises UserError if it has none for it."""
    if model not in recipes[recipe]:
        others = [name for name, models in recipes.items() if model in models]
        raise UserError(
            f"--recipe {recipe} is for --model {', '.join(recipes[recipe])}; "
            f"for --model {model} there is --recipe {', '.join(others)}"
        )
    return replace(recipes[recipe][model], title=f"{model}, recipe {recipe}")
