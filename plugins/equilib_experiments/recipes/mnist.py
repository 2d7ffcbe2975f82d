"""All recipes of the experiment `mnist`, by name and by model."""

from __future__ import annotations

from equilib.experiments import ImageRecipe
from equilib_experiments.recipes import dense, digits, two_scales

RECIPES: dict[str, dict[str, ImageRecipe]] = {
    "default": {
        **digits.RECIPES["default"],
        **{model: two_scales.digits(model) for model in two_scales.MODELS},
        "dense-deq": dense.FULLY_CONNECTED,
        "reduced": dense.REDUCED,
    },
    "tutorial": {**digits.RECIPES["tutorial"], "reduced": dense.REDUCED_SOURCE},
}
MODELS = tuple(dict.fromkeys(model for models in RECIPES.values() for model in models))
