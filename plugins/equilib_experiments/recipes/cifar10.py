"""All recipes of the experiment `cifar10`, by name and by model."""

from __future__ import annotations

from equilib.experiments import ImageRecipe
from equilib_experiments.recipes import fastdeq, two_scales
from equilib_experiments.recipes.two_scales import MODELS

__all__ = ["MODELS", "RECIPES"]

RECIPES: dict[str, dict[str, ImageRecipe]] = {
    "small": {model: two_scales.photographs(model) for model in MODELS},
    "source": {model: fastdeq.fastdeq(model) for model in MODELS},
}
