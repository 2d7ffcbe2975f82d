"""Constants of a layer: computed, or drawn, once for the many evaluations of a pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib.arrays import Array, Tree
from equilib.layers.composite import map_children
from equilib.layers.held import held_layers, layers_in


def prepare(layer: Any, params: Tree) -> Tree:
    """Prepare the parameters of a layer and of all layers in it."""
    # Asked by name, ten times faster than by protocol: each pass asks every layer.
    if hasattr(layer, "children"):
        return map_children(prepare, layer.children(), params)
    return layer.prepare(params) if hasattr(layer, "prepare") else params


def draw(layer: Any, params: Tree, x: Array, rng: np.random.Generator | None) -> Tree:
    """Draw the random arrays of a layer and of all layers in it: a tree like the parameters.

    It has no leaves where no layer has a method `draw`, or for inference: without random numbers.

    Raises TypeError if a layer that draws is in one without `children`, which cannot be told apart from no layer.
    """
    if hasattr(layer, "children"):
        return map_children(lambda child, own: draw(child, own, x, rng), layer.children(), params)
    if rng is None:
        return {}
    if hasattr(layer, "draw"):
        return layer.draw(x, rng)
    for each in held_layers(layer):
        if _draws(each, set()):
            raise TypeError(
                f"{type(layer).__name__} holds {each!r} and has no children(): nothing would be drawn for it; "
                "add children(), which returns a tree of the layers with the structure of the parameters"
            )
    return {}


def _draws(layer: Any, seen: set[int]) -> bool:
    if id(layer) in seen:
        return False
    seen.add(id(layer))
    return hasattr(layer, "draw") or any(_draws(each, seen) for each in layers_in(layer))


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


def without_draws(params: Tree, like: Tree) -> Tree:
    """Return the parameters without what was put among them: those of the structure of `like`."""
    if isinstance(like, dict):
        return {key: without_draws(params[key], own) for key, own in like.items()}
    if isinstance(like, list | tuple):
        plain = [without_draws(each, own) for each, own in zip(params, like, strict=True)]
        return type(like)(*plain) if hasattr(like, "_fields") else type(like)(plain)
    return params
