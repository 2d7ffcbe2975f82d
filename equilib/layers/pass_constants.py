"""Constants of a layer: computed, or drawn, once for the many evaluations of a pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib.arrays import Array, Tree
from equilib.layers.composite import map_children


def prepare(layer: Any, params: Tree) -> Tree:
    """Prepare the parameters of a layer and of all layers in it."""
    # Asked by name, ten times faster than by protocol: each pass asks every layer.
    if hasattr(layer, "children"):
        return map_children(prepare, layer.children(), params)
    return layer.prepare(params) if hasattr(layer, "prepare") else params


def draw(layer: Any, params: Tree, x: Array, rng: np.random.Generator | None) -> Tree:
    """Draw the random arrays of a layer and of all layers in it: a tree like the parameters.

    It has no leaves where no layer has a method `draw`, or for inference: without random numbers.
    """
    if hasattr(layer, "children"):
        return map_children(lambda child, own: draw(child, own, x, rng), layer.children(), params)
    return layer.draw(x, rng) if hasattr(layer, "draw") and rng is not None else {}


def merge(params: Tree, drawn: Tree) -> Tree:
    """Put what was drawn among the parameters."""
    if isinstance(drawn, dict) and isinstance(params, dict):
        return {**params, **{key: merge(params.get(key), each) for key, each in drawn.items()}}
    if isinstance(drawn, list):
        return [merge(own, each) for own, each in zip(params, drawn, strict=True)]
    return params if isinstance(drawn, dict) else drawn


def with_draws(layer: object, params: Tree, x: Array, rng: np.random.Generator | None) -> Tree:
    """Return the parameters with what the layer draws for one pass over the batch x, if there are random numbers."""
    return params if rng is None else merge(params, draw(layer, params, x, rng))
