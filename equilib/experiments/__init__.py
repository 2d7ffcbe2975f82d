"""Experiments: a recipe and data, from which running, resuming, evaluating, predicting and comparing follow."""

from equilib.experiments.experiment import Experiment
from equilib.experiments.images import ImageClassification, ImageRecipe
from equilib.experiments.recipe import Recipe, equilibrium
from equilib.training.data import sampled

__all__ = ["Experiment", "ImageClassification", "ImageRecipe", "Recipe", "equilibrium", "sampled"]
